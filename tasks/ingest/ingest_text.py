"""A corpus of plain text becomes shards, an index of what is in them, and a quarantine of the files that are no text.

A document is one file, stored as pieces of some 256 KiB, each a member of a WebDataset tar; the pieces in the order of
the index are the text again. Small documents share a shard, a large one has several. Each group of documents is a job
of Ray Data, which holds a few megabytes whatever their size.
"""

import importlib
import json
import posixpath
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa

from infra.artifact_store import Artifact, Draft, open_draft
from infra.errors import UserError
from tasks.corpora.corpus_files import Location, open_corpus
from tasks.corpora.corpus_uri import Corpus
from tasks.corpora.text_file import READ_BYTES, BadText, decode_utf8, read_text
from tasks.corpora.utterance import QUARANTINE
from tasks.ingest import tar
from tasks.ingest.shard_format import TEXT, streamed
from tasks.steps.parquet_io import from_parquet, to_parquet, to_table
from tasks.steps.pipeline_step import step
from tasks.steps.ray_jobs import Job, run_jobs

INDEX = pa.schema(
    {
        "key": pa.string(),
        "shard": pa.string(),
        "offset": pa.int64(),  # of the text itself in the shard
        "size": pa.int64(),  # in bytes
        "characters": pa.int64(),
        "source": pa.string(),
    }
)


@dataclass(frozen=True, kw_only=True)
class TextIngestConfig:
    """shard_mb: the size at which a shard is closed. error_budget: the share of files that may be rejected."""

    shard_mb: float = 64.0
    error_budget: float = 0.05


@step
def ingest_text(corpus: Corpus, fingerprint: str, options: TextIngestConfig) -> Artifact:
    """The shards of every document. Raises UserError for an empty corpus and beyond the error budget."""
    out = open_draft("text", ingest_text.key(corpus, fingerprint, options)[:32])
    source = open_corpus(corpus, out)
    names = importlib.import_module(f"tasks.corpora.readers.{corpus.kind}").documents(source)
    if not names:
        raise UserError(
            f"corpus {corpus}: no .txt, .txt.gz or .txt.zst in it; a file named itself may be called anything"
        )
    jobs: list[Job] = []
    for number, group in enumerate(_grouped(names, source.files, options.shard_mb * 2**20)):
        places = json.dumps([(name, source.locate(name)) for name in group])
        jobs.append({"group": f"{number:05}", "out": out.uri, "places": places, "shard_mb": options.shard_mb})
    done = out.finished()
    todo = [job for job in jobs if f"parts/{job['group']}.index.parquet" not in done]
    for _ in run_jobs(ingest_text_shard, todo, "ingest"):
        pass
    return _merged(out, [job["group"] for job in jobs], corpus, options)


def _grouped(names: list[str], files: dict[str, Location], shard_bytes: float) -> Iterator[list[str]]:
    """Names in their order, as many as fill a shard."""
    held, size = list[str](), 0
    for name in names:
        if held and size + files[name][2] > shard_bytes:
            yield held
            held, size = [], 0
        held.append(name)
        size += files[name][2]
    yield held


def ingest_text_shard(job: Job) -> Job:
    """The shards of one group of documents; their index comes last and marks the job as finished."""
    out, group, rejects = Draft("text", job["out"]), job["group"], list[dict[str, Any]]()
    with tempfile.TemporaryDirectory() as folder:
        shards, whole = _Shards(out, group, Path(folder), job["shard_mb"] * 2**20), Path(folder, "document")
        for number, (name, place) in enumerate(json.loads(job["places"])):
            try:
                with whole.open("w", encoding="utf-8", newline="") as file:  # all of it is text, or none is kept
                    file.writelines(read_text(name, place))
            except BadText as bad:
                told = {"source": name, "split": "", "sha256": "", "stage": "read"}
                rejects.append(told | {"reason": bad.reason, "detail": bad.detail})
            else:
                shards.add(f"{group}-{number:05}", decode_utf8(_chunks(whole)), name)
        shards.close()
    out.put(f"parts/{group}.rejects.parquet", to_parquet(to_table(rejects, QUARANTINE)))
    out.put(f"parts/{group}.index.parquet", to_parquet(to_table(shards.index, INDEX)))
    return {"rejected": len(rejects)}


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(READ_BYTES):
            yield chunk


class _Shards:
    """Documents on their way into the tars of one group."""

    def __init__(self, out: Draft, group: str, folder: Path, shard_bytes: float) -> None:
        self.out, self.group, self.folder, self.shard_bytes = out, group, folder, shard_bytes
        self.index: list[dict[str, Any]] = []
        self.number = 0
        self._open()

    def _open(self) -> None:
        self.file = self._path.open("wb")
        self.tar = tar.SampleWriter(self.file)

    def add(self, document: str, texts: Iterable[str], source: str) -> None:
        for number, piece in enumerate(texts):
            if self.tar.size >= self.shard_bytes:
                self.close()
                self.number += 1
                self._open()
            data, key = piece.encode(), f"{document}-{number:06}"
            begin, _ = self.tar.write(key, {TEXT: data})
            place = {"shard": self._path.name, "offset": begin + tar.BLOCK, "size": len(data)}
            self.index.append({"key": key, "characters": len(piece), "source": source} | place)

    def close(self) -> None:
        with self.file, self.tar:
            pass
        if self.tar.size:
            self.out.put(self._path.name, self._path)

    @property
    def _path(self) -> Path:
        return self.folder / f"{self.group}-{self.number:05}.tar"


def _merged(out: Draft, groups: list[str], corpus: Corpus, options: TextIngestConfig) -> Artifact:
    """One index and one quarantine of those of the groups, and a summary."""
    index = pa.concat_tables([from_parquet(out.read(f"parts/{g}.index.parquet")) for g in groups])
    bad = pa.concat_tables([from_parquet(out.read(f"parts/{g}.rejects.parquet")) for g in groups])
    kept = len(set(index["source"].to_pylist()))
    if len(bad) > options.error_budget * (kept + len(bad)):
        first, every = bad.to_pylist()[0], f"{len(bad)} of {kept + len(bad)} files cannot be used; "
        name = first["source"]
        place = corpus.uri if corpus.uri.endswith(f"/{name}") else posixpath.join(corpus.uri, name)
        told = f"{place}: {first['reason']} ({first['detail']})"
        raise UserError(f"{told}; {every if len(bad) > 1 else ''}mend it, or raise ingest.error_budget")
    sizes = {name: sum(index[name].to_pylist()) for name in ("characters", "size")}
    counts = {"documents": kept, "rejected": len(bad), "characters": sizes["characters"], "bytes": sizes["size"]}
    out.put("index.parquet", to_parquet(index))
    out.put("quarantine.parquet", to_parquet(bad))
    out.put_json("summary.json", {"corpus": str(corpus), **counts})
    for name in out.finished():
        if name.startswith(("parts/", "pieces/")):
            out.remove(name)
    return out.commit(index["shard"].to_pylist())


def read_text_pieces(text: Artifact, shard: str = "") -> Iterator[str]:
    """The pieces of a text artifact, or of one of its shards, in order; documents stand on lines of their own."""
    before, last = "", "\n"
    for source, piece in pieces_with_source(text, shard):
        if source != before and not last.endswith("\n"):
            yield "\n"
        before, last = source, piece
        yield piece


def pieces_with_source(text: Artifact, shard: str = "") -> Iterator[tuple[str, str]]:
    """The name of its document with each piece."""
    index = from_parquet(text.read("index.parquet"), ["shard", "source"]).to_pylist()
    for name, rows in groupby(index, lambda row: row["shard"]):
        if shard in {"", name}:
            for row, piece in zip(rows, streamed(text.file(name)), strict=True):
                yield row["source"], piece[TEXT].decode()
