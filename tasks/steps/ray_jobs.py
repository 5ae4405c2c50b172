"""Jobs through Ray Data: one job, one block; results come back as each is done, with a bar in the terminal."""

from collections.abc import Callable, Iterator
from typing import Any

from infra.errors import UserError, explain_full_disk
from infra.ray_cluster import connect
from tasks.steps.in_process import is_in_process
from tasks.steps.progress import Progress

Job = dict[str, Any]
Work = Callable[[Job], Job]


def run_jobs(
    work: Callable[..., Any], jobs: list[Job], label: str, arguments: tuple = (), actors: int | None = None
) -> Iterator[Job]:
    """`work(job)` for every job, in parallel, in no order.

    work: a module-level function, or with `arguments` a class whose instances, made with them once an actor, are called
    with a job. actors: at most so many; None for as many as Ray has cores. A job and its result are flat dicts of
    plain values. A UserError in a worker is raised here.
    """
    if not jobs:
        return
    if is_in_process():
        yield from map(work(*arguments) if arguments else work, jobs)
        return
    ray = connect()
    if arguments:
        cores = int(ray.cluster_resources().get("CPU", 1))  # the cluster's, which may be other machines than this
        most = min(actors or max(1, cores), len(jobs))
        pool = ray.data.ActorPoolStrategy(min_size=1, max_size=most)
        actor: Any = _actor_of(work, arguments)
        mapped = ray.data.from_items(jobs, override_num_blocks=len(jobs)).map(actor, num_cpus=1, compute=pool)
    else:
        mapped = ray.data.from_items(jobs, override_num_blocks=len(jobs)).map(_guarded, fn_args=(work,), num_cpus=1)
    with Progress(label, len(jobs), "parts") as progress:
        for result in mapped.iter_rows():
            if problem := result.pop("problem", None):
                raise UserError(problem)
            progress.advance()
            yield result


def _guarded(job: Job, work: Work) -> Job:
    try:
        with explain_full_disk():
            return {**work(job), "problem": None}
    except UserError as problem:
        return {"problem": str(problem)}


def _actor_of(work: Callable[..., Work], arguments: tuple) -> type:
    """A class without constructor arguments: those of an actor would lie in the object store, which Ray warns of."""

    class Actor:
        def __init__(self) -> None:
            self.work: Work = work(*arguments)

        def __call__(self, job: Job) -> Job:
            return _guarded(job, self.work)

    return Actor
