"""A corpus of photos with captions becomes shards of original photos, an index of what is in them, and a quarantine of
what could not be used.

As tasks/ingest/ingest_corpus.py does with clips: the driver reads the corpus' tables once and writes lists of photos,
each the job of one shard; Ray Data does the jobs; the driver joins their tables, and takes out of training what is held
out as well. A job once done is not done again when a killed run is repeated.
"""

import hashlib
import importlib
import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import pyarrow.parquet as pq

from infra.artifact_store import Artifact, Draft, open_draft
from infra.errors import UserError
from tasks.corpora.corpus_files import CorpusFiles
from tasks.corpora.corpus_uri import Corpus
from tasks.corpora.photo_row import PhotoIngestConfig, PhotoRow
from tasks.corpora.utterance import QUARANTINE, SPLITS, Reject
from tasks.ingest.photos.finalize_photos import CAPTION, LEAK, finalize_photos
from tasks.ingest.photos.photo_shard import JOB, ingest_photo_shard
from tasks.ingest.shard_jobs import JOBS, NOT_IN_A_KEY, RejectTable, group_rows, open_source, unfinished_jobs
from tasks.steps.parquet_io import to_parquet, to_table
from tasks.steps.pipeline_step import step
from tasks.steps.ray_jobs import Job, run_jobs

OWN_DIVISION = "our own division: photos apart"
CARVED = "held out of train: the corpus has no dev split"
SMALLEST = 3  # photos, from which each split gets one
SHOWN = 80  # characters of a caption

log = logging.getLogger(__name__)

Row = PhotoRow | Reject


@step
def ingest_photos(corpus: Corpus, fingerprint: str, options: PhotoIngestConfig, splits: tuple[str, ...]) -> Artifact:
    """The shards of these splits. Raises UserError where the corpus cannot be read or passes the error budget."""
    same_work = replace(options, error_budget=1.0, near_bits=0)  # which change no shard
    out = open_draft("shards", ingest_photos.key(corpus, fingerprint, same_work, splits)[:32])
    with out.lock():
        source = open_source(corpus, options, out)
        reader = importlib.import_module(f"tasks.corpora.readers.{corpus.kind}")
        rows = list(split_photos(check_captions(reader.photos(source, options, SPLITS), options), options, splits))
        jobs = [
            {"out": out.uri, "max_pixels": options.max_pixels} | place
            for place in _write_jobs(rows, source, options, out)
        ]
        for _ in run_jobs(ingest_photo_shard, unfinished_jobs(jobs, out), "ingest"):
            pass
        told = _split_origins(rows)
        return finalize_photos(out, [job["name"] for job in jobs], corpus, options, (splits, told))


def check_captions(rows: Iterable[Row], options: PhotoIngestConfig) -> Iterator[Row]:
    """The rows, captions in single spaces, and rejects for captions and photos that cannot be used."""
    for row in rows:
        if isinstance(row, Reject):
            yield row
            continue
        kept = list[str]()
        for caption in row.captions:
            clean = " ".join(caption.split())
            if reason := _fault(clean, options.max_words):
                yield Reject(row.split, row.source, CAPTION, *reason)
            else:
                kept.append(clean)
        if kept:
            yield row._replace(captions=tuple(kept))
        else:
            yield Reject(row.split, row.source, "read", "photo without captions", f"{len(row.captions)} given")


def _fault(caption: str, most: int) -> tuple[str, str] | None:
    """Reason and detail where a caption cannot be used."""
    if not any(character.isalnum() for character in caption):
        return "empty caption", repr(caption[:SHOWN])
    if "\ufffd" in caption:
        return "caption is not UTF-8", caption[:SHOWN]
    words = len(caption.split())
    return ("caption too long", f"{words} words, ingest.max_words is {most}") if words > most else None


def split_photos(rows: Iterable[Row], options: PhotoIngestConfig, splits: tuple[str, ...]) -> Iterator[Row]:
    """The rows of these splits, photos without one placed by lot, and a dev split made where the corpus has none.

    Raises UserError where the corpus has none of the splits asked for, or no train where that is.
    """
    held = list(rows)
    there = {row.split for row in held if isinstance(row, PhotoRow)}
    if not there:
        told = next((f"; the first: {r.source}: {r.reason}, {r.detail}" for r in held if isinstance(r, Reject)), "")
        raise UserError(f"the corpus has no photo with a caption{told}")
    shares, movable = {"test": options.test_share, "dev": options.dev_share}, ""
    if "" not in there and "train" in there and "dev" not in there and {"train", "dev"} & set(splits):
        shares, movable = {"dev": options.dev_share}, "train"
        log.warning("the corpus has no dev split: %.0f %% of train become dev", 100 * options.dev_share)
    made = set(SPLITS) if "" in there else there | ({"dev"} if movable else set())
    if not made & set(splits) or ("train" in splits and "train" not in made):
        has = ", ".join(split for split in SPLITS if split in there)
        raise UserError(f"the corpus has no {' or '.join(splits)} split; it has {has}")
    free = [row.source for row in held if isinstance(row, PhotoRow) and row.split == movable]
    places = draw_splits(free, shares, options.seed) if movable in there else {}
    for row in held:
        split = row.split
        if split == movable:
            split = places.get(row.source, "train") if isinstance(row, PhotoRow) else "train"
        if split not in splits:
            continue
        if isinstance(row, PhotoRow) and split != row.split:
            row = row._replace(split_from=CARVED if movable else OWN_DIVISION)
        yield row._replace(split=split)


def draw_splits(sources: Iterable[str], shares: dict[str, float], seed: int) -> dict[str, str]:
    """For each photo its split: those of `shares` as large as stated, by lot, the rest train."""
    order = sorted(set(sources), key=lambda source: hashlib.blake2b(f"{seed} {source}".encode()).digest())
    found, at = dict.fromkeys(order, "train"), 0
    for split, share in shares.items():
        count = max(round(share * len(order)), 1 if share and len(order) >= SMALLEST else 0)
        found |= dict.fromkeys(order[at : at + count], split)
        at += count
    return found


def _split_origins(rows: list[Row]) -> dict[str, dict[str, int]]:
    """For each split what said it, of how many photos."""
    found = defaultdict[str, Counter[str]](Counter)
    for row in rows:
        if isinstance(row, PhotoRow):
            found[row.split][row.split_from or "the reader"] += 1
    return {split: dict(counts.most_common()) for split, counts in found.items()}


def _write_jobs(rows: Iterable[Row], source: CorpusFiles, options: PhotoIngestConfig, out: Draft) -> list[Job]:
    """Lists of photos into the draft, each as large as a shard, and the rejects. Names and places of the lists."""
    jobs: list[Job] = []
    with (
        out.writing(JOBS) as lists,
        out.writing("parts/rows.rejects.parquet") as file,
        pq.ParquetWriter(file, QUARANTINE) as table,
    ):
        rejects = RejectTable(table)
        for name, group in group_rows(_located(rows, source, rejects), options.shard_mb * 2**20):
            offset, size = lists.tell(), lists.write(to_parquet(to_table(group, JOB)))
            jobs.append({"name": name, "offset": offset, "size": size})
        rejects.flush()
    return jobs


def _located(rows: Iterable[Row], source: CorpusFiles, rejects: RejectTable) -> Iterator[tuple[dict[str, Any], int]]:
    """Photos with a key and the places of their bytes, and their size."""
    splits, keys = dict[str, str](), set[str]()
    for row in rows:
        if isinstance(row, Reject):
            rejects.add(row)
        elif not (place := source.locate(row.photo)):
            rejects.add(Reject(row.split, row.source, "read", "missing photo", f"{len(row.captions)} captions"))
        elif (other := splits.setdefault(row.source, row.split)) != row.split:
            rejects.add(Reject(row.split, row.source, "divide", LEAK, f"named in {other}, too"))
        elif (key := _key(row, keys)) in keys:
            rejects.add(Reject(row.split, row.source, "read", "duplicate photo", "named twice"))
        else:
            keys.add(key)
            uri, offset, size = place
            boxes = [box._asdict() for box in row.boxes]
            told = {"key": key, "split": row.split, "source": row.source, "captions": list(row.captions)}
            yield (
                told | {"boxes": boxes, "uri": uri.encode(errors="surrogateescape"), "offset": offset, "size": size},
                size,
            )


def _key(row: PhotoRow, taken: set[str]) -> str:
    """Readable and without dots; with a hash of the photo's name where another has it."""
    name = row.photo.rpartition("/")[2]
    key = NOT_IN_A_KEY.sub("_", name.rpartition(".")[0] or name)[:64]
    if key not in taken and key.strip("_"):
        return key
    return f"{key}-{hashlib.blake2b(row.source.encode(), digest_size=8).hexdigest()}"
