"""Parts through Ray Data: CPUs read them while actors with the model take their batches; results as they come.

A worker is a core: a quarter of it reads, the rest decodes; where there is a GPU, each actor has one. Ray holds back
who reads when actors are behind, so memory does not grow with the archive. What dies (a process, a node) is tried again
RETRIES times; what then is still missing is missing in the output, and nothing else is.
"""

import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from infra.errors import UserError, explain_full_disk
from infra.ray_cluster import connect
from tasks.archives.archive_job import ArchiveJob, JobBatch, ReadPart
from tasks.archives.work_list import Part
from tasks.steps.in_process import is_in_process

RETRIES = 2  # of what died, before it is looked at alone
READS, DECODES = 0.25, 0.75  # of a worker's core
AT_ONCE = 1000  # parts that Ray is given: it holds something of each
PLAN = -1  # in place of a batch's number

Row = dict[str, Any]


class StreamResult(NamedTuple):
    """number: of the batch, or PLAN for what `ReadPart` says, told then with the count of batches."""

    part: int
    number: int
    told: Any


def stream_parts(job: ArchiveJob, parts: Sequence[Part], workers: int) -> Iterator[StreamResult]:
    """Results in any order, each once. Raises UserError where a worker does."""
    rows = [{"part": json.dumps(part.to_dict())} for part in parts]
    for begin in range(0, len(rows), AT_ONCE):
        some = rows[begin : begin + AT_ONCE]
        for row in _here(job, some) if is_in_process() else _through_ray(job, some, workers):
            if problem := row.get("problem"):
                raise UserError(problem)
            yield StreamResult(row["number_of_part"], row["number"], json.loads(row["told"]))


def _here(job: ArchiveJob, rows: Sequence[Row]) -> Iterator[Row]:
    actor = _Decoder(job)
    for row in rows:
        for made in _read(row, job):
            yield actor(made)


def _through_ray(job: ArchiveJob, rows: list[Row], workers: int) -> Iterator[Row]:
    ray = connect()
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # what died is told by who tries it again
    source = ray.data.from_items(rows, override_num_blocks=len(rows))
    source.context.max_errored_blocks = -1
    source.context.target_max_block_size = 1  # a batch is a block: actors share those of one part
    source.context.op_resource_reservation_enabled = True
    pool = ray.data.ActorPoolStrategy(min_size=1, max_size=workers, max_tasks_in_flight_per_actor=2)
    reads: dict[str, Any] = {"num_cpus": READS, "max_retries": RETRIES, "concurrency": workers}
    decodes: dict[str, Any] = {"num_cpus": DECODES, "max_task_retries": RETRIES, "max_restarts": -1}
    decodes |= {"num_gpus": 1} if ray.cluster_resources().get("GPU") else {}
    with warnings.catch_warnings():
        # By default Ray Data tries again for ever. Ray 2.64 will have another way to say how often.
        warnings.filterwarnings("ignore", "`ray_remote_args` is deprecated")
        read = source.map_batches(_read_block, fn_args=(job,), batch_size=None, **reads)
        decoded = read.map_batches(_actor_of(job), batch_size=1, compute=pool, **decodes)
    yield from decoded.iter_rows()


def _read_block(block: dict[str, Any], job: ArchiveJob) -> Iterator[dict[str, list[Any]]]:
    for text in block["part"]:
        for row in _read({"part": text}, job):
            yield {name: [value] for name, value in row.items()}


def _read(row: Row, job: ArchiveJob) -> Iterator[Row]:
    part, number = Part.from_dict(json.loads(row["part"])), 0
    try:
        with explain_full_disk():
            for made in job.read(part):
                if isinstance(made, ReadPart):
                    told = {"told": made.told, "amount": made.amount, "batches": number}
                    yield _row(part.number, PLAN, told)
                else:
                    yield _row(part.number, number, made.told, made.data)
                    number += 1
    except UserError as problem:
        yield _row(part.number, PLAN, None) | {"problem": str(problem)}


def _row(part: int, number: int, told: Any, data: bytes = b"") -> Row:
    return {"number_of_part": part, "number": number, "told": json.dumps(told), "data": data, "problem": ""}


class _Decoder:
    """In an actor."""

    def __init__(self, job: ArchiveJob) -> None:
        self.model = job.load()

    def __call__(self, row: Row) -> Row:
        if row["number"] == PLAN:
            return row
        told = {"told": "null", "data": b"", "problem": ""}
        try:
            with explain_full_disk():
                told["told"] = json.dumps(self.model(JobBatch(json.loads(row["told"]), row["data"])))
        except UserError as problem:
            told["problem"] = str(problem)
        return row | told


def _actor_of(job: ArchiveJob) -> type:
    """A class without constructor arguments: those of an actor would lie in the object store, which Ray warns of."""

    class Decode:
        def __init__(self) -> None:
            self.decoder = _Decoder(job)

        def __call__(self, block: dict[str, Any]) -> dict[str, list[Any]]:
            rows = [dict(zip(block, values, strict=True)) for values in zip(*block.values(), strict=True)]
            made = [self.decoder(row) for row in rows]
            return {name: [row[name] for row in made] for name in block}

    return Decode


def find_killers(job: ArchiveJob, part: Part) -> tuple[tuple[int, str], ...]:
    """Which files of a part end the process that works on them, each tried alone RETRIES + 1 times, with what was seen.

    Found by halves: a group that is done in one process has none.
    """
    found, groups = list[tuple[int, str]](), [list(range(len(part.items)))]
    while groups:
        numbers = groups.pop()
        seen = _end_of(job, part, numbers)
        if seen and len(numbers) == 1:
            found.append((numbers[0], seen))
        elif seen:
            middle = len(numbers) // 2
            groups += [numbers[middle:], numbers[:middle]]
    return tuple(sorted(found))


def _end_of(job: ArchiveJob, part: Part, numbers: Sequence[int]) -> str:
    """ "" where these files are done in a process of their own, else how it ended."""
    ray = connect()
    from ray import exceptions

    some = Part(part.number, tuple(part.items[number] for number in numbers), (), apart=True)
    # Ray waits longer and longer before it tries what ran out of memory again: others may have had it.
    tries = RETRIES if len(numbers) == 1 else 0
    work = ray.remote(num_cpus=1, max_retries=tries, max_calls=1)(_work_through)
    try:
        ray.get(work.remote(job, json.dumps(some.to_dict())))
    except exceptions.OutOfMemoryError:
        return "out of memory"
    except exceptions.WorkerCrashedError:
        return "the process that worked on it died"
    return ""


def _work_through(job: ArchiveJob, part: str) -> None:
    for _ in _here(job, [{"part": part}]):
        pass
