"""What the ingest of clips and that of photos share: rows in groups as large as a shard, rejects, and what is done."""

import importlib
import re
import tempfile
from collections import Counter, defaultdict
from collections.abc import Container, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from infra.artifact_store import Artifact, Draft
from infra.errors import UserError
from tasks.corpora import archive_index
from tasks.corpora.corpus_files import CorpusFiles, open_corpus, open_generated_corpus
from tasks.corpora.corpus_uri import Corpus, IngestConfig
from tasks.corpora.photo_row import PhotoIngestConfig
from tasks.corpora.utterance import QUARANTINE, Reject
from tasks.steps.ray_jobs import Job

FIRST_ROWS, LAST_ROWS, SHARDS_A_STEP = 128, 4096, 8  # shards grow: few rows still make enough shards for all cores
REJECTS_HELD = 4096
JOBS = "jobs"  # one file: a Parquet table for each shard to be, one after the other
NO_SPAN = "null"
NOT_IN_A_KEY = re.compile(r"[^A-Za-z0-9_-]")


class TooManyRejects(UserError):  # noqa: N818  (as UserError)
    """tables: the artifact that lists them, with the index of what could be used and the summary of both."""

    def __init__(self, message: str, tables: Artifact) -> None:
        super().__init__(message)
        self.tables = tables


def open_source(
    corpus: Corpus, options: IngestConfig | PhotoIngestConfig, out: Draft, known: Container[str] = ()
) -> CorpusFiles:
    """The corpus' files; those of a generated one are made in the draft. known: as `open_corpus` has it."""
    reader = importlib.import_module(f"tasks.corpora.readers.{corpus.kind}")
    if not hasattr(reader, "generate"):
        return open_corpus(corpus, out, known)
    with tempfile.TemporaryDirectory() as folder:
        if archive_index.INDEX not in out.finished():
            reader.generate(Path(folder), options)
        return open_generated_corpus(Path(folder), out)


def unfinished_jobs(jobs: list[Job], out: Draft) -> list[Job]:
    """The jobs without an index; what one that was killed has rejected is forgotten, for it may now find the clip."""
    done = out.finished()
    todo = [job for job in jobs if f"parts/{job['name']}.index.parquet" not in done]
    for name in done.intersection(f"parts/{job['name']}.rejects.parquet" for job in todo):
        out.remove(name)
    return todo


class RejectTable:
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


def group_rows(rows: Iterator[tuple[dict[str, str], int]], shard_bytes: float) -> Iterator[tuple[str, list[dict]]]:
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
