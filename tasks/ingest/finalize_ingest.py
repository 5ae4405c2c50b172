"""The end of ingest: the jobs' tables become one index and one quarantine, counted and held to the error budget."""

import io
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from infra.artifact_store import Artifact, Draft, new_draft
from tasks.corpora.corpus_uri import Corpus, IngestConfig
from tasks.corpora.utterance import NOT_CHARGED, QUARANTINE, SPLITS
from tasks.ingest.shard_format import INDEX, TEXT
from tasks.ingest.shard_jobs import JOBS, TooManyRejects
from tasks.ingest.speaking_rate import fit_speaking_rate, log_rates
from tasks.ingest.split_corpus import sentence_hash
from tasks.steps.parquet_io import from_parquet

SCRATCH = (JOBS, "parts", "pieces")
TABLES = ("index.parquet", "quarantine.parquet", "summary.json")


@dataclass(slots=True)
class SplitCounts:
    """One split in numbers."""

    kept: int = 0
    flagged: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    rejected: Counter[str] = field(default_factory=Counter)
    speakers: set[str] = field(default_factory=set)
    sentences: set[int] = field(default_factory=set)  # of dev and test only
    first: str = ""  # reject: source, reason, detail

    @property
    def rows(self) -> int:
        return self.kept + self.rejected.total()


def finalize_ingest(
    out: Draft,
    names: list[str],
    corpus: Corpus,
    options: IngestConfig | None,
    splits: tuple[str, ...],
    told: dict[str, Any],
) -> Artifact:
    """The artifact of the finished jobs. options: None where the caller holds the rows to an error budget. told: what
    splits and speakers were taken from, for the summary.

    Raises UserError where a split has passed the error budget or has nothing.
    """
    ordered = sorted(names, key=lambda name: (SPLITS.index(name.rpartition("-")[0]), name))
    counts: dict[str, SplitCounts] = {split: SplitCounts() for split in SPLITS if split in splits}
    with TemporaryDirectory() as folder:
        index, quarantine = Path(folder, "index.parquet"), Path(folder, "quarantine.parquet")
        with pq.ParquetWriter(index, INDEX) as good, pq.ParquetWriter(quarantine, QUARANTINE) as bad:
            leaks = _join(out, ordered, (good, bad), counts, spoken=corpus.verb == "utterances")
        numbers = {split: _numbers(count) for split, count in counts.items() if count.rows}
        summary = {"splits": numbers, "shared_with_train": leaks, **told}
        if options:
            _charge(counts, corpus, options, partial(_keep_tables, index, quarantine, summary))
        _put_tables(out, index, quarantine, summary)
    used = {f"{name}.tar" for name in names}.intersection(out.finished())
    for name in SCRATCH:
        out.remove(name)
    return out.commit({*used, *TABLES})


def _join(
    out: Draft,
    names: list[str],
    tables: tuple[pq.ParquetWriter, pq.ParquetWriter],
    counts: dict[str, SplitCounts],
    *,
    spoken: bool,
) -> dict[str, dict[str, int]]:
    """Write both tables, count, flag what is spoken in unusual time, and say how many sentences and speakers train
    shares with dev and test.
    """
    good, bad = tables
    wanted, done = _wanted(out, names), out.finished()
    shared: dict[str, dict[str, set]] = defaultdict(lambda: {"sentences": set(), "speakers": set()})
    rates = [log_rates(_read(out, f"parts/{name}.index.parquet", ["text", "seconds"])) for name in names if spoken]
    rate = fit_speaking_rate(np.concatenate([np.zeros(0), *rates])[wanted if spoken else slice(None)])
    at = 0
    for name in names:
        part = _read(out, f"parts/{name}.index.parquet")
        keep = wanted[at : at + len(part)]
        at += len(part)
        if not keep.all():
            _write_rejects(bad, _duplicates(part.filter(pa.array(~keep))), counts)
            part = part.filter(pa.array(keep))
        if (rejects := f"parts/{name}.rejects.parquet") in done:
            _write_rejects(bad, _read(out, rejects), counts)
        if len(part):
            flags = pa.array(rate.flags(part), pa.string())
            part = part.set_column(part.schema.get_field_index("flag"), "flag", flags)
            good.write_table(part)
        _count(part, name.rpartition("-")[0], counts, shared)
    for batch in _batches(out.read("parts/rows.rejects.parquet")):
        _write_rejects(bad, batch, counts)
    return {split: {what: len(found) for what, found in both.items()} for split, both in shared.items()}


def _wanted(out: Draft, names: list[str]) -> np.ndarray:
    """For every row of the parts in this order, whether no row before has the same bytes. A text may come again, as
    people say the same things again, but in no other split.
    """
    parts = [_read(out, f"parts/{name}.index.parquet", ["sha256", "extension"]) for name in names]
    hashes = np.concatenate([np.array(p["sha256"].to_pylist(), "S64") for p in parts] or [np.array([], "S64")])
    _, firsts, numbers = np.unique(hashes, return_index=True, return_inverse=True)
    first = firsts[numbers]
    is_text = np.array([extension == TEXT for p in parts for extension in p["extension"].to_pylist()], bool)
    splits = np.repeat([SPLITS.index(name.rpartition("-")[0]) for name in names], [len(p) for p in parts])
    return (first == np.arange(len(hashes))) | (is_text & (splits[first] == splits))


def _duplicates(rows: pa.Table) -> pa.Table:
    same = rows.select(["source", "split", "sha256"])
    of_text = TEXT in rows["extension"].to_pylist()
    told = ("divide", NOT_CHARGED) if of_text else ("decode", "duplicate clip")
    detail = f"same bytes as another {'text' if of_text else 'clip'}"
    for name, value in (("stage", told[0]), ("reason", told[1]), ("detail", detail)):
        same = same.append_column(name, pa.array([value] * len(rows), pa.string()))
    return same


def _write_rejects(table: pq.ParquetWriter, rows: pa.Table, counts: dict[str, SplitCounts]) -> None:
    if len(rows):
        table.write_table(rows)
    for row in rows.to_pylist():
        count = counts[row["split"]]
        count.rejected[row["reason"]] += 1
        if not count.first and row["reason"] != NOT_CHARGED:
            count.first = f"{row['source']}, {row['reason']}" + (f", {row['detail']}" if row["detail"] else "")


def _count(rows: pa.Table, split: str, counts: dict[str, SplitCounts], shared: dict[str, dict[str, set]]) -> None:
    count, speakers = counts[split], set(rows["speaker"].unique().to_pylist()) - {""}
    sentences = {sentence_hash(text) for text in rows["text"].to_pylist()}
    count.kept += len(rows)
    count.flagged.update(flag for flag in rows["flag"].to_pylist() if flag)
    count.seconds += sum(rows["seconds"].to_pylist())
    count.speakers |= speakers
    if split != "train":
        count.sentences |= sentences
        return
    for other in (s for s in counts if s != "train" and counts[s].kept):
        shared[other]["sentences"] |= counts[other].sentences & sentences
        shared[other]["speakers"] |= counts[other].speakers & speakers


def _put_tables(out: Draft, index: Path, quarantine: Path, summary: dict[str, Any]) -> None:
    out.put(TABLES[0], index)
    out.put(TABLES[1], quarantine)
    out.put_json(TABLES[2], summary)


def _keep_tables(index: Path, quarantine: Path, summary: dict[str, Any]) -> Artifact:
    """What is known of rows whose shards are not kept."""
    with new_draft("quarantine") as kept:
        _put_tables(kept.draft, index, quarantine, summary)
    return kept.result()


def _charge(
    counts: dict[str, SplitCounts], corpus: Corpus, options: IngestConfig, keep: Callable[[], Artifact]
) -> None:
    """Raises TooManyRejects, with the tables kept as an artifact, where too much is unusable."""
    for split, count in counts.items():
        charged = count.rejected.total() - count.rejected[NOT_CHARGED]
        rows = count.kept + charged
        over = charged > options.error_budget * rows
        if not over and (count.kept or split != "train"):
            continue
        kept = keep()
        table = f"{kept.uri}/{TABLES[1]}"
        reasons = ", ".join(f"{number} {reason}" for reason, number in count.rejected.most_common())
        said = (
            f"corpus {corpus}: split {split}: {charged} of {rows} rows cannot be used ({reasons}; first {count.first})"
        )
        if not over:
            raise TooManyRejects(f"{said}; nothing is left to train on; all are listed in {table}", kept)
        share, budget = 100 * charged / rows, 100 * options.error_budget
        raise TooManyRejects(
            f"{said}: {share:.1f} %, the budget is {budget:g} %; all are listed in {table}; mend them or allow more "
            f"with --set ingest.error_budget={min(1.0, np.ceil(share) / 100):g}",
            kept,
        )


def _numbers(count: SplitCounts) -> dict[str, Any]:
    return {
        "rows": count.rows,
        "kept": count.kept,
        "rejected": dict(count.rejected.most_common()),
        "flagged": dict(count.flagged.most_common()),
        "seconds": round(count.seconds, 3),
        "speakers": len(count.speakers),
    }


def _read(out: Draft, name: str, columns: list[str] | None = None) -> pa.Table:
    return from_parquet(out.read(name), columns)


def _batches(data: bytes) -> Iterator[pa.Table]:
    file = pq.ParquetFile(io.BytesIO(data))
    for group in range(file.num_row_groups):
        yield file.read_row_group(group)
