"""Everything by digest into MLflow: parameters, metrics, tokenizer, report and bundle, data sets by reference."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from infra import model_registry, storage, tracking
from infra.artifact_store import MANIFEST, Artifact, find_result, new_draft
from infra.model_registry import Score
from tasks.steps.mlflow_run import history_rows, mlflow_run
from tasks.steps.pipeline_step import step
from tasks.steps.progress import MEGABYTES, Progress
from tasks.steps.read_config import flatten_params
from tasks.training.leaderboard import Ranking

TRAINING = "training.json"  # of a bundle whose model was trained in epochs


@dataclass(frozen=True, kw_only=True)
class RunOutcome:
    """What a run made. bundle: the model, whatever kind of artifact it is. scores: one for each of its splits. data:
    recorded by reference, each kind once. ranking: what models of its kind are compared by.
    """

    bundle: Artifact
    page: Artifact
    splits: tuple[str, ...]
    scores: tuple[Artifact, ...]
    data: tuple[Artifact, ...]
    ranking: Ranking

    def ranked(self) -> dict[str, Score]:
        """What a version of the model is compared by, for each split."""
        how = self.ranking
        return {
            split: Score(how.metric, float(told[how.metric]), how.descending, told["data"])
            for split, told in self.numbers().items()
        }

    def numbers(self) -> dict[str, dict[str, Any]]:
        """The scores of each split."""
        return {s: a.read_json("scores.json") for s, a in zip(self.splits, self.scores, strict=True)}

    def history(self) -> list[dict[str, Any]]:
        """A row for each epoch; none where there are no epochs."""
        return self.bundle.read_json(TRAINING)["history"] if TRAINING in self.bundle.names() else []


@dataclass(frozen=True, kw_only=True)
class Registration:
    """What the MLflow run is called. name, alias: what the model is registered as; alias "": as champion where it is
    the first or better, else as challenger (infra/model_registry.py). Raises UserError for what MLflow refuses.
    """

    run_name: str
    corpus: str
    recipe: str
    name: str
    alias: str

    def __post_init__(self) -> None:
        tracking.check_registration(self.name, self.alias)


@contextmanager
def track_training(key: str, publication: Registration, config: Any, data: Sequence[Artifact]) -> Iterator[None]:
    """From before the first step to after the publication: the MLflow run of a training, with its parameters and data
    from the start. It is marked as failed or killed if the block is; one that holds a model already stays as it was.

    key: of the training step. data: the corpus first.
    """
    run_id, bundle = tracking.find_run(key)
    if bundle or not run_id and find_result(key):  # nothing is left to track but perhaps the publication
        yield
        return
    with mlflow_run(key, publication.run_name, {}) as run_id:
        tracking.log_params(run_id, _params(publication, config))
        _log_data(run_id, publication.corpus, data)
        yield
        tracking.finish(run_id, "FINISHED")


@step
def publish_model(
    outcome: RunOutcome, tokenizer: Artifact, config: Any, run_key: str, publication: Registration
) -> Artifact:
    """`publication.json`: the MLflow run and the registered model's version.

    config: logged. run_key: names the run; training opened it.
    """
    told = {"corpus": publication.corpus, "recipe": publication.recipe}
    key = tracking.run_key_for(run_key, outcome.bundle.digest)
    run_id = tracking.open_run(key, publication.run_name, told | {tracking.BUNDLE_TAG: outcome.bundle.digest})
    tracking.log_params(run_id, _params(publication, config))
    tracking.log_metrics(run_id, history_rows(outcome.history()))
    _log_outcome(run_id, outcome, publication.corpus)
    with show_upload(outcome.page, outcome.bundle, tokenizer) as progress:
        _upload(run_id, outcome.page, progress)
        _upload(run_id, outcome.bundle, progress, tracking.BUNDLE_FOLDER)
        _upload(run_id, tokenizer, progress)
    every = (outcome.bundle, outcome.page, tokenizer, *outcome.data)
    digests = {artifact.kind: artifact.digest for artifact in every}
    scores = outcome.ranked()
    version = tracking.register(run_id, publication.name, digests | model_registry.score_tags(scores))
    decision = model_registry.Decision(publication.alias, "")
    if not publication.alias:
        decision = model_registry.decide(publication.name, version, scores)
    model_registry.set_alias(publication.name, decision.alias, version)
    tracking.finish(run_id, "FINISHED")
    with new_draft("publication") as out:
        told = {"run_id": run_id, "name": publication.name, "version": version, **decision._asdict()}
        out.put_json("publication.json", told | {"digests": digests})
    return out.result()


@dataclass(frozen=True, kw_only=True)
class EvaluationRun:
    """An evaluation: which model, on what."""

    model: str
    corpus: str
    split: str


@step
def log_evaluation(outcome: RunOutcome, measured: EvaluationRun) -> Artifact:
    """`publication.json` of an evaluation: the MLflow run with its scores and report."""
    title = f"evaluate {measured.model} on {measured.corpus} {measured.split}"
    told = asdict(measured) | {"bundle": outcome.bundle.digest, tracking.BUNDLE_TAG: outcome.bundle.digest}
    run_id = tracking.open_run(outcome.page.digest, title, {name: str(value) for name, value in told.items()})
    tracking.log_params(run_id, asdict(measured) | {"bundle": outcome.bundle.digest})
    _log_outcome(run_id, outcome, measured.corpus)
    with show_upload(outcome.page) as progress:
        _upload(run_id, outcome.page, progress)
    tracking.finish(run_id, "FINISHED")
    with new_draft("publication") as out:
        out.put_json("publication.json", {"run_id": run_id, "name": "", "alias": "", "version": ""})
    return out.result()


def _params(publication: Registration, config: Any) -> dict[str, Any]:
    return {"corpus": publication.corpus, "recipe": publication.recipe} | flatten_params(asdict(config))


def _log_outcome(run_id: str, outcome: RunOutcome, corpus: str) -> None:
    """The single numbers of the scores, and references to the data.

    Where epochs were measured on dev, `dev_wer` is that curve, and the score of the finished model `final_dev_wer`.
    """
    tracking.set_tag(run_id, tracking.DATA_TAG, outcome.numbers()[outcome.splits[0]]["data"])
    history = outcome.history()
    for split, scores in outcome.numbers().items():
        single = {f"{split}_{name}": value for name, value in scores.items() if isinstance(value, int | float)}
        tracking.log_metrics(run_id, single_rows(single, history))
    _log_data(run_id, corpus, outcome.data)


def show_upload(*artifacts: Artifact) -> Progress:
    return Progress("upload to MLflow", sum(sum(_megabytes(one).values()) for one in artifacts), MEGABYTES)


def _upload(run_id: str, artifact: Artifact, progress: Progress, folder: str = "") -> None:
    """An artifact into a folder of the run, by default of its kind; a bundle with what MLflow loads it by."""
    sizes = _megabytes(artifact)

    def told() -> Iterator[tuple[str, bytes | Path]]:
        for name, content in bundle_files(artifact) if folder == tracking.BUNDLE_FOLDER else _folder(artifact):
            yield name, content
            progress.advance(sizes.get(name, 0.0))  # the next is asked for once this one is there

    tracking.log_files(run_id, told(), folder or artifact.kind)


def _megabytes(artifact: Artifact) -> dict[str, float]:
    return {name: entry["size"] / 1e6 for name, entry in artifact.manifest()["files"].items()}


def single_rows(numbers: dict[str, Any], history: list[dict[str, Any]]) -> list[tuple[str, float, int]]:
    """Numbers of the finished model as metrics, by names that are no curve's: a curve would begin with its end."""
    curves = {name for row in history for name in row}
    return [(f"final_{name}" if name in curves else name, float(value), 0) for name, value in numbers.items()]


def _log_data(run_id: str, corpus: str, data: Sequence[Artifact]) -> None:
    """By reference; the first is the corpus itself, and is shown under its name."""
    for i, artifact in enumerate(data):
        tracking.log_dataset(run_id, artifact.kind, artifact.digest, artifact.uri, "" if i else corpus)


def bundle_files(bundle: Artifact) -> Iterator[tuple[str, bytes | Path]]:
    """All of a bundle, and what MLflow loads it by."""
    from tasks.publishing.pyfunc_files import pyfunc_files  # imports MLflow, which takes seconds

    yield from _folder(bundle)
    yield from pyfunc_files(bundle)


def _folder(artifact: Artifact) -> Iterator[tuple[str, bytes | Path]]:
    yield from ((name, artifact.file(name)) for name in artifact.names())  # fetched when its turn comes
    yield MANIFEST, storage.read(storage.join(artifact.uri, MANIFEST))  # which `read` does not give: it is the store's
