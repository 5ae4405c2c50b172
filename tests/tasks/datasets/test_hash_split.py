"""Our own division: speakers and sentences apart, the stated shares, and nobody changes sides between releases."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from small_corpora import rows_of, write_common_voice, write_table

from tasks.corpora.corpus_uri import IngestConfig, parse_corpus
from tasks.datasets.dataset_head import update_dataset
from tasks.datasets.hash_split import assign_sides, draw_side, settle_sentences
from tasks.datasets.release import find_release
from tasks.datasets.version_index import read_version
from tasks.ingest.split_corpus import sentence_hash

SHARES = {"test": 0.1, "dev": 0.2}
rows = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 60)), min_size=1, max_size=200)


def divided(speakers, sentences, known, before):
    sides = assign_sides(speakers, sentences, SHARES, 0, known)
    return sides, settle_sentences([(s, t, True) for s, t in zip(sides, sentences, strict=True)], before, SHARES, 0)


@given(rows, rows)
def test_apart_and_for_ever(first, more):
    speakers, sentences = [f"s{a}" for a, _ in first], [b for _, b in first]
    sides, splits = divided(speakers, sentences, {}, {})
    before = {t: s for t, s in zip(sentences, splits, strict=True) if s in {"dev", "test"}}
    known = dict(zip(speakers, sides, strict=True))
    speakers += [f"s{a}" for a, _ in more]
    sentences += [b for _, b in more]
    later, after = divided(speakers, sentences, known, before)
    assert later[: len(first)] == sides, "nobody changes sides"
    for old, new in zip(splits, after, strict=False):
        assert new in {old, ""} or old == ""
        assert old not in {"dev", "test"} or new == old, "what is measured on stays"
    for names in (speakers, sentences):
        found = {}
        for name, split in zip(names, after, strict=True):
            if split:
                assert found.setdefault(name, split) == split


def test_the_shares_are_those_stated():
    drawn = Counter(draw_side(f"speaker {i}", SHARES, 3) for i in range(20000))
    assert abs(drawn["test"] / 20000 - 0.1) < 0.01
    assert abs(drawn["dev"] / 20000 - 0.2) < 0.01


def test_one_with_most_of_the_rows_is_trained_on():
    speakers = ["everybody"] * 900 + [f"s{i}" for i in range(100)]
    for seed in range(30):
        assert assign_sides(speakers, range(1000), SHARES, seed, {})[0] == "train"


def test_release_after_release(tmp_path, in_this_process):
    sides = {}
    for number, count in enumerate((60, 120)):
        root = tmp_path / f"cv-corpus-{number}.0-2024-0{number + 1}-06"
        write_common_voice(root, train=count, dev=0, test=0)
        table = rows_of(count, speakers=20)
        write_table(root / "validated.tsv", [r | {"sentence": f"Sentence {i % 50}"} for i, r in enumerate(table)])
        options = IngestConfig(own_splits=True, dev_share=0.2, test_share=0.2)
        version = update_dataset("own", find_release(parse_corpus(f"commonvoice:{root}")), options).version
        index = read_version(version)
        assert len(index) == count
        assert {row["split"] for row in index} >= {"train", "dev", "test"}
        for row in index:
            assert sides.setdefault(row["speaker"], row["side"]) == row["side"]
        split_of = {}
        for row in index:
            if row["split"]:
                assert split_of.setdefault(sentence_hash(row["text"]), row["split"]) == row["split"]
                assert row["split"] == row["side"]
