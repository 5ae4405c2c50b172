"""Our own division into train, dev and test."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.errors import UserError
from tasks.corpora.corpus_uri import IngestConfig
from tasks.corpora.utterance import NOT_CHARGED, Reject, Utterance
from tasks.ingest.split_corpus import assign_splits, sentence_hash, split_corpus

SHARES = {"test": 0.1, "dev": 0.1}
ROWS = st.lists(st.tuples(st.sampled_from("abcdefghijkl"), st.integers(0, 40)), min_size=1, max_size=200)


def reader_of(rows):
    def reader(wanted):
        return (row for row in rows if row.split in {*wanted, ""})

    return reader


@given(ROWS, st.integers(0, 3))
def test_no_speaker_and_no_sentence_is_in_two_splits(rows, seed):
    speakers, sentences = [r[0] for r in rows], [r[1] for r in rows]
    division = assign_splits(speakers, sentences, SHARES, seed)
    assert division == assign_splits(speakers, sentences, SHARES, seed)
    assert len(division.splits) == len(rows)
    assert set(division.splits) <= {"train", "dev", "test", ""}
    of_sentence = {(s, split) for s, split in zip(sentences, division.splits, strict=True) if split}
    assert len({s for s, _ in of_sentence}) == len(of_sentence)
    of_speaker = {(s, split) for s, split in zip(speakers, division.splits, strict=True) if split}
    if division.speakers:
        assert len({s for s, _ in of_speaker}) == len(of_speaker)
    else:
        assert "" not in division.splits  # by sentences alone, nothing has to be left out


def test_shares_are_about_as_asked():
    speakers = [f"s{i % 60}" for i in range(3000)]
    division = assign_splits(speakers, list(range(3000)), SHARES, 0)
    counts = Counter(division.splits)
    assert division.speakers
    assert counts[""] == 0
    assert 240 <= counts["dev"] <= 300
    assert 240 <= counts["test"] <= 300


def test_prompts_that_everybody_reads_leave_something_in_every_split():
    speakers = [f"s{i // 40}" for i in range(1600)]
    counts = Counter(assign_splits(speakers, [i % 40 for i in range(1600)], SHARES, 1).splits)
    assert min(counts["train"], counts["dev"], counts["test"]) >= 10


def test_one_speaker_is_divided_by_sentences():
    division = assign_splits([""] * 100, list(range(100)), SHARES, 0)
    assert Counter(division.splits) == {"train": 80, "dev": 10, "test": 10}
    assert not division.speakers


def test_sentences_that_differ_in_writing_only_are_the_same():
    assert sentence_hash("Turn it  ON!") == sentence_hash("turn it on")
    assert sentence_hash("turn it off") != sentence_hash("turn it on")
    assert sentence_hash("?") != sentence_hash("!")


def test_every_row_without_a_split_comes_back_once():
    rows = [Utterance("", (f"{i}.wav",), f"text {i % 30}", f"speaker {i % 20}") for i in range(200)]
    rows.insert(5, Reject("", "bad row", "read", "malformed row"))
    found = list(split_corpus(reader_of(rows), IngestConfig(), ("train", "dev", "test")))
    assert sorted(row.source for row in found) == sorted(row.source for row in rows)
    assert all(row.split in {"train", "dev", "test"} for row in found)
    assert {row.reason for row in found if isinstance(row, Reject)} <= {NOT_CHARGED, "malformed row"}
    test_only = [row for row in split_corpus(reader_of(rows), IngestConfig(), ("test",))]
    assert test_only == [row for row in found if row.split == "test"]


def test_a_missing_dev_split_is_carved_from_train():
    rows = [Utterance("test", ("t.wav",), "test", "t")]
    rows += [Utterance("train", (f"{i}.wav",), f"text {i}", f"speaker {i % 20}") for i in range(200)]
    found = [
        row
        for row in split_corpus(reader_of(rows), IngestConfig(), ("train", "dev", "test"))
        if isinstance(row, Utterance)
    ]
    assert Counter(row.split for row in found) == {"train": 180, "dev": 20, "test": 1}
    speakers = {split: {row.speaker for row in found if row.split == split} for split in ("train", "dev")}
    assert not speakers["train"] & speakers["dev"]
    assert [r for r in split_corpus(reader_of(rows), IngestConfig(), ("dev",))] == [
        r for r in found if r.split == "dev"
    ]


def test_a_dev_split_of_few_speakers_shares_them_rather_than_lose_rows():
    rows = [Utterance("train", (f"{i}.wav",), f"text {i}", f"speaker {i % 3}") for i in range(90)]
    found = list(split_corpus(reader_of(rows), IngestConfig(), ("train", "dev", "test")))
    assert Counter(row.split for row in found if isinstance(row, Utterance)) == {"train": 81, "dev": 9}


def test_a_split_that_is_not_there_is_named_with_those_that_are():
    rows = [Utterance("dev", ("d.wav",), "x"), Utterance("test", ("t.wav",), "y")]
    with pytest.raises(UserError, match="no train or dev or test split; it has test, dev"):
        list(split_corpus(reader_of(rows), IngestConfig(), ("train", "dev", "test")))
    with pytest.raises(UserError, match="no test split; it has dev"):
        list(split_corpus(reader_of(rows[:1]), IngestConfig(), ("test",)))
    assert [row.split for row in split_corpus(reader_of(rows), IngestConfig(), ("test",))] == ["test"]
