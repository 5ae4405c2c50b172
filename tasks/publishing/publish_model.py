"""Everything by digest into MLflow: parameters, metrics, tokenizer, report and bundle, data sets by reference."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from infra import model_registry, storage, tracking
from infra.artifact_store import MANIFEST, Artifact, new_draft
from infra.model_registry import Score
from tasks.steps.pipeline_step import step
from tasks.steps.read_config import flatten_params
from tasks.training.leaderboard import Ranking
from tasks.training.run_training import history_rows

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
    tracking.log_params(run_id, told | flatten_params(asdict(config)))
    tracking.log_metrics(run_id, history_rows(outcome.history()))
    _log_outcome(run_id, outcome)
    tracking.log_files(run_id, bundle_files(outcome.bundle), tracking.BUNDLE_FOLDER)
    tracking.log_files(run_id, _folder(tokenizer), tokenizer.kind)
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
    _log_outcome(run_id, outcome)
    tracking.finish(run_id, "FINISHED")
    with new_draft("publication") as out:
        out.put_json("publication.json", {"run_id": run_id, "name": "", "alias": "", "version": ""})
    return out.result()


def _log_outcome(run_id: str, outcome: RunOutcome) -> None:
    """The single numbers of the scores, the report, and references to the data.

    Where epochs were measured on dev, `dev_wer` is that curve, and the score of the finished model `final_dev_wer`.
    """
    tracking.set_tag(run_id, tracking.DATA_TAG, outcome.numbers()[outcome.splits[0]]["data"])
    curves = {name for row in outcome.history() for name in row}
    for split, scores in outcome.numbers().items():
        single = {f"{split}_{name}": value for name, value in scores.items() if isinstance(value, int | float)}
        names = {name: f"final_{name}" if name in curves else name for name in single}
        tracking.log_metrics(run_id, [(names[name], float(value), 0) for name, value in single.items()])
    for artifact in outcome.data:
        tracking.log_dataset(run_id, artifact.kind, artifact.digest, artifact.uri)
    tracking.log_files(run_id, _folder(outcome.page), outcome.page.kind)


def bundle_files(bundle: Artifact) -> Iterator[tuple[str, bytes | Path]]:
    """All of a bundle, and what MLflow loads it by."""
    from tasks.publishing.pyfunc_files import pyfunc_files  # imports MLflow, which takes seconds

    yield from _folder(bundle)
    yield from pyfunc_files(bundle)


def _folder(artifact: Artifact) -> Iterator[tuple[str, bytes | Path]]:
    yield from ((name, artifact.file(name)) for name in artifact.names())  # fetched when its turn comes
    yield MANIFEST, storage.read(storage.join(artifact.uri, MANIFEST))  # which `read` does not give: it is the store's
