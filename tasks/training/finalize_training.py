"""A training job to the bundle of its best weights: what every kind of training ends with.

The draft of a job is named by its inputs, so a run that was killed (a worker, the driver, the machine) goes on when
the same command is given again, with as many workers as it then has.
"""

from typing import Any

from infra.artifact_store import Artifact
from infra.errors import UserError
from models.interface import Beam
from tasks.bundles import training_checkpoints
from tasks.bundles.model_bundle import GOLDEN, AudioConfig, BundleContents, PhotoConfig, write_bundle
from tasks.steps.mlflow_run import mlflow_run
from tasks.training.run_training import Workers, run_training
from tasks.training.train_loop import TrainJob


def finalize_training(
    key: str,
    job: TrainJob,
    workers: Workers,
    told: dict[str, Any],
    made_with: AudioConfig | PhotoConfig | None,
    quarantine: bytes = b"",
) -> Artifact:
    """The bundle. key: of the training step. told: goes into its training.json beside the history. made_with: what
    sources are made of, None where text is read.
    """
    begun = {"init_from": job.init_from.digest} if job.init_from else {}
    with mlflow_run(key, workers.run_name, {f"scriptorium.{name}": digest for name, digest in begun.items()}) as run_id:
        run_training(job, workers, run_id)
        stored = training_checkpoints.latest(job.draft)
        if stored is None:
            raise UserError("training left no checkpoint; see the log above and run the same command again")
        standing = stored["standing"]
        if not standing["best"]:
            metrics = " and ".join(dict.fromkeys(("dev_loss", f"dev_{job.fit.best_by}")))
            problem = f"in none of {standing['epoch']} epochs was {metrics} a finite number: no weights are the best"
            raise UserError(f"{problem}; lower fit.learning_rate ({job.fit.learning_rate:g}) or fit.clip_norm")
        contents = BundleContents(
            config=job.model,
            sizes=job.sizes,
            weights=training_checkpoints.select_weights(job.draft, job.fit.average_last),
            tokenizer=job.tokenizer,
            sound=None if isinstance(made_with, PhotoConfig) else made_with,
            sight=made_with if isinstance(made_with, PhotoConfig) else None,
            beam=Beam(),
            training={"history": standing["history"], "best": standing["best"]} | begun | told,
            golden=job.dev.first(GOLDEN),
            quarantine=quarantine,
        )
        bundle = write_bundle(job.split(contents) if job.split else contents)
    if not job.fit.trail:
        job.draft.discard()
    return bundle
