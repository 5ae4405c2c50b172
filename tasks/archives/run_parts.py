"""Parts that are pending become parts that are committed, and nothing that dies on the way changes their bytes."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from infra.errors import tell_user
from tasks.archives.archive_job import AUDIO, ArchiveJob, Unit
from tasks.archives.output_store import OutputStore
from tasks.archives.stream_parts import PLAN, find_killers, stream_parts
from tasks.archives.work_list import Part
from tasks.steps.progress import Progress

COMPANY = "it kills its worker in company with others, though not alone"


@dataclass
class RunSummary:
    """Of this run alone. amount: of work that it has done, in `unit`, in so many seconds, Ray's start included."""

    parts: int = 0
    skipped: int = 0
    amount: float = 0.0
    seconds: float = 0.0
    first_seconds: float = 0.0  # until the first result, which is mostly start-up
    counts: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class ArchiveRun:
    """job: what is done. workers: cores, or GPUs, that do it. unit: of amounts."""

    job: ArchiveJob
    output: OutputStore
    workers: int
    unit: Unit = AUDIO

    def __call__(self, parts: Sequence[Part], total: float) -> RunSummary:
        """Commit all of the parts. total: an estimate of their amount, for progress."""
        summary, begun = RunSummary(), time.monotonic()
        with Progress("archive", max(total, 1.0), self.unit.name) as progress:
            following = _Following(self, summary, progress, begun)
            missing = following(parts)
            if missing:
                tell_user(f"{len(missing)} parts lack results, because workers died; each is looked at alone")
                missing = following([replace(part, killers=find_killers(self.job, part)) for part in missing])
            if missing:
                missing = following([replace(part, apart=True) for part in missing])
            following([_given_up(part) for part in missing])
        summary.seconds = time.monotonic() - begun
        return summary


def _given_up(part: Part) -> Part:
    known = dict(part.killers)
    return replace(part, killers=tuple((i, known.get(i, COMPANY)) for i in range(len(part.items))))


class _Following:
    """Commits each part as soon as all of its batches are there; of others it holds what the model said."""

    def __init__(self, run: ArchiveRun, summary: RunSummary, progress: Progress, begun: float) -> None:
        self.run, self.summary, self.progress, self.begun = run, summary, progress, begun

    def __call__(self, parts: Sequence[Part]) -> list[Part]:
        """The parts that lack something when nothing more comes."""
        waiting, plans = {part.number: part for part in parts}, dict[int, dict[str, Any]]()
        found: dict[int, dict[int, Any]] = {number: {} for number in waiting}
        for result in stream_parts(self.run.job, parts, self.run.workers) if parts else ():
            if result.number == PLAN:
                plans[result.part] = result.told
            else:
                found[result.part][result.number] = result.told
            plan = plans.get(result.part)
            if plan and len(found[result.part]) == plan["batches"] and result.part in waiting:
                said = found.pop(result.part)
                self._commit(waiting.pop(result.part), plan, [said[number] for number in sorted(said)])
                del plans[result.part]
        return list(waiting.values())

    def _commit(self, part: Part, plan: dict[str, Any], said: list[Any]) -> None:
        result = self.run.job.assemble(part, plan["told"], said)
        self.run.output.commit(part.number, result)
        summary, now = self.summary, time.monotonic() - self.begun
        summary.first_seconds = summary.first_seconds or now
        summary.parts += 1
        summary.amount += plan["amount"]
        summary.counts.update(result.counts)
        rate = summary.amount / max(now, 1e-9)
        failed = int(summary.counts.get("quarantined", 0))
        unit = self.run.unit
        told = f"{unit.told(summary.amount)}, {rate:,.0f} {unit.name} a second, {failed} failed"
        self.progress.advance(plan["amount"], told)
