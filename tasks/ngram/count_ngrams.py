"""Counts of all n-grams of the lines that are not held out, in rounds of jobs whose memory does not grow with the text.

count_shard     a text shard -> one run of its n-grams of the full order, by their last token, the one before it, ...
adjust_part     a range of all these runs -> Kneser-Ney's counts of every order, as runs by their first token, ...
sort_order      the runs of one order -> one run, and how many n-grams were seen 1, 2, 3 and 4 times

Only n-grams of the full order are counted in the text: a shorter one, a suffix of theirs, has the sum of their counts,
and the number of tokens that come before it is the number of its longer suffixes, which lie side by side. What is
before <s> is BLANK: `BLANK BLANK <s> a` stands for the shorter n-gram `<s> a`, before which there is nothing.
The runs and marks of finished jobs are in the draft, so that a killed run goes on with what it lacks.
"""

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from infra import storage
from infra.artifact_store import Artifact, Draft
from infra.errors import UserError
from models.special_tokens import BLANK, BOS, EOS, UNK
from tasks.ngram.sorted_runs import (
    WORD,
    Key,
    Packing,
    Rows,
    Run,
    find_key,
    merge_runs,
    regroup_blocks,
    sum_counts,
    unpack_rows,
    write_run,
)
from tasks.ngram.sorted_runs import starts_of_groups as starts_of
from tasks.ngram.text_lines import LineSplitConfig, read_lines, token_streams
from tasks.steps.ray_jobs import Job, run_jobs
from tasks.text.tokenizer import load_tokenizer

STREAM_TOKENS = 1 << 20  # counted at a time
HELD_ROWS = 1 << 19  # of a merge
FENCE = 1 << 12  # rows between two fences: keys that say where in a run a range begins
PART_ROWS = 1 << 22  # of one job of the second round, about
MOST_PARTS = 256


@dataclass(frozen=True, slots=True)
class OrderCounts:
    """The n-grams of one order: a run of rows (packed n-gram, adjusted count, count).

    times, times_seen: how many of them have an adjusted count, and how many a count, of 1, 2, 3 and 4.
    """

    run: Run
    packing: Packing
    times: tuple[int, int, int, int]
    times_seen: tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class TextCounts:
    """What a text has. tokens: without <s> and </s>; unknown: those that are <unk>."""

    sentences: int = 0
    tokens: int = 0
    unknown: int = 0

    def plus(self, stream: np.ndarray) -> "TextCounts":
        ends = int((stream == EOS).sum())
        unknown = self.unknown + int((stream == UNK).sum())
        return TextCounts(self.sentences + ends, self.tokens + len(stream) - 2 * ends, unknown)


def count_ngrams(
    text: Artifact, tokenizer: Artifact, split: LineSplitConfig, order: int, out: Draft
) -> tuple[list[OrderCounts], TextCounts]:
    """Counts of the orders 1 to `order`, all of them in files of the draft."""
    size = len(load_tokenizer(tokenizer))
    shards = text.names(".tar")
    where: Job = {"out": out.uri, "order": order, "size": size}
    source = {"text": text.digest, "tokenizer": tokenizer.digest, "split": json.dumps(asdict(split))}
    names = [f"runs/{number:05d}" for number in range(len(shards))]
    jobs = [{"name": n, "shard": s, **source, **where} for n, s in zip(names, shards, strict=True)]
    _run(count_shard, jobs, "count", out)

    tallies = [json.loads(out.read(f"{name}.json")) for name in names]
    tally = TextCounts(**{name: sum(told[name] for told in tallies) for name in TextCounts.__slots__})
    if not tally.sentences:
        raise UserError(f"{text}: no sentence in it that the tokenizer gives tokens for; give more text")
    ranges = _ranges(out, names, Packing(size, order))
    jobs = [
        {"name": f"parts/{i:03d}", "low": json.dumps(low), "high": json.dumps(high), "runs": json.dumps(names), **where}
        for i, (low, high) in enumerate(ranges)
    ]
    _run(adjust_part, jobs, "adjust", out)
    _run(sort_order, [{"name": f"sorted/{k}", **where, "order": k} for k in range(1, order + 1)], "sort", out)

    counts = []
    for k in range(1, order + 1):
        told, packing = json.loads(out.read(f"sorted/{k}.json")), Packing(size, k)
        run = Run(storage.join(out.uri, f"sorted/{k}.rows"), packing.words + 2, 0, told["rows"])
        counts.append(OrderCounts(run, packing, tuple(told["times"]), tuple(told["times_seen"])))
    return counts, tally


def _run(work: Any, jobs: list[Job], label: str, out: Draft) -> None:
    done = out.finished()
    for _ in run_jobs(work, [job for job in jobs if f"{job['name']}.json" not in done], label):
        pass


def count_shard(job: Job) -> Job:
    """The run of one text shard, its fences, and last of all its tally."""
    out, packing = Draft("ngram", job["out"]), Packing(job["size"], job["order"])
    text, tokenizer = Artifact("text", job["text"]), load_tokenizer(Artifact("tokenizer", job["tokenizer"]))
    split, tally, columns = LineSplitConfig(**json.loads(job["split"])), TextCounts(), packing.words + 1
    with tempfile.TemporaryDirectory() as folder:
        pieces: list[Run] = []
        counted = (line for line in read_lines(text, job["shard"]) if not split.holds_out(line))
        for stream in token_streams(counted, tokenizer, STREAM_TOKENS):
            tally = tally.plus(stream)
            path = Path(folder, str(len(pieces)))
            pieces.append(Run(str(path), columns, 0, write_run(path, [ngrams(stream, packing)])))
        whole = Path(folder, "whole")
        rows = write_run(whole, merge_runs(pieces, packing.words, HELD_ROWS))
        run = Run(str(whole), columns, 0, rows)
        fences = [run.read(i, i + 1)[:, : packing.words] for i in range(0, rows, FENCE)]
        out.put(f"{job['name']}.rows", whole)
    out.put(f"{job['name']}.fences", b"".join(fence.tobytes() for fence in fences))
    out.put_json(f"{job['name']}.json", {name: getattr(tally, name) for name in TextCounts.__slots__} | {"rows": rows})
    return {"rows": rows}


def ngrams(stream: np.ndarray, packing: Packing) -> Rows:
    """The counted n-grams that end at each token of whole sentences but <s>; the last token is packed first."""
    column, columns = stream, [stream]
    for back in range(1, packing.width):
        before = np.concatenate([np.zeros(min(back, len(stream)), np.int64), stream[:-back]])
        column = np.where(column <= BOS, BLANK, before)
        columns.append(column)
    packed = packing.pack([c[stream != BOS] for c in columns])
    return sum_counts(unpack_rows(packed, np.ones(len(packed))), packing.words)


def _ranges(out: Draft, names: Sequence[str], packing: Packing) -> list[tuple[Key, Key]]:
    """Ranges [low, high) of packed n-grams with about equally many rows. None parts the n-grams of one last pair."""
    fences = [np.frombuffer(out.read(f"{n}.fences"), WORD).reshape(-1, packing.words) for n in names]
    together = np.concatenate(fences)
    together = together[np.lexsort([together[:, i] for i in range(packing.words)][::-1])]
    parts = min(MOST_PARTS, 1 + len(together) * FENCE // PART_ROWS)
    chosen = together[np.arange(1, parts) * len(together) // parts]
    tokens = packing.unpack(chosen)
    pairs = packing.pack([c if i < 2 else np.zeros_like(c) for i, c in enumerate(tokens)])
    bounds = sorted({tuple(pair) for pair in pairs.tolist()})
    first, last = (0,) * packing.words, (2**64,) * packing.words
    return list(zip([first, *bounds], [*bounds, last], strict=True))


def adjust_part(job: Job) -> Job:
    """A run for every order and some 500,000 rows of a range of n-grams."""
    out, packing = Draft("ngram", job["out"]), Packing(job["size"], job["order"])
    low, high = tuple(json.loads(job["low"])), tuple(json.loads(job["high"]))
    runs = [_between(out, name, packing, low, high) for name in json.loads(job["runs"])]
    before: Rows | None = None
    for number, rows in enumerate(regroup_blocks(merge_runs(runs, packing.words, HELD_ROWS), HELD_ROWS)):
        for k, block in enumerate(adjust_counts(rows, before, packing), 1):
            if len(block):
                out.put(f"grams/{k}/{job['name'][6:]}-{number:05d}.rows", block.tobytes())
        before = rows[-1:]
    out.put_json(f"{job['name']}.json", {})
    return {}


def _between(out: Draft, name: str, packing: Packing, low: Key, high: Key) -> Run:
    """The rows of a range in the run `name`, found by its fences."""
    columns, length = packing.words + 1, json.loads(out.read(f"{name}.json"))["rows"]
    run = Run(storage.join(out.uri, f"{name}.rows"), columns, 0, length)
    fences = np.frombuffer(out.read(f"{name}.fences"), WORD).reshape(-1, packing.words)

    def position(key: Key) -> int:
        start = max(0, find_key(fences, key) - 1) * FENCE
        return start + find_key(run.read(start, start + FENCE), key)

    return Run(run.uri, columns, position(low), position(high))


def adjust_counts(rows: Rows, before: Rows | None, packing: Packing) -> Iterator[Rows]:
    """For every order k the rows (packed n-gram, adjusted count, count) of n-grams of the full order.

    The adjusted count of a shorter n-gram is the number of different tokens before it; of one that begins with <s>,
    and of the full order, it is the count. `before` is the row before these, so that a group of rows that goes on here
    is counted for what is new in it: the sums over all blocks are right.
    """
    columns = packing.unpack(rows)  # the last token first
    previous = packing.unpack(before) if before is not None else [np.full(1, -1)] * packing.width
    same, alive = np.zeros(len(rows), np.int64), np.ones(len(rows), bool)
    for column, last in zip(columns, previous, strict=True):
        alive &= column == np.concatenate([last, column[:-1]])
        same += alive  # how many tokens at the end are those of the row before
    for k in range(1, packing.width + 1):
        starts = np.flatnonzero(np.append(True, same[1:] < k))
        times = np.add.reduceat(rows[:, -1], starts)
        first = columns[k - 1][starts]
        kinds = times
        if k < packing.width:
            kinds = np.where(first == BOS, times, np.add.reduceat((same < k + 1).astype(WORD), starts))
        real = first != BLANK
        shorter = Packing(packing.size, k)
        packed = shorter.pack([columns[i][starts][real] for i in reversed(range(k))])
        yield sum_counts(unpack_rows(packed, kinds[real], times[real]), shorter.words)


def sort_order(job: Job) -> Job:
    """All n-grams of one order in one run, and last of all how many there are."""
    out, packing = Draft("ngram", job["out"]), Packing(job["size"], job["order"])
    folder, columns = f"grams/{job['order']}/", packing.words + 2
    uris = [storage.join(out.uri, name) for name in sorted(out.finished()) if name.startswith(folder)]
    runs = [Run(uri, columns, 0, _size(uri) // (columns * WORD.itemsize)) for uri in uris]
    times = np.zeros((2, 5), np.int64)

    def observed(blocks: Iterator[Rows]) -> Iterator[Rows]:
        for block in blocks:
            few = np.minimum(block[:, -2:], 5).astype(np.int64)
            times[:] += [np.bincount(column, minlength=6)[:5] for column in few.T]
            yield block

    with tempfile.TemporaryDirectory() as place:
        whole = Path(place, "rows")
        rows = write_run(whole, observed(merge_runs(runs, packing.words, HELD_ROWS)))
        out.put(f"{job['name']}.rows", whole)
    adjusted_times, times_seen = times[:, 1:].tolist()
    out.put_json(f"{job['name']}.json", {"rows": rows, "times": adjusted_times, "times_seen": times_seen})
    return {"rows": rows}


def _size(uri: str) -> int:
    found = storage.stat(uri)
    return found.size if found else 0


def contexts(count: OrderCounts, held: int) -> Iterator[tuple[Rows, np.ndarray]]:
    """Blocks of rows that hold whole contexts, each with the places at which a context begins."""
    rest = np.zeros((0, count.run.columns), WORD)
    for start in range(0, max(1, len(count.run)), held):
        rows = np.concatenate([rest, count.run.read(start, start + held)])
        if not len(rows):
            return
        *context, _ = count.packing.unpack(rows)
        starts = starts_of(context) if context else np.zeros(1, np.int64)
        ended = len(rows) if start + held >= len(count.run) else int(starts[-1])
        rest = rows[ended:]
        if ended:
            yield rows[:ended], starts[starts < ended]
