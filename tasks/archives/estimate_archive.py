"""How much an archive is and how long it will take: lengths as headers tell them, speed as a sample of it takes."""

import io
import time
from collections import defaultdict
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
import soundfile

from infra import storage
from infra.errors import UserError
from tasks.archives.archive_job import ArchiveJob, ReadPart
from tasks.archives.plan_work import Work
from tasks.archives.work_list import Part, WorkItem, readable

HEADERS = 200  # files whose headers are read, evenly over the list
SAMPLE_FILES, SAMPLE_SECONDS = 3, 20.0  # what the speed is measured on, and for how long at most
HEAD_BYTES = 1 << 20  # of a file in an archive


def estimate_archive(job: ArchiveJob, work: Work, workers: int, cost_per_hour: float) -> dict[str, Any]:
    """files, bytes, seconds of sound, hours and cost of the run; nothing is written."""
    items = [item for item in work.items if not item.problem]
    seconds, told = _total_seconds(items)
    rate = measure_speed(job, told) if told else 0.0
    hours = seconds / rate / workers / 3600 if rate else 0.0
    return {
        "source": readable(work.source),
        "files": len(work.items),
        "bytes": sum(item.size for item in items),
        "seconds": seconds,
        "parts": len(work.parts),
        "problems": len(work.items) - len(items),
        "known": work.known,
        "ignored": dict(work.ignored.most_common()),
        "resumed": work.resumed,
        "workers": workers,
        "audio_seconds_a_second": rate * workers,
        "hours": hours,
        "cost": hours * workers * cost_per_hour,
    }


def _total_seconds(items: Sequence[WorkItem]) -> tuple[float, list[tuple[WorkItem, float]]]:
    """Of all, by the seconds a byte of those whose headers are read; and these, the shortest first."""
    chosen = [items[i] for i in np.unique(np.linspace(0, len(items) - 1, min(HEADERS, len(items))).astype(int))]
    told = [(item, seconds) for item in chosen if (seconds := header_seconds(item))]
    sizes, lengths = defaultdict[str, float](float), defaultdict[str, float](float)
    for item, seconds in told:
        for kind in (_suffix(item), ""):
            sizes[kind] += item.size
            lengths[kind] += seconds
    known = {item.known_as: seconds for item, seconds in told}

    def of(item: WorkItem) -> float:
        kind = _suffix(item) if _suffix(item) in sizes else ""
        return known.get(item.known_as) or item.size * lengths[kind] / max(sizes[kind], 1.0)

    return sum(map(of, items)), sorted(told, key=lambda one: (one[1], one[0].file))


def _suffix(item: WorkItem) -> str:
    return item.file.rpartition(".")[2].lower()


def header_seconds(item: WorkItem) -> float:
    """0 where the header does not tell, or no header is."""
    try:
        if item.offset >= 0:
            data = storage.read(item.place, item.offset, min(item.size, HEAD_BYTES))
            return soundfile.info(io.BytesIO(data)).duration
        with storage.open_binary(item.place) as file:
            return soundfile.info(file).duration
    except (soundfile.SoundFileError, OSError, UserError):
        return _container_seconds(item) if find_spec("av") and item.offset < 0 else 0.0


def _container_seconds(item: WorkItem) -> float:
    av: Any = import_module("av")
    try:
        with storage.open_binary(item.place) as file, av.open(file) as container:
            return (container.duration or 0) / 1e6
    except (av.FFmpegError, OSError, UserError):
        return 0.0


def measure_speed(job: ArchiveJob, told: Sequence[tuple[WorkItem, float]]) -> float:
    """Seconds of sound that one worker does in a second. told: files of some length, the shortest first."""
    model, middle = job.load(), len(told) // 2
    chosen = [item for item, _ in told[middle : middle + SAMPLE_FILES] or told[:1]]
    for made in job.read(Part(0, (told[0][0],))):  # what is compiled at its first use is no matter of speed
        if not isinstance(made, ReadPart):
            model(made)
            break
    begun, done, whole = time.monotonic(), 0.0, 0.0
    for made in job.read(Part(0, tuple(chosen))):
        if isinstance(made, ReadPart):
            whole = made.amount
        else:
            model(made)
            done += made.amount
        if time.monotonic() - begun > SAMPLE_SECONDS:
            break
    return (whole or done) / max(time.monotonic() - begun, 1e-6)


def text_estimate(told: dict[str, Any]) -> str:
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
    lines.append(f"audio       about {told['seconds'] / 3600:,.2f} h")
    if told["audio_seconds_a_second"]:
        cost = f", cost {told['cost']:,.2f}" if told["cost"] else ""
        speed = f"{told['audio_seconds_a_second']:,.0f} s of audio a second on {told['workers']} workers"
        lines.append(f"time        about {told['hours'] * 3600:,.0f} s = {told['hours']:,.2f} h at {speed}{cost}")
    return "".join(_printable(line) + "\n" for line in lines).rstrip("\n")


def _printable(line: str) -> str:
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)
