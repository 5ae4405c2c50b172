"""Which sentence pairs are left out of training, and that the quarantine says why; held-out pairs stay as they are."""

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.errors import UserError
from tasks.corpora.corpus_uri import Corpus, IngestConfig, fingerprint
from tasks.corpora.utterance import Reject, Utterance
from tasks.ingest.ingest_corpus import ingest_corpus
from tasks.ingest.pair_filter import PairFilter, drop_repeated_pairs, other_language, pair_filter
from tasks.steps.in_process import run_in_process

EN_DE = IngestConfig(source_language="en", target_language="de")
LONG_EN = "The quick brown fox jumps over the lazy dog while the sun is going down behind the hills."
LONG_DE = "Der schnelle braune Fuchs springt über den faulen Hund, während die Sonne hinter den Hügeln versinkt."


def reason(source, target, **options):
    told = {**pair_filter(EN_DE), **options}
    found = PairFilter(**told).reason(source, target)
    return found[0] if found else ""


@pytest.mark.parametrize(("source", "target", "why"), [
    (LONG_EN, LONG_DE, ""),
    ("Yes.", "Ja, natürlich!", ""),
    ("No", "Auf gar keinen Fall.", ""),
    ("A dog.", LONG_DE, "length ratio"),
    (LONG_EN, "Ja.", "length ratio"),
    ("a " * 5000 + "a", "b " * 5000 + "b", "too long"),
    ("a" * 10_001, "b" * 10_001, "too long"),
    (LONG_DE, LONG_DE, "wrong language"),
    (LONG_EN, LONG_EN, "wrong language"),
    (LONG_EN, "Le renard brun saute par-dessus le chien paresseux pendant que le soleil se couche.", "wrong language"),
])  # fmt: skip
def test_reasons(source, target, why):
    assert reason(source, target) == why


def test_limits_are_those_of_the_options():
    assert reason("A dog.", LONG_DE, max_length_ratio=0) == ""
    assert reason(LONG_EN, LONG_EN, identify_language=False) == ""
    assert reason(LONG_EN, LONG_DE, max_words=10) == "too long"


def test_wide_characters_count_as_what_they_say():
    """Of a pair of sentences that say the same."""
    chinese = "那只敏捷的棕色狐狸在太阳落山的时候跳过了那条懒狗"
    assert reason(chinese, LONG_EN, source_language="zh", target_language="en") == ""
    assert reason(chinese, "Yes.", source_language="zh", target_language="en") == "length ratio"


@pytest.mark.parametrize("language", ["xx", "tlh", "x-klingon"])
def test_nothing_is_said_of_a_language_that_nobody_knows(language):
    assert other_language(LONG_EN, language) == ""


@pytest.mark.parametrize("language", ["en", "EN", "en-US", "en_GB"])
def test_a_language_is_known_by_its_code(language):
    assert other_language(LONG_EN, language) == ""
    assert other_language(LONG_DE, language) == "de"


@pytest.mark.parametrize("short", ["OK", "Hotel Adler", "Tom Sawyer", "Pizza, Pasta.", "2 x 3 = 6", "New York", ""])
def test_short_sentences_are_not_judged(short):
    assert other_language(short, "en") == other_language(short, "de") == ""


def rows(*pairs):
    return [Utterance(split, (f"{n}",), target, content=source) for n, (split, source, target) in enumerate(pairs)]


def test_what_is_held_out_wins():
    given_rows = rows(
        ("test", "A dog runs.", "x"),
        ("dev", "Two cats", "y"),
        ("dev", "Two cats", "y"),
        ("train", "a dog runs", "z"),
        ("train", "It rains.", "Es regnet."),
        ("train", "it rains", "es regnet"),
        ("train", "It rains.", "Es gießt."),
        ("train", "TWO CATS!", "y"),
    )
    found = list(drop_repeated_pairs(iter(given_rows)))
    kept = [(row.split, row.text) for row in found if isinstance(row, Utterance)]
    assert kept == [("test", "x"), ("dev", "y"), ("dev", "y"), ("train", "Es regnet."), ("train", "Es gießt.")]
    assert [(row.source, row.reason) for row in found if isinstance(row, Reject)] == [
        ("3", "sentence in another split"),
        ("5", "duplicate pair"),
        ("7", "sentence in another split"),
    ]


@given(st.lists(st.tuples(st.sampled_from(["train", "dev", "test"]), st.sampled_from("abcd"), st.sampled_from("xy"))))
def test_no_source_of_train_is_held_out_and_no_pair_comes_twice(drawn):
    ordered = sorted(drawn, key=lambda row: ("test", "dev", "train").index(row[0]))
    found = [row for row in drop_repeated_pairs(iter(rows(*ordered))) if isinstance(row, Utterance)]
    train = [(row.content, row.text) for row in found if row.split == "train"]
    held_out = {row.content for row in found if row.split != "train"}
    assert not held_out & {source for source, _ in train}
    assert sorted(set(train)) == sorted(train)
    assert sum(row.split != "train" for row in found) == sum(split != "train" for split, *_ in drawn)
    assert set(train) == {(s, t) for split, s, t in drawn if split == "train" and s not in held_out}


def test_the_quarantine_names_each_pair(tmp_path, artifact_root):
    fine = [(f"Sentence number {n} of them.", f"Satz Nummer {n} von ihnen.") for n in range(40)]
    odd = [("A dog.", LONG_DE), (LONG_DE, LONG_DE), fine[0], ("", "Leer."), ("a " * 5000, "b " * 5000)]
    held_out = [("Sentence number 7 of them", "?"), ("A dog.", LONG_DE)]
    for name, pairs in (("train", fine + odd), ("dev", held_out)):
        for side, language in enumerate(("en", "de")):
            (tmp_path / f"{name}.{language}").write_text("".join(f"{pair[side]}\n" for pair in pairs))
    corpus = Corpus(kind="parallel", uri=str(tmp_path), verb="pairs")
    with run_in_process(), pytest.raises(UserError, match=r"train: 4 of 43 rows cannot be used"):
        ingest_corpus(corpus, fingerprint(corpus), EN_DE, ("train", "dev"))
    allowed = IngestConfig(source_language="en", target_language="de", error_budget=0.1)
    with run_in_process():
        shards = ingest_corpus(corpus, fingerprint(corpus), allowed, ("train", "dev"))
    told = pq.read_table(shards.file("quarantine.parquet")).to_pylist()
    assert {(row["source"], row["reason"]) for row in told} == {
        ("train.en:8", "sentence in another split"),
        ("train.en:41", "sentence in another split"),
        ("train.en:42", "wrong language"),
        ("train.en:43", "duplicate pair"),
        ("train.en:44", "empty source"),
        ("train.en:45", "too long"),
    }
    index = pq.read_table(shards.file("index.parquet")).to_pylist()
    assert [row["text"] for row in index if row["split"] == "dev"] == ["?", LONG_DE]
    assert sum(row["split"] == "train" for row in index) == 39
