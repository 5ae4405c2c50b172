"""What ingest made of a corpus, for people and programs: its splits, what says them, and what was rejected."""

from collections import defaultdict
from typing import Any

import pyarrow.parquet as pq

from infra import storage
from infra.artifact_store import Artifact
from tasks.corpora.utterance import SPLITS

NUMBERS = ("seconds", "speakers", "captions")  # of a split, as far as its rows have them
FIRST = 3  # rejects of each reason that are shown
FLAG = "flag"  # of the index: what is odd about a row that was kept


def summarize_ingest(corpus: Artifact) -> dict[str, Any]:
    """Of `shards` or `text`: artifact, index, quarantine (where they lie), split_from and speaker_from (what each split
    and the speakers were taken from, and of how many rows), splits (rows kept, seconds and speakers, or captions),
    rejects (by reason: count, and of the first few source, split and detail), flagged (the same of rows that were
    kept). Of text, which has no splits, documents, characters and bytes.
    """
    told = corpus.read_json("summary.json")
    places = {name: storage.join(corpus.uri, f"{name}.parquet") for name in ("index", "quarantine")}
    found: dict[str, Any] = {"artifact": str(corpus), **places}
    found |= {name: told.get(name, {}) for name in ("split_from", "speaker_from")}
    found["splits"] = {
        split: {"rows": numbers["kept"]} | {name: numbers[name] for name in NUMBERS if name in numbers}
        for split, numbers in sorted(told.get("splits", {}).items(), key=lambda item: -SPLITS.index(item[0]))
    }
    found |= {name: told[name] for name in ("documents", "characters", "bytes") if name in told}
    return found | {"rejects": _rejects(corpus), "flagged": _flagged(corpus)}


def _rejects(corpus: Artifact) -> dict[str, Any]:
    table = pq.read_table(corpus.file("quarantine.parquet"), columns=["reason", "source", "split", "detail"])
    return _by_reason(table.to_pylist(), "reason")


def _flagged(corpus: Artifact) -> dict[str, Any]:
    path = corpus.file("index.parquet")
    if FLAG not in pq.read_schema(path).names:
        return {}
    rows = pq.read_table(path, columns=[FLAG, "source", "split"]).to_pylist()
    return _by_reason([row for row in rows if row[FLAG]], FLAG)


def _by_reason(rows: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """The most frequent first."""
    found: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        found[row[name]].append({other: value for other, value in row.items() if other != name})
    often = sorted(found.items(), key=lambda item: -len(item[1]))
    return {reason: {"count": len(those), "first": those[:FIRST]} for reason, those in often}
