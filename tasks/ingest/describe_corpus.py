"""What a corpus holds and what is questionable about it: lengths, speakers, characters, what its splits share, and what
was left out at which stage.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from infra.artifact_store import Artifact
from tasks.corpora.utterance import NOT_CHARGED, SPLITS
from tasks.ingest.split_corpus import sentence_hash
from tasks.ingest.summarize_ingest import FIRST, FLAG

INDEX, QUARANTINE = "index.parquet", "quarantine.parquet"
BINS = 20  # of a histogram
MUCH = 0.01  # of a split's rows: more that is left out or odd is worth a warning
CHARACTERS_NAMED = 20

Row = dict[str, Any]


def describe_corpus(shards: Artifact, features: Artifact, *others: Artifact) -> dict[str, Any]:
    """others: artifacts that may have left out more of it.

    warnings: lines, the gravest first. splits: a row each (`describe_split`). shared: of each pair of splits the
    speakers and sentences in both, and the utterances of the former that have such a sentence. characters: of the
    normalized texts, how often in each split. left_out: `split`, `stage`, `reason`, `count`, `first` (source). flagged:
    `split`, `flag`, `count`, `first`. split_from, speaker_from: of what these were taken, and of how many rows.
    """
    index, summary = _read(shards, INDEX), shards.read_json("summary.json")
    names = [split for split in reversed(SPLITS) if split in set(index["split"].to_pylist())]
    parts = {name: _Split(index, name) for name in names}
    told: dict[str, Any] = {
        "splits": [describe_split(part) for part in parts.values()],
        "shared": [_shared(parts[b], parts[a]) for a, b in combinations(parts, 2)],
        "characters": count_characters(_read(features, INDEX)),
        "left_out": _counted(
            [_read(one, QUARANTINE) for one in (shards, features, *others) if QUARANTINE in one.names()],
            ("split", "stage", "reason"),
        ),
        "flagged": _flagged(index),
        "split_from": summary.get("split_from", {}),
        "speaker_from": summary.get("speaker_from", {}),
    }
    return told | {"warnings": corpus_warnings(told)}


class _Split:
    """The rows of one split, column by column; a sentence is what it is for tasks/ingest/split_corpus.py."""

    def __init__(self, index: pa.Table, name: str) -> None:
        rows = index.filter(pa.array([split == name for split in index["split"].to_pylist()], pa.bool_()))
        self.name = name
        self.seconds = np.array([s for s in rows["seconds"].to_pylist() if s is not None], float)
        self.texts = [text or "" for text in rows["text"].to_pylist()]
        self.sentences = np.array([sentence_hash(text) for text in self.texts], np.uint64)
        self.speakers = Counter(speaker or "" for speaker in rows["speaker"].to_pylist())


def describe_split(part: _Split) -> Row:
    """utterances, seconds, speakers, without_speaker, words, characters, repeated (utterances whose sentence another
    before has), and histograms (`counts`, `edges`) of the seconds and characters of an utterance.
    """
    lengths = np.array([len(text) for text in part.texts], float)
    return {
        "split": part.name,
        "utterances": len(part.texts),
        "seconds": float(part.seconds.sum()),
        "shortest": float(part.seconds.min()) if len(part.seconds) else None,
        "longest": float(part.seconds.max()) if len(part.seconds) else None,
        "speakers": len(set(part.speakers) - {""}),
        "without_speaker": part.speakers[""],
        "words": sum(len(text.split()) for text in part.texts),
        "characters": int(lengths.sum()),
        "repeated": len(part.sentences) - len(np.unique(part.sentences)),
        "seconds_histogram": histogram(part.seconds),
        "characters_histogram": histogram(lengths),
    }


def histogram(values: np.ndarray) -> Row:
    """counts and edges of at most 20 bars of a round width, from 0 on."""
    most = float(values.max(initial=0))
    if most <= 0:
        return {"counts": [], "edges": []}
    scale = 10.0 ** np.floor(np.log10(most / BINS))
    width = next(step * scale for step in (1, 2, 2.5, 5, 10) if step * scale * BINS > most)
    edges = width * np.arange(int(most // width) + 2)
    return {"counts": np.histogram(values, edges)[0].tolist(), "edges": np.round(edges, 10).tolist()}


def _shared(part: _Split, other: _Split) -> Row:
    sentences = np.intersect1d(part.sentences, other.sentences)
    return {
        "split": part.name,
        "other": other.name,
        "speakers": len((set(part.speakers) & set(other.speakers)) - {""}),
        "sentences": len(sentences),
        "utterances": int(np.isin(part.sentences, sentences).sum()),
    }


def count_characters(index: pa.Table) -> list[Row]:
    """Of each character how often it is in each split, the most frequent first."""
    found: dict[str, Counter[str]] = {}
    for split, text in zip(index["split"].to_pylist(), index["text"].to_pylist(), strict=True):
        found.setdefault(split, Counter()).update(text or "")
    every = sum(found.values(), Counter[str]())
    names = [split for split in reversed(SPLITS) if split in found]
    return [
        {"character": letter, **{name: found[name][letter] for name in names}}
        for letter in sorted(every, key=lambda letter: (-every[letter], letter))
    ]


def _flagged(index: pa.Table) -> list[Row]:
    if FLAG not in index.column_names:  # of an earlier ingest
        return []
    return _counted([index.filter(pa.array([bool(flag) for flag in index[FLAG].to_pylist()]))], ("split", FLAG))


def _counted(tables: Sequence[pa.Table], names: tuple[str, ...]) -> list[Row]:
    """Of each combination of what these columns hold `count`, and `first`, the sources of the first few."""
    counts, first = Counter[tuple[str, ...]](), dict[tuple[str, ...], list[str]]()
    for table in tables:
        columns = [table[name].to_pylist() for name in (*names, "source")]
        for *values, source in zip(*columns, strict=True):
            counts[tuple(values)] += 1
            if counts[tuple(values)] <= FIRST:
                first.setdefault(tuple(values), []).append(source)
    return [
        {**dict(zip(names, values, strict=True)), "count": count, "first": first[values]}
        for values, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]


def corpus_warnings(told: dict[str, Any]) -> list[str]:
    """What makes numbers of it doubtful."""
    splits = {row["split"]: row for row in told["splits"]}
    lines = [*_leaks(told["shared"], splits)]
    if "train" in splits and "test" not in splits:
        lines.append("there is no test split: the numbers are of dev, by which the best weights were chosen")
    if "train" in splits:
        lines += _unknown_characters(told["characters"], splits)
    left_out, flagged = Counter[str](), Counter[str]()
    for row in told["left_out"]:
        left_out[row["split"]] += row["count"] * (row["reason"] != NOT_CHARGED)
    for row in told["flagged"]:
        flagged[row["split"]] += row["count"]
    for counts, what in ((left_out, "were left out"), (flagged, "are flagged as odd")):
        for name, row in splits.items():
            rows = row["utterances"] + (counts[name] if counts is left_out else 0)
            if counts[name] > MUCH * rows:
                lines.append(f"{name}: {counts[name]:,} of {rows:,} utterances {what} ({counts[name] / rows:.1%})")
    return lines


def _leaks(shared: Iterable[Row], splits: dict[str, Row]) -> list[str]:
    lines = []
    for row in shared:
        name, other, mine = row["split"], row["other"], splits[row["split"]]
        if row["speakers"]:
            lines.append(f"{name} shares {row['speakers']} of its {mine['speakers']} speakers with {other}")
        elif mine["without_speaker"] and splits[other]["without_speaker"]:
            lines.append(
                f"{name} and {other} have utterances without a speaker: whether they share speakers is not known"
            )
        if row["sentences"]:
            said = f"{row['utterances']:,} of its {mine['utterances']:,} utterances"
            lines.append(f"{name} shares {_number(row['sentences'], 'sentence')} with {other} ({said})")
    return lines


def _unknown_characters(characters: list[Row], splits: dict[str, Row]) -> list[str]:
    lines = []
    for name in splits:
        foreign = [row["character"] for row in characters if row.get(name) and not row.get("train")]
        if foreign:
            some = " ".join(foreign[:CHARACTERS_NAMED]) + (" ..." if len(foreign) > CHARACTERS_NAMED else "")
            lines.append(f"{name} has {_number(len(foreign), 'character')} that train never has: {some}")
    return lines


def _number(count: int, thing: str) -> str:
    return f"{count:,} {thing}{'s' if count != 1 else ''}"


def _read(artifact: Artifact, name: str) -> pa.Table:
    return pq.read_table(artifact.file(name))
