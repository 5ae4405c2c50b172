"""Which errors a recognizer makes: words taken for others, missed and put in, and those it never met in training.

Alignments are those that the error rates are counted by (jiwer's), so that the counts of both agree.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from itertools import starmap
from typing import Any, NamedTuple

import jiwer

CORRECT, SUBSTITUTION, DELETION, INSERTION = "correct", "substitution", "deletion", "insertion"
KINDS = {"equal": CORRECT, "substitute": SUBSTITUTION, "delete": DELETION, "insert": INSERTION}

Row = dict[str, Any]


class Edit(NamedTuple):
    """One step of an alignment. reference: "" of an insertion. hypothesis: "" of a deletion."""

    kind: str
    reference: str
    hypothesis: str


Alignment = list[Edit]


def align_words(pairs: Sequence[tuple[str, str]]) -> list[Alignment]:
    """Of (reference, hypothesis), each with as few edits as there can be."""
    if not pairs:
        return []
    found = jiwer.process_words(*_columns(pairs))
    return list(starmap(_edits, zip(found.references, found.hypotheses, found.alignments, strict=True)))


def align_characters(pairs: Sequence[tuple[str, str]]) -> list[Alignment]:
    """The same by characters, blanks among them."""
    if not pairs:
        return []
    found = jiwer.process_characters(*_columns(pairs))
    return list(starmap(_edits, zip(found.references, found.hypotheses, found.alignments, strict=True)))


def _columns(pairs: Sequence[tuple[str, str]]) -> tuple[list[str], list[str]]:
    return [reference for reference, _ in pairs], [hypothesis for _, hypothesis in pairs]


def _edits(reference: list[str], hypothesis: list[str], chunks: list[jiwer.AlignmentChunk]) -> Alignment:
    found = Alignment()
    for chunk in chunks:
        kind = KINDS[chunk.type]
        said = reference[chunk.ref_start_idx : chunk.ref_end_idx]
        heard = hypothesis[chunk.hyp_start_idx : chunk.hyp_end_idx]
        both = zip(said or [""] * len(heard), heard or [""] * len(said), strict=True)
        found += [Edit(kind, one, other) for one, other in both]
    return found


def analyze_errors(pairs: Sequence[tuple[str, str]], vocabulary: Collection[str] | None) -> dict[str, Any]:
    """What is wrong in (reference, hypothesis). vocabulary: the words of the training transcripts, None if not known.

    words, characters: `count_edits` of each. confusions, character_confusions: `reference`, `hypothesis`, `count`.
    missed: of each word that was deleted or substituted `occurrences` in the references, `deleted`, `substituted`.
    inserted: `word`, `count`. out_of_vocabulary: `vocabulary_coverage`. Tables are whole, the most frequent first.
    """
    words, characters = Counter[Edit](), Counter[Edit]()
    for alignment in align_words(pairs):
        words.update(alignment)
    for alignment in align_characters(pairs):
        characters.update(alignment)
    return {
        "words": count_edits(words),
        "characters": count_edits(characters),
        "confusions": confusions(words),
        "character_confusions": confusions(characters),
        "missed": missed_words(words),
        "inserted": _ranked([{"word": edit.hypothesis, "count": n} for edit, n in _of(words, INSERTION)], "count"),
        "out_of_vocabulary": None if vocabulary is None else vocabulary_coverage(words, vocabulary),
    }


def count_edits(edits: Counter[Edit]) -> dict[str, int]:
    """`correct`, `substitutions`, `deletions`, `insertions`, and `reference`, the length of all references."""
    correct, *wrong = (sum(n for _, n in _of(edits, kind)) for kind in (CORRECT, SUBSTITUTION, DELETION, INSERTION))
    substitutions, deletions, insertions = wrong
    told = {"correct": correct, "substitutions": substitutions, "deletions": deletions, "insertions": insertions}
    return told | {"reference": correct + substitutions + deletions}


def confusions(edits: Counter[Edit]) -> list[Row]:
    """What was taken for what, and how often."""
    rows = [
        {"reference": edit.reference, "hypothesis": edit.hypothesis, "count": n} for edit, n in _of(edits, SUBSTITUTION)
    ]
    return _ranked(rows, "count")


def missed_words(edits: Counter[Edit]) -> list[Row]:
    """Words of the references that were not heard, and how often they were said at all."""
    said, gone = Counter[str](), {DELETION: Counter[str](), SUBSTITUTION: Counter[str]()}
    for edit, n in edits.items():
        if edit.kind != INSERTION:
            said[edit.reference] += n
        if edit.kind in gone:
            gone[edit.kind][edit.reference] += n
    deleted, substituted = gone[DELETION], gone[SUBSTITUTION]
    rows = []
    for word in deleted | substituted:
        counts = {"deleted": deleted[word], "substituted": substituted[word], "occurrences": said[word]}
        rows.append({"word": word, "missed": deleted[word] + substituted[word]} | counts)
    return _ranked(rows, "missed")


def vocabulary_coverage(edits: Counter[Edit], vocabulary: Collection[str]) -> dict[str, Any]:
    """Words of the references that training never met beside those that it did.

    unknown, known: `words` (running), `types`, `missed` (deleted or substituted), `rate` of missed in words. An
    insertion belongs to no word of a reference, so the rates leave them out. rate: of running words that are unknown.
    list: each of the unknown: `word`, `occurrences`, `missed`, and `hypothesis`, what was most often heard.
    """
    seen, found, heard = set(vocabulary), {True: _Words(), False: _Words()}, dict[str, Counter[str]]()
    for edit, n in edits.items():
        if edit.kind == INSERTION:
            continue
        group, missed = found[edit.reference in seen], n * (edit.kind != CORRECT)
        group.occurrences[edit.reference] += n
        group.missed[edit.reference] += missed
        if edit.reference not in seen:
            heard.setdefault(edit.reference, Counter())[edit.hypothesis] += n
    unknown, known = found[False], found[True]
    rows = []
    for word, n in unknown.occurrences.items():
        most = min(heard[word], key=lambda text: (-heard[word][text], text))
        rows.append({"word": word, "occurrences": n, "missed": unknown.missed[word], "hypothesis": most})
    every = unknown.occurrences.total() + known.occurrences.total()
    told = {"unknown": unknown.numbers(), "known": known.numbers(), "vocabulary": len(seen)}
    return told | {"rate": unknown.occurrences.total() / max(1, every), "list": _ranked(rows, "occurrences")}


class _Words:
    """Of one group of words: how often each was said, and how often missed."""

    def __init__(self) -> None:
        self.occurrences, self.missed = Counter[str](), Counter[str]()

    def numbers(self) -> dict[str, Any]:
        words, missed = self.occurrences.total(), self.missed.total()
        return {
            "words": words,
            "types": len(self.occurrences),
            "missed": missed,
            "rate": missed / words if words else None,
        }


def _of(edits: Counter[Edit], kind: str) -> list[tuple[Edit, int]]:
    return [(edit, n) for edit, n in edits.items() if edit.kind == kind]


def _ranked(rows: list[Row], column: str) -> list[Row]:
    """The largest of a column first, what is equal by its text."""
    return sorted(rows, key=lambda row: (-row[column], *(value for value in row.values() if isinstance(value, str))))
