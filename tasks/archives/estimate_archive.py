"""How much an archive is and how long it will take: lengths as headers tell them, speed as a sample of it takes.

Both are found by a process of its own: a file that kills who reads it does not end the run before it begins.
"""

import io
import multiprocessing
import os
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
import soundfile

from infra import storage
from infra.errors import UserError, tell_user
from tasks.archives.archive_job import AUDIO, ArchiveJob, ReadPart, Unit
from tasks.archives.item_file import ItemFile
from tasks.archives.plan_work import Work
from tasks.archives.work_list import Part, WorkItem, readable

Length = Callable[[WorkItem], float]
HEADERS, HEADER_SECONDS = 200, 10.0  # files whose headers are read, evenly over the list, and for how long at most
SAMPLE_FILES, SAMPLE_SECONDS = 3, 20.0  # what the speed is measured on, and for how long at most
REQUEST_BYTES, MOST_BYTES = 1 << 16, 1 << 22  # of a header: at a time, and of what lies on a server in all


class Measured(NamedTuple):
    """amount: of work in all, such as seconds of sound. rate: what a worker does of it in a second."""

    amount: float = 0.0
    rate: float = 0.0


def no_header(_: WorkItem) -> float:
    """Of files whose amount of work nothing tells but the work itself."""
    return 0.0


def estimate_archive(
    job: ArchiveJob,
    work: Work,
    workers: int,
    cost_per_hour: float,
    how: tuple[Unit, Length] | None = None,
) -> dict[str, Any]:
    """files, bytes, amount of work, hours and cost of the run; nothing is written.

    how: the unit of amounts, and what a file itself says of its own; by default seconds of sound.
    """
    unit, length = how or (AUDIO, header_seconds)
    items = [item for item in work.items if not item.problem]
    amount, rate = _measure_apart(job, items, length) if items else Measured()
    amount = unit.each * len(items) or amount
    hours = amount / rate / workers / 3600 if rate else 0.0
    return {
        "source": readable(work.source),
        "files": len({(item.place, item.offset) for item in work.items}),
        "bytes": round(sum(item.weight for item in items)),
        unit.amount: amount,
        "parts": len(work.parts),
        "problems": len(work.items) - len(items),
        "known": work.known,
        "ignored": dict(work.ignored.most_common()),
        "resumed": work.resumed,
        "workers": workers,
        unit.rate: rate * workers,
        "hours": hours,
        "cost": hours * workers * cost_per_hour,
    }


def _measure_apart(job: ArchiveJob, items: Sequence[WorkItem], length: Length) -> Measured:
    try:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _quieten) as pool:
            return pool.submit(measure, job, items, length).result()
    except BrokenProcessPool:
        tell_user("a file of the sample ended the process that measured it; the time is not known before")
        return Measured()


def _quieten() -> None:
    """libmpg123 writes to the terminal what it thinks of a damaged file, which the quarantine tells in its place."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def measure(job: ArchiveJob, items: Sequence[WorkItem], length: Length) -> Measured:
    """By the headers of some files, and the work on a few of middle length."""
    chosen = [items[i] for i in np.unique(np.linspace(0, len(items) - 1, min(HEADERS, len(items))).astype(int))]
    known, limit = dict[WorkItem, float](), time.monotonic() + HEADER_SECONDS
    for item in chosen:
        if time.monotonic() < limit and (amount := length(item)):
            known[item] = amount
    by_length = sorted(known, key=lambda item: (known[item], item.file)) or chosen
    middle = len(by_length) // 2
    sample = by_length[middle : middle + SAMPLE_FILES]
    rate, amount = measure_speed(job, by_length[0], sample)
    if not known and amount:
        known = {sample[0]: amount * sample[0].weight / max(1.0, sum(item.weight for item in sample))}
    return Measured(_total_amount(items, known), rate)


def _total_amount(items: Sequence[WorkItem], known: dict[WorkItem, float]) -> float:
    """Of all, by the amount a byte, of files with the same suffix, of those that are known."""
    sizes, lengths = defaultdict[str, float](float), defaultdict[str, float](float)
    for item, amount in known.items():
        for kind in (_suffix(item), ""):
            sizes[kind] += item.weight
            lengths[kind] += amount

    def of(item: WorkItem) -> float:
        kind = _suffix(item) if _suffix(item) in sizes else ""
        return known.get(item) or item.weight * lengths[kind] / max(sizes[kind], 1.0)

    return sum(map(of, items))


def _suffix(item: WorkItem) -> str:
    return item.file.rpartition(".")[2].lower()


def header_seconds(item: WorkItem) -> float:
    """0 where the header does not tell, or no header is."""
    try:
        with io.BufferedReader(_header_file(item), REQUEST_BYTES) as file:
            return soundfile.info(file).duration
    except (soundfile.SoundFileError, OSError, UserError, EOFError):
        return _container_seconds(item) if find_spec("av") else 0.0


def _header_file(item: WorkItem) -> ItemFile:
    """On a server no more of a file is read than a header has."""
    return ItemFile(item, MOST_BYTES if storage.is_s3(item.place) else item.size + MOST_BYTES)


def _container_seconds(item: WorkItem) -> float:
    av: Any = import_module("av")
    try:
        with io.BufferedReader(_header_file(item), REQUEST_BYTES) as file, av.open(file) as container:
            return (container.duration or 0) / 1e6
    except (av.FFmpegError, OSError, UserError, EOFError):
        return 0.0


def measure_speed(job: ArchiveJob, first: WorkItem, sample: Sequence[WorkItem]) -> tuple[float, float]:
    """How much one worker does in a second, and how much the sample is. first: worked on before, for what is
    compiled at its first use is no matter of speed.
    """
    model = job.load()
    for made in job.read(Part(0, (first,))):
        if not isinstance(made, ReadPart):
            model(made)
            break
    begun, done, whole = time.monotonic(), 0.0, 0.0
    for made in job.read(Part(0, tuple(sample))):
        if isinstance(made, ReadPart):
            whole = made.amount
        else:
            model(made)
            done += made.amount
        if time.monotonic() - begun > SAMPLE_SECONDS:
            break
    amount = whole or done
    return amount / max(time.monotonic() - begun, 1e-6), amount


def text_estimate(told: dict[str, Any], unit: Unit = AUDIO) -> str:
    """For a terminal."""
    known = [f"{told['known']:,} known" if told["known"] and not told["resumed"] else ""]
    known.append(f"{told['resumed']:,} parts done by an earlier run" if told["resumed"] else "")
    known.append(f"{told['problems']:,} that cannot be read" if told["problems"] else "")
    more = "".join(f", {one}" for one in known if one)
    lines = [f"source      {told['source']}"]
    lines.append(f"files       {told['files']:,}, {told['bytes'] / 1e6:,.1f} MB in {told['parts']:,} parts{more}")
    if told["ignored"]:
        shown = ", ".join(f"{count:,} {suffix}" for suffix, count in list(told["ignored"].items())[:6])
        lines.append(f"ignored     {shown}")
    lines.append(f"{unit.work:<12}about {unit.told(told[unit.amount])}")
    if told[unit.rate]:
        cost = f", cost {told['cost']:,.2f}" if told["cost"] else ""
        speed = f"{told[unit.rate]:,.0f} {unit.name} a second on {told['workers']} workers"
        lines.append(f"time        about {told['hours'] * 3600:,.0f} s = {told['hours']:,.2f} h at {speed}{cost}")
    return "".join(_printable(line) + "\n" for line in lines).rstrip("\n")


def _printable(line: str) -> str:
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)
