"""Alignments and counts against a search through all edits, and against the counts that error rates are made of."""

from collections import Counter
from functools import cache

import jiwer
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.scoring.error_analysis import align_characters, align_words, analyze_errors
from tasks.text.error_counts import count_errors

LETTERS = st.sampled_from(["a", "b", "cd", "é"])
texts = st.lists(LETTERS, max_size=6).map(" ".join)
corpora = st.lists(st.tuples(texts, texts), max_size=6)


def fewest_edits(reference, hypothesis):
    @cache
    def fewest(i, j):
        if i == len(reference) or j == len(hypothesis):
            return len(reference) - i + len(hypothesis) - j
        return min(fewest(i + 1, j + 1) + (reference[i] != hypothesis[j]), 1 + fewest(i + 1, j), 1 + fewest(i, j + 1))

    return fewest(0, 0)


@given(corpora)
def test_an_alignment_spells_both_texts_with_as_few_edits_as_can_be(pairs):
    for align, cut, process in (
        (align_words, str.split, jiwer.process_words),
        (align_characters, list, jiwer.process_characters),
    ):
        for (reference, hypothesis), edits in zip(pairs, align(pairs), strict=True):
            assert [e.reference for e in edits if e.kind != "insertion"] == cut(reference)
            assert [e.hypothesis for e in edits if e.kind != "deletion"] == cut(hypothesis)
            assert all((e.reference == e.hypothesis) == (e.kind == "correct") for e in edits)
            kinds = Counter(e.kind for e in edits)
            assert sum(kinds.values()) - kinds["correct"] == fewest_edits(cut(reference), cut(hypothesis))
            counted = count_errors(process(reference, hypothesis))
            assert counted == (*(kinds[k] for k in ("substitution", "deletion", "insertion")), len(cut(reference)))


@given(corpora, st.sets(LETTERS))
def test_tables_add_up_to_the_counts_of_the_error_rate(pairs, vocabulary):
    told = analyze_errors(pairs, vocabulary)
    counts = [count_errors(jiwer.process_words(*pair)) for pair in pairs]
    substitutions, deletions, insertions, spoken = (
        (sum(column) for column in zip(*counts, strict=True))
        if counts
        else (
            0,
            0,
            0,
            0,
        )
    )
    words = told["words"]
    assert [words[n] for n in ("substitutions", "deletions", "insertions", "reference")] == [
        substitutions,
        deletions,
        insertions,
        spoken,
    ]
    assert sum(row["count"] for row in told["confusions"]) == substitutions
    assert sum(row["count"] for row in told["inserted"]) == insertions
    assert sum(row["deleted"] for row in told["missed"]) == deletions
    assert sum(row["substituted"] for row in told["missed"]) == substitutions
    said = Counter(word for reference, _ in pairs for word in reference.split())
    assert all(row["occurrences"] == said[row["word"]] >= row["missed"] for row in told["missed"])
    coverage = told["out_of_vocabulary"]
    unknown = {word: n for word, n in said.items() if word not in vocabulary}
    assert {row["word"]: row["occurrences"] for row in coverage["list"]} == unknown
    assert coverage["rate"] == pytest.approx(sum(unknown.values()) / max(1, spoken))
    assert coverage["unknown"]["missed"] + coverage["known"]["missed"] == substitutions + deletions
    assert coverage["unknown"]["types"] == len(unknown)


def test_what_was_confused_missed_and_put_in():
    pairs = [("the cat sat", "the hat sat"), ("a cat", "a hat"), ("the end", "the very end"), ("the end", "the")]
    told = analyze_errors(pairs, {"the", "sat", "a", "end"})
    assert told["confusions"] == [{"reference": "cat", "hypothesis": "hat", "count": 2}]
    assert told["character_confusions"][0] == {"reference": "c", "hypothesis": "h", "count": 2}
    assert told["inserted"] == [{"word": "very", "count": 1}]
    assert told["missed"][0] == {"word": "cat", "missed": 2, "deleted": 0, "substituted": 2, "occurrences": 2}
    assert told["missed"][1] == {"word": "end", "missed": 1, "deleted": 1, "substituted": 0, "occurrences": 2}
    coverage = told["out_of_vocabulary"]
    assert coverage["list"] == [{"word": "cat", "occurrences": 2, "missed": 2, "hypothesis": "hat"}]
    assert coverage["unknown"] == {"words": 2, "types": 1, "missed": 2, "rate": 1.0}
    assert coverage["known"]["rate"] == 1 / 7
    assert analyze_errors(pairs, None)["out_of_vocabulary"] is None
