"""A corpus becomes shards of original clips, an index of what is in them, and a quarantine of what could not be used.

The driver reads the corpus' tables once and writes lists of utterances, each the job of one shard; Ray Data does the
jobs; the driver joins their tables. Neither holds more than one shard's rows. A job once done is not done again when
a killed run is repeated.
"""

import hashlib
import importlib
import json
import math
import re
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from operator import itemgetter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from infra.artifact_store import Artifact, Draft, open_draft
from tasks.corpora import archive_index
from tasks.corpora.corpus_files import CorpusFiles, open_corpus, open_generated_corpus
from tasks.corpora.corpus_uri import Corpus, IngestConfig
from tasks.corpora.utterance import QUARANTINE, SPLITS, Reject, Utterance
from tasks.ingest.finalize_ingest import finalize_ingest
from tasks.ingest.ingest_shard import JOB, JOBS, NO_SPAN, ingest_shard, serialize_clips
from tasks.ingest.pair_filter import PAIRS, drop_repeated_pairs, pair_filter
from tasks.ingest.row_origins import Origins
from tasks.ingest.shard_format import canonical_json
from tasks.ingest.split_corpus import split_corpus
from tasks.steps.parquet_io import to_parquet, to_table
from tasks.steps.pipeline_step import step
from tasks.steps.ray_jobs import Job, run_jobs

FIRST_ROWS, LAST_ROWS, SHARDS_A_STEP = 128, 4096, 8  # shards grow: few clips still make enough shards for all cores
REJECTS_HELD = 4096
PIECES_HELD = 1 << 16  # rows that are pieces of recordings, brought together before they are jobs
PIECE_BYTES = 96_000  # a second, at most
MEASURED = ("dev", "test")  # splits that nothing is learned from
NOT_IN_A_KEY = re.compile(r"[^A-Za-z0-9_-]")
_json = lru_cache(json.dumps)  # of what most rows have in common

Row = Utterance | Reject


@step
def ingest_corpus(corpus: Corpus, fingerprint: str, options: IngestConfig, splits: tuple[str, ...]) -> Artifact:
    """The shards of these splits. Raises UserError where the corpus cannot be read or passes the error budget."""
    same_work = replace(options, error_budget=1.0)  # another budget needs no other shards
    out = open_draft("shards", ingest_corpus.key(corpus, fingerprint, same_work, splits)[:32])
    with out.lock():
        return _ingested(out, corpus, options, splits)


def _ingested(out: Draft, corpus: Corpus, options: IngestConfig, splits: tuple[str, ...]) -> Artifact:
    source = open_source(corpus, options, out)
    rows = split_corpus(lambda wanted: read_rows(source, corpus, options, wanted), options, splits)
    rows = drop_repeated_pairs(rows) if corpus.verb == PAIRS else rows
    origins = Origins()
    names = write_shards(origins.count(rows), source, options, out)
    return finalize_ingest(out, names, corpus, options, splits, origins.told())


def read_rows(source: CorpusFiles, corpus: Corpus, options: IngestConfig, splits: tuple[str, ...]) -> Iterator[Row]:
    """What the corpus' reader says of these splits, and of rows without one; rows that cannot be used as rejects."""
    reader = importlib.import_module(f"tasks.corpora.readers.{corpus.kind}")
    return _checked(getattr(reader, corpus.verb)(source, options, splits))


def write_shards(rows: Iterator[Row], source: CorpusFiles, options: IngestConfig, out: Draft) -> list[str]:
    """Shards of these rows in the draft, each with a table of what is in it; their names, for `finalize_ingest`."""
    limits = {"out": out.uri, "min_seconds": options.min_seconds, "max_seconds": options.max_seconds}
    limits["pairs"] = pair_filter(options) if options.target_language else None
    jobs = [limits | place for place in _write_jobs(rows, source, options, out)]
    jobs.reverse()  # the small ones end last
    for _ in run_jobs(ingest_shard, _unfinished(jobs, out), "ingest"):
        pass
    return [job["name"] for job in jobs]


def list_splits(shards: Artifact) -> tuple[str, ...]:
    """The splits that have at least one utterance."""
    found = shards.read_json("summary.json")["splits"]
    return tuple(split for split in SPLITS if split in found and found[split]["kept"])


def count_splits(corpus: Corpus, options: IngestConfig) -> dict[str, int]:
    """How many rows the corpus itself gives each split, "" for none, by reading its tables alone."""
    out = open_draft("shards")
    try:
        return dict(Counter(row.split for row in read_rows(open_source(corpus, options, out), corpus, options, SPLITS)))
    finally:
        out.discard()


def open_source(corpus: Corpus, options: IngestConfig, out: Draft) -> CorpusFiles:
    """The corpus' files; those of a generated one are made in the draft."""
    reader = importlib.import_module(f"tasks.corpora.readers.{corpus.kind}")
    if not hasattr(reader, "generate"):
        return open_corpus(corpus, out)
    with tempfile.TemporaryDirectory() as folder:
        if archive_index.INDEX not in out.finished():
            reader.generate(Path(folder), options)
        return open_generated_corpus(Path(folder), out)


def _checked(rows: Iterator[Row]) -> Iterator[Row]:
    """The rows, those without a usable transcript as rejects. In what is only measured on, a clip without words is
    silence: what a model writes there counts as an error.
    """
    for row in rows:
        if isinstance(row, Reject):
            yield row
        elif not row.text.strip() and row.split not in MEASURED:
            yield Reject(row.split, row.source, "read", "empty transcript")
        elif "\ufffd" in row.text:
            yield Reject(row.split, row.source, "read", "transcript is not UTF-8", row.text)
        else:
            yield row


def _write_jobs(rows: Iterator[Row], source: CorpusFiles, options: IngestConfig, out: Draft) -> list[Job]:
    """Lists of utterances into the draft, each as large as a shard, and the rejects. Names and places of the lists."""
    jobs: list[Job] = []
    with (
        out.writing(JOBS) as lists,
        out.writing("parts/rows.rejects.parquet") as file,
        pq.ParquetWriter(file, QUARANTINE) as table,
    ):
        rejects = _Rejects(table)
        located = _located(rows, source, rejects)
        for name, group in _grouped(_together(located), options.shard_mb * 2**20):
            offset, size = lists.tell(), lists.write(to_parquet(to_table(group, JOB)))
            jobs.append({"name": name, "offset": offset, "size": size})
        rejects.flush()
    return jobs


def _unfinished(jobs: list[Job], out: Draft) -> list[Job]:
    """The jobs without an index; what one that was killed has rejected is forgotten, for it may now find the clip."""
    done = out.finished()
    todo = [job for job in jobs if f"parts/{job['name']}.index.parquet" not in done]
    for name in done.intersection(f"parts/{job['name']}.rejects.parquet" for job in todo):
        out.remove(name)
    return todo


class _Rejects:
    """Rejects on their way into a table."""

    def __init__(self, table: pq.ParquetWriter) -> None:
        self.table, self.held = table, list[dict[str, str]]()

    def add(self, reject: Reject) -> None:
        self.held.append(reject._asdict())
        if len(self.held) >= REJECTS_HELD:
            self.flush()

    def flush(self) -> None:
        if self.held:
            self.table.write_table(pa.Table.from_pylist(self.held, QUARANTINE))
        self.held.clear()


def _located(rows: Iterator[Row], source: CorpusFiles, rejects: _Rejects) -> Iterator[tuple[dict[str, str], int]]:
    """Utterances with a key and the places of their clips, and their size in bytes."""
    keys = _Keys()
    for row in rows:
        if isinstance(row, Reject):
            rejects.add(row)
            continue
        clips = () if row.content else row.clips
        found = [(*place, _extension(clip)) for clip in clips if (place := source.locate(clip))]
        if len(found) < len(clips):
            missing = next(clip for clip in clips if not source.locate(clip))
            rejects.add(Reject(row.split, row.source, "read", "missing clip", missing))
        elif not (key := keys.new(row)):
            rejects.add(Reject(row.split, row.source, "read", "duplicate clip", "named twice"))
        else:
            job = {
                "key": key,
                "split": row.split,
                "text": row.text.strip(),
                "speaker": row.speaker,
                "source": row.source,
                "tags": canonical_json(dict(row.tags)),
                "content": row.content,
                "clips": serialize_clips(found),
                "pauses_ms": _json(row.pauses_ms),
                "span": _json(row.span),
                "channels": _json(row.channels),
            }
            size = sum(clip[2] for clip in found) + len(row.content.encode())
            yield job, min(size, math.ceil(row.span[1] * PIECE_BYTES)) if row.span and row.span[1] < math.inf else size


def _together(rows: Iterator[tuple[dict[str, str], int]]) -> Iterator[tuple[dict[str, str], int]]:
    """The rows; the pieces of a recording, as far as they can be held, one after the other and in the order of time,
    so that one job decodes it once for all of them.
    """
    pieces: dict[tuple[str, str, str], list[tuple[float, dict[str, str], int]]] = defaultdict(list)
    held = 0

    def in_order() -> Iterator[tuple[dict[str, str], int]]:
        for those in pieces.values():
            yield from ((row, size) for _, row, size in sorted(those, key=itemgetter(0)))
        pieces.clear()

    for row, size in rows:
        if row["span"] == NO_SPAN:
            yield row, size
            continue
        start = json.loads(row["span"])[0]
        pieces[row["split"], row["clips"], row["channels"]].append((start, row, size))
        held += 1
        if held == PIECES_HELD:
            yield from in_order()
            held = 0
    yield from in_order()


class _Keys:
    """Keys without dots, readable and unique; two numbers an utterance are all that is kept."""

    def __init__(self) -> None:
        self.sources: set[int] = set()
        self.keys: set[int] = set()

    def new(self, row: Utterance) -> str:
        """The utterance's key, "" where one with the same source has come before."""
        source = row.source
        if hash(source) in self.sources:
            return ""
        self.sources.add(hash(source))
        name = row.clips[0].rpartition("/")[2]
        key = NOT_IN_A_KEY.sub("_", name if row.content else name.rpartition(".")[0] or name)[:64]
        if hash(key) in self.keys or len(row.clips) > 1 or row.span or row.channels or key.strip("_") == "":
            key = f"{key}-{hashlib.blake2b(source.encode(), digest_size=8).hexdigest()}"
        self.keys.add(hash(key))
        return key


def _extension(clip: str) -> str:
    stem, _, suffix = clip.rpartition("/")[2].rpartition(".")
    return (_letters(suffix) if stem else "") or "audio"


@lru_cache(256)
def _letters(suffix: str) -> str:
    return re.sub(r"[^a-z0-9]", "", suffix.lower())


def _grouped(rows: Iterator[tuple[dict[str, str], int]], shard_bytes: float) -> Iterator[tuple[str, list[dict]]]:
    """Rows of one split each, as many as make a shard, under the shard's name."""
    held: dict[str, list[dict]] = defaultdict(list)
    sizes, made = Counter[str](), Counter[str]()

    def closed(split: str) -> tuple[str, list[dict]]:
        name, group = f"{split}-{made[split]:05d}", held.pop(split)
        made[split] += 1
        sizes[split] = 0
        return name, group

    for row, size in rows:
        split = row["split"]
        most = min(LAST_ROWS, FIRST_ROWS << made[split] // SHARDS_A_STEP)
        # The pieces of one recording may make a shard up to twice as large: another one would decode it again.
        more = (
            2 if held[split] and row.get("span", NO_SPAN) != NO_SPAN and held[split][-1]["clips"] == row["clips"] else 1
        )
        if held[split] and (sizes[split] + size > more * shard_bytes or len(held[split]) >= more * most):
            yield closed(split)
        held[split].append(row)
        sizes[split] += size
    for split in sorted(held):
        yield closed(split)
