"""A training job to the bundle of its best weights: what every kind of training ends with.

The draft of a job is named by its inputs, so a run that was killed (a worker, the driver, the machine) goes on when
the same command is given again, with as many workers as it then has.
"""

from typing import Any

from infra.problem import Problem
from infra.store import Artifact
from models.interface import Beam
from tasks import checkpoints
from tasks.bundle import GOLDEN, Contents, Sound, write_bundle
from tasks.loop import Job
from tasks.training_run import Workers, recorded, run_training


def trained(
    key: str, job: Job, workers: Workers, told: dict[str, Any], sound: Sound | None, quarantine: bytes = b""
) -> Artifact:
    """The bundle. key: of the training step. told: goes into its training.json beside the history."""
    with recorded(key, workers) as run_id:
        run_training(job, workers, run_id)
        stored = checkpoints.latest(job.draft)
        if stored is None:
            raise Problem("training left no checkpoint; see the log above and run the same command again")
        standing = stored["standing"]
        contents = Contents(
            config=job.model,
            sizes=job.sizes,
            weights=checkpoints.chosen_weights(job.draft, job.fit.average_last),
            tokenizer=job.tokenizer,
            sound=sound,
            beam=Beam(),
            training={"history": standing["history"], "best": standing["best"]} | told,
            golden=job.dev.first(GOLDEN),
            quarantine=quarantine,
        )
        bundle = write_bundle(contents)
    if not job.fit.trail:
        job.draft.discard()
    return bundle
