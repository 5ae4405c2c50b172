"""A corpus of any kind to shards: every clip opened and decoded once, its bytes kept, what is bad set aside by name.

The reader's rows become jobs of one shard each, written into the draft; Ray Data does them in parallel, one clip in
memory at a time. Finished shards are kept when a run is killed. Out come the shards, index.parquet,
quarantine.parquet and summary.json.
"""

import hashlib
import importlib
import io
import json
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from infra import storage
from infra.problem import Problem
from infra.store import Artifact, Draft, draft, open_draft
from tasks import audio
from tasks.audio import BadClip
from tasks.corpus import Corpus, Ingest
from tasks.parallel import Job, run_jobs
from tasks.shards import INDEX, QUARANTINE, Sample, ShardWriter
from tasks.source import Source, generated_source, open_source
from tasks.split import divided, sentence_hash
from tasks.step import step
from tasks.utterance import NOT_CHARGED, SPLITS, Reject, Utterance

UTTERANCES_PER_SHARD = 2000
PLAN = "jobs/plan.json"
CLIP = pa.struct({"uri": pa.string(), "offset": pa.int64(), "size": pa.int64(), "name": pa.string()})
WORK = pa.schema(
    {
        "key": pa.string(),
        "split": pa.string(),
        "text": pa.string(),
        "speaker": pa.string(),
        "source": pa.string(),
        "tags": pa.string(),
        "clips": pa.list_(CLIP),
        "pauses_ms": pa.list_(pa.int32()),
        "span": pa.list_(pa.float64()),
    }
)


@step
def ingest(corpus: Corpus, fingerprint: str, options: Ingest, splits: tuple[str, ...]) -> Artifact:
    """The shards of some splits of a corpus, which is as `fingerprint` says. Raises Problem beyond the error budget."""
    out = open_draft("shards", ingest.key(corpus, fingerprint, options, splits)[:32])
    if PLAN not in out.finished():
        plan(out, corpus, options, splits)
    told, done = json.loads(out.read(PLAN)), out.finished()
    common = {"out": out.uri, "options": json.dumps([options.min_seconds, options.max_seconds])}
    jobs: list[Job] = [common | {"shard": s} for s in told["shards"] if part(s, "index") not in done]
    for _ in run_jobs(ingest_shard, jobs, "ingest"):
        pass
    return merge(out, told, options)


def plan(out: Draft, corpus: Corpus, options: Ingest, splits: tuple[str, ...]) -> None:
    """The jobs: a file of rows for each shard to be; the rows that are refused unseen; and the list of it all."""
    reader = importlib.import_module(f"tasks.ingest.{corpus.kind}")
    if hasattr(reader, "generate"):
        with tempfile.TemporaryDirectory() as folder:
            reader.generate(Path(folder, "corpus"), options)
            source = generated_source(Path(folder, "corpus"), out)
    else:
        source = open_source(corpus, out)
    rows = divided(partial(reader.utterances, source, options), options, tuple(s for s in SPLITS if s in splits))
    rejects: list[Reject] = []
    shards: list[str] = []
    for split, group in grouped(checked(rows, source, rejects), options):
        shards.append(f"{split}-{sum(s.startswith(split) for s in shards):05}.tar")
        out.put(f"jobs/{shards[-1]}.parquet", parquet(group, WORK))
    if not shards and not rejects:
        raise Problem(f"corpus {corpus}: no rows in {', '.join(splits)}")
    out.put("jobs/rejects.parquet", parquet([_row(r) for r in rejects], QUARANTINE))
    out.put_json(PLAN, {"shards": shards, "corpus": str(corpus)})


def checked(rows: Iterable[Utterance | Reject], source: Source, rejects: list[Reject]) -> Iterator[dict[str, Any]]:
    """Rows of WORK; what can be refused without opening a clip goes to `rejects`."""
    seen: set[int] = set()
    for row in rows:
        if isinstance(row, Reject):
            rejects.append(row)
            continue
        places = [(name, source.locate(name)) for name in row.clips]
        missing = next((name for name, place in places if place is None), None)
        name = hash64(row.source)
        if not row.text.strip():
            rejects.append(Reject(row.split, row.source, "read", "empty transcript"))
        elif name in seen:
            rejects.append(Reject(row.split, row.source, "read", "duplicate clip", "listed before"))
        elif missing is not None:
            rejects.append(Reject(row.split, row.source, "read", "missing clip", missing))
        else:
            seen.add(name)
            yield {
                "key": unique_key(row, seen),
                "split": row.split,
                "text": row.text,
                "speaker": row.speaker,
                "source": row.source,
                "tags": json.dumps(row.tags, ensure_ascii=False, sort_keys=True),
                "clips": [{"uri": p[0], "offset": p[1], "size": p[2], "name": n} for n, p in places if p],
                "pauses_ms": list(row.pauses_ms),
                "span": list(row.span or ()),
            }


def unique_key(row: Utterance, seen: set[int]) -> str:
    """The clip's name without what WebDataset or a file system minds, made unique by a hash where it is not."""
    stem = row.clips[0].rsplit("/", 1)[-1].rsplit(".", 1)[0]
    key = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "_" for c in stem)[:60]
    if len(row.clips) > 1 or row.span or hash64(f"key {key}") in seen:
        key = f"{key}-{hashlib.sha256(row.source.encode()).hexdigest()[:12]}"
    seen.add(hash64(f"key {key}"))
    return key


def grouped(rows: Iterable[dict[str, Any]], options: Ingest) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Rows cut into shards: at the wished size, at a number of utterances, and where the split changes."""
    group: list[dict[str, Any]] = []
    size = 0
    for row in rows:
        mine = sum(clip["size"] for clip in row["clips"])
        full = size + mine > options.shard_mb * 2**20 or len(group) == UTTERANCES_PER_SHARD
        if group and (full or row["split"] != group[0]["split"]):
            yield group[0]["split"], group
            group, size = [], 0
        group.append(row)
        size += mine
    if group:
        yield group[0]["split"], group


def ingest_shard(job: Job) -> Job:
    """One shard: its tar, its rejects, then its index, whose mark says that the shard is finished."""
    out, name = Draft("shards", job["out"]), job["shard"]
    shortest, longest = json.loads(job["options"])
    index: list[dict[str, Any]] = []
    rejects: list[dict[str, Any]] = []
    work = pq.read_table(io.BytesIO(out.read(f"jobs/{name}.parquet"))).to_pylist()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        with path.open("wb") as file:
            writer = ShardWriter(file)
            for row in work:
                try:
                    sample = opened(row, shortest, longest)
                except BadClip as bad:
                    reject = Reject(row["split"], row["source"], "decode", bad.reason, bad.detail, _sha256(row))
                    rejects.append(_row(reject))
                    continue
                offset, size = writer.add(sample)
                index.append(indexed(sample, row["tags"]) | {"shard": name, "offset": offset, "size": size})
            writer.close()
        out.put(name, path)
    out.put(part(name, "rejects"), parquet(rejects, QUARANTINE))
    out.put(part(name, "index"), parquet(index, INDEX))
    return {"utterances": len(index)}


def opened(row: dict[str, Any], shortest: float, longest: float) -> Sample:
    """The row with its clip, decoded once to know that it can be. Raises BadClip."""
    contents = [_read(clip) for clip in row["clips"]]
    names = [clip["name"] for clip in row["clips"]]
    waves, rates = [], set()
    for content, name in zip(contents, names, strict=True):
        limit = float("inf") if row["span"] else longest
        wave, rate = audio.decode(content, extension_of(name), limit)
        waves.append(wave)
        rates.add(rate)
    if len(rates) > 1:
        raise BadClip("sample rates differ", f"{sorted(rates)} in {row['source']}")
    data, extension, wave = contents[0], extension_of(names[0]), waves[0]
    if len(waves) > 1 or row["span"]:
        wave = audio.join(waves, tuple(row["pauses_ms"]), rate) if len(waves) > 1 else wave
        wave = audio.cut(wave, rate, (row["span"][0], row["span"][1])) if row["span"] else wave
        data, extension = audio.encode_wav(wave, rate), "wav"
    seconds = len(wave) / rate
    if not shortest <= seconds <= longest:
        raise BadClip("too short" if seconds < shortest else "too long", f"{seconds:.2f} s")
    same = {name: row[name] for name in ("key", "text", "speaker", "split", "source")}
    sha256 = hashlib.sha256(data).hexdigest()
    known = {"seconds": seconds, "sample_rate": rate, "sha256": sha256, "tags": json.loads(row["tags"])}
    return Sample(extension=extension, data=data, **same, **known)


def indexed(sample: Sample, tags: str) -> dict[str, Any]:
    names = [n for n in INDEX.names if n not in {"shard", "offset", "size", "tags"}]
    return {name: getattr(sample, name) for name in names} | {"tags": tags}


def extension_of(name: str) -> str:
    return name.rsplit(".", 1)[-1].lower()


def merge(out: Draft, told: dict[str, Any], options: Ingest) -> Artifact:
    """One index and one quarantine; the same bytes twice leave one; the budget is checked; then the artifact."""
    shards = told["shards"]
    index = pa.concat_tables([_table(out, part(s, "index")) for s in shards] or [INDEX.empty_table()])
    rejects = [_table(out, "jobs/rejects.parquet"), *(_table(out, part(s, "rejects")) for s in shards)]
    index, twice = without_duplicates(index)
    quarantine = pa.concat_tables([*rejects, twice])
    summary = summarise(index, quarantine) | {"corpus": told["corpus"]}
    check_budget(summary, quarantine, options)
    out.put("index.parquet", table_bytes(index))
    out.put("quarantine.parquet", table_bytes(quarantine))
    out.put_json("summary.json", summary)
    wanted = {*shards, "index.parquet", "quarantine.parquet", "summary.json"}
    for name in out.finished() - wanted:
        out.remove(name)
    return out.commit(wanted)


def without_duplicates(index: pa.Table) -> tuple[pa.Table, pa.Table]:
    """The index without the clips whose bytes came before (test before dev before train), and those as rejects."""
    first: dict[str, str] = {}
    again: list[dict[str, Any]] = []
    keep = []
    columns = ("sha256", "split", "source")
    for sha256, split, source in zip(*(index[c].to_pylist() for c in columns), strict=True):
        keep.append(sha256 not in first)
        if not keep[-1]:
            detail = f"the same bytes as {first[sha256]}"
            again.append(_row(Reject(split, source, "merge", "duplicate clip", detail, sha256)))
        first.setdefault(sha256, source)
    return index.filter(pa.array(keep, pa.bool_())), pa.Table.from_pylist(again, QUARANTINE)


def summarise(index: pa.Table, quarantine: pa.Table) -> dict[str, Any]:
    """Per split: rows, kept, rejected by reason, hours, speakers; and what dev and test share with train."""
    told: dict[str, Any] = {}
    columns = {name: index[name].to_pylist() for name in ("split", "seconds", "speaker", "text")}
    rejected = list(zip(quarantine["split"].to_pylist(), quarantine["reason"].to_pylist(), strict=True))
    speakers: dict[str, set[str]] = {}
    texts: dict[str, set[int]] = {}
    for split in [s for s in reversed(SPLITS) if s in {*columns["split"], *(s for s, _ in rejected)}]:
        mine = [i for i, s in enumerate(columns["split"]) if s == split]
        speakers[split] = {columns["speaker"][i] for i in mine} - {""}
        texts[split] = {sentence_hash(columns["text"][i]) for i in mine}
        reasons = Counter(reason for s, reason in rejected if s == split)
        told[split] = {
            "rows": len(mine) + sum(reasons.values()),
            "kept": len(mine),
            "rejected": dict(sorted(reasons.items())),
            "seconds": round(sum(columns["seconds"][i] for i in mine), 3),
            "speakers": len(speakers[split]),
        }
    shared = {
        split: {
            "speakers": len(speakers[split] & speakers.get("train", set())),
            "sentences": len(texts[split] & texts.get("train", set())),
        }
        for split in told
        if split != "train"
    }
    return {"splits": told, "shared_with_train": shared}


def check_budget(summary: dict[str, Any], quarantine: pa.Table, options: Ingest) -> None:
    """Raises Problem for a split that lost more than the budget, the quarantine table stored for a look at it."""
    for split, told in summary["splits"].items():
        charged = {reason: n for reason, n in told["rejected"].items() if reason != NOT_CHARGED}
        rows = told["rows"] - told["rejected"].get(NOT_CHARGED, 0)
        if sum(charged.values()) <= options.error_budget * rows:
            continue
        with draft("quarantine") as out:
            out.put("quarantine.parquet", table_bytes(quarantine))
        reasons = ", ".join(f"{n} {reason}" for reason, n in charged.items())
        places = zip(*(quarantine[n].to_pylist() for n in ("split", "reason", "source")), strict=True)
        first = next(source for s, reason, source in places if s == split and reason in charged)
        raise Problem(
            f"split {split}: {sum(charged.values())} of {rows} rows rejected, over the budget of "
            f"{options.error_budget:.0%} ({reasons}; first {first}); all in {out.result().uri}/quarantine.parquet; "
            f"mend the corpus or raise --set ingest.error_budget"
        )


def splits_of(shards: Artifact) -> list[str]:
    """The splits that hold utterances."""
    return [split for split, told in shards.read_json("summary.json")["splits"].items() if told["kept"]]


def part(shard: str, table: str) -> str:
    return f"parts/{shard}.{table}.parquet"


def parquet(rows: list[dict[str, Any]], schema: pa.Schema) -> bytes:
    return table_bytes(pa.Table.from_pylist(rows, schema))


def table_bytes(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def hash64(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def _table(out: Draft, name: str) -> pa.Table:
    return pq.read_table(io.BytesIO(out.read(name)))


def _row(reject: Reject) -> dict[str, Any]:
    return {name: getattr(reject, name) for name in QUARANTINE.names}


def _read(clip: dict[str, Any]) -> bytes:
    try:
        return storage.read(clip["uri"], clip["offset"], clip["size"])
    except FileNotFoundError as error:
        raise BadClip("missing clip", clip["name"]) from error


def _sha256(row: dict[str, Any]) -> str:
    return hashlib.sha256(b"".join(_read(clip) for clip in row["clips"])).hexdigest()
