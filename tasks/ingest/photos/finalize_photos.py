"""The end of the ingest of photos: the leak check, one index and one quarantine, counted and held to the error budget.

The same photo in two splits, exact or near by its perceptual hash, stays where it is held out, test before dev; the
other row leaves, and no budget is charged for it. Within a split only exact copies leave.
"""

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from infra.artifact_store import Artifact, Draft, new_draft
from tasks.corpora.corpus_uri import Corpus
from tasks.corpora.photo_row import NO_LIST, PhotoIngestConfig
from tasks.corpora.utterance import QUARANTINE, SPLITS
from tasks.images.near_duplicates import find_near
from tasks.images.perceptual_hash import COLUMNS, ROWS, hash_thumbnails, look_alike, mirror_thumbnails
from tasks.ingest.photos.photo_shard import INDEX, PART
from tasks.ingest.shard_jobs import JOBS, TooManyRejects
from tasks.steps.parquet_io import from_parquet, to_parquet

SCRATCH = (JOBS, "parts", "pieces")
TABLES = ("index.parquet", "quarantine.parquet", "summary.json")
CAPTION = "caption"  # the stage at which captions are rejected, whose photo may stay
LEAK = "photo in another split"
NOT_CHARGED = (LEAK, NO_LIST)


@dataclass
class PhotoCounts:
    """One split in numbers. photos, captions: why how many were rejected."""

    kept: int = 0
    kept_captions: int = 0
    photos: Counter[str] = field(default_factory=Counter)
    captions: Counter[str] = field(default_factory=Counter)
    first: str = ""  # that is charged: source, reason, detail


def finalize_photos(
    out: Draft,
    names: list[str],
    corpus: Corpus,
    options: PhotoIngestConfig,
    told: tuple[tuple[str, ...], dict[str, dict[str, int]]],
) -> Artifact:
    """The artifact of the finished jobs. told: the splits asked for, and what said them.

    Raises TooManyRejects where a split has passed the error budget or has nothing to train on.
    """
    splits, origins = told
    ordered = sorted(names, key=lambda name: (SPLITS.index(name.rpartition("-")[0]), name))
    parts = [from_parquet(out.read(f"parts/{name}.index.parquet")) for name in ordered]
    photos = pa.concat_tables([PART.empty_table(), *parts])
    leaves, rejects = find_leaks(photos, options.near_bits)
    done = out.finished()
    tables = [from_parquet(out.read(name)) for name in _reject_tables(ordered) if name in done]
    bad = pa.concat_tables([QUARANTINE.empty_table(), *tables, pa.Table.from_pylist(rejects, QUARANTINE)])
    kept = photos.filter(pa.array(~leaves)).select(INDEX.names)
    counts = _count(kept, bad, splits)
    leaked = Counter(row["split"] for row in bad.to_pylist() if row["reason"] == LEAK)
    numbers = {split: _numbers(count) for split, count in counts.items() if count.kept or count.photos}
    summary = {"splits": numbers, "split_from": origins, "shared_with_held_out": dict(leaked)}
    _charge(counts, corpus, options, (kept, bad, summary))
    _put_tables(out, kept, bad, summary)
    used = {f"{name}.tar" for name in names}.intersection(out.finished())
    for name in SCRATCH:
        out.remove(name)
    return out.commit({*used, *TABLES})


def find_leaks(photos: pa.Table, near_bits: int) -> tuple[np.ndarray, list[dict[str, str]]]:
    """Which of these rows, in the order test, dev, train, leave, and what the quarantine says of each."""
    rows = photos.select(["source", "split", "sha256"]).to_pylist()
    _, firsts, numbers = np.unique([row["sha256"] for row in rows], return_index=True, return_inverse=True)
    rejects = dict[int, dict[str, str]]()
    for at, first in enumerate(firsts[numbers] if rows else ()):
        if at != first:
            same = rows[at]["split"] == rows[first]["split"]
            stage, reason = ("decode", "duplicate photo") if same else ("divide", LEAK)
            rejects[at] = rows[at] | {"stage": stage, "reason": reason, "detail": f"same bytes as {_name(rows[first])}"}
    pixels = np.frombuffer(b"".join(photos["thumbnail"].to_pylist()), np.uint8).reshape(-1, ROWS, COLUMNS)
    ranks = np.array([SPLITS.index(row["split"]) for row in rows], int)
    for rank in sorted(set(ranks.tolist()))[1:]:
        kept = np.array([at not in rejects for at in range(len(rows))])
        known, asked = np.flatnonzero(kept & (ranks < rank)), np.flatnonzero(kept & (ranks == rank))
        for at, (other, bits, mirrored) in _find_alike(pixels, asked, known, near_bits).items():
            detail = f"like {_name(rows[other])}{', mirrored' if mirrored else ''}: {bits} of 256 bits differ"
            rejects[at] = rows[at] | {"stage": "divide", "reason": LEAK, "detail": detail}
    leaves = np.zeros(len(rows), bool)
    leaves[list(rejects)] = True
    return leaves, [rejects[at] for at in sorted(rejects)]


def _find_alike(
    pixels: np.ndarray, asked: np.ndarray, known: np.ndarray, near_bits: int
) -> dict[int, tuple[int, int, bool]]:
    """For each row asked that looks like a known one, as it is or mirrored: the nearest, bits, and whether mirrored."""
    found = dict[int, tuple[int, int, bool]]()
    hashes = hash_thumbnails(pixels[known])
    for mirrored in (False, True):
        thumbnails = mirror_thumbnails(pixels[asked]) if mirrored else pixels[asked]
        for query, place, bits in find_near(hash_thumbnails(thumbnails), hashes, near_bits).tolist():
            at, other = int(asked[query]), int(known[place])
            nearer = at not in found or bits < found[at][1]
            if nearer and look_alike(thumbnails[query], pixels[other]):
                found[at] = other, bits, mirrored
    return found


def _name(row: dict[str, str]) -> str:
    return f"{row['source']} of {row['split']}"


def _reject_tables(names: list[str]) -> list[str]:
    return ["parts/rows.rejects.parquet", *(f"parts/{name}.rejects.parquet" for name in names)]


def _count(kept: pa.Table, bad: pa.Table, splits: tuple[str, ...]) -> dict[str, PhotoCounts]:
    counts = {split: PhotoCounts() for split in SPLITS if split in splits}
    for split, captions in zip(kept["split"].to_pylist(), kept["captions"].to_pylist(), strict=True):
        counts[split].kept += 1
        counts[split].kept_captions += len(captions)
    for row in bad.to_pylist():
        count = counts[row["split"]]
        (count.captions if row["stage"] == CAPTION else count.photos)[row["reason"]] += 1
        if not count.first and row["reason"] not in NOT_CHARGED:
            count.first = ", ".join(filter(None, (row["source"], row["reason"], row["detail"])))
    return counts


def _numbers(count: PhotoCounts) -> dict[str, Any]:
    return {
        "rows": count.kept + count.photos.total(),
        "kept": count.kept,
        "captions": count.kept_captions,
        "rejected": dict((count.photos + count.captions).most_common()),
    }


def _charge(
    counts: dict[str, PhotoCounts],
    corpus: Corpus,
    options: PhotoIngestConfig,
    tables: tuple[pa.Table, pa.Table, dict[str, Any]],
) -> None:
    """Raises TooManyRejects, with the tables kept as an artifact, where too much is unusable."""
    for split, count in counts.items():
        for what, kept, reasons in (
            ("photos", count.kept, count.photos),
            ("captions", count.kept_captions, count.captions),
        ):
            charged = sum(number for reason, number in reasons.items() if reason not in NOT_CHARGED)
            over = charged > options.error_budget * (kept + charged)
            if not over and (kept or split != "train"):
                continue
            with new_draft("quarantine") as draft:
                _put_tables(draft.draft, *tables)
            listed = f"all are listed in {draft.result().uri}/{TABLES[1]}"
            why = ", ".join(f"{number} {reason}" for reason, number in reasons.most_common())
            said = f"corpus {corpus}: split {split}: {charged} of {kept + charged} {what} cannot be used"
            said = f"{said} ({why}; first {count.first})"
            if not over:
                raise TooManyRejects(f"{said}; nothing is left to train on; {listed}", draft.result())
            share, budget = 100 * charged / (kept + charged), 100 * options.error_budget
            raise TooManyRejects(
                f"{said}: {share:.1f} %, the budget is {budget:g} %; {listed}; mend them or allow more with "
                f"--set ingest.error_budget={min(1.0, math.ceil(share) / 100):g}",
                draft.result(),
            )


def _put_tables(out: Draft, kept: pa.Table, bad: pa.Table, summary: dict[str, Any]) -> None:
    out.put(TABLES[0], to_parquet(kept))
    out.put(TABLES[1], to_parquet(bad))
    out.put_json(TABLES[2], summary)
