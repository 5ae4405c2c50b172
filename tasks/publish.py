"""Everything by digest into MLflow: parameters, metrics, tokenizer, report and bundle, data sets by reference."""

from dataclasses import asdict, dataclass
from typing import Any

from infra import tracking
from infra.store import Artifact, draft
from tasks.report import Material
from tasks.step import step
from tasks.train import Training


@dataclass(frozen=True, kw_only=True)
class Publication:
    """run_key: names the MLflow run (training opened it). name, alias: what the model is registered as."""

    run_key: str
    run_name: str
    corpus: str
    recipe: str
    name: str
    alias: str
    splits: tuple[str, ...]


@step
def publish(
    material: Material, page: Artifact, tokenizer: Artifact, training: Training, publication: Publication
) -> Artifact:
    """`publication.json`: the MLflow run and the registered model's version."""
    told = {"corpus": publication.corpus, "recipe": publication.recipe}
    run_id = tracking.open_run(publication.run_key, publication.run_name, told)
    tracking.log_params(run_id, told | flat(asdict(training)))
    bundle = material.bundle
    for split, scores in zip(publication.splits, material.scores, strict=True):
        numbers = scores.read_json("scores.json")
        names = ("wer", "cer", "utterances", "sentence_errors")
        tracking.log_metrics(run_id, [(f"{split}_{name}", float(numbers[name]), 0) for name in names])
    history = bundle.read_json("training.json")["history"]
    rows = [(name, float(value), int(row["epoch"])) for row in history for name, value in row.items()]
    tracking.log_metrics(run_id, rows)
    for artifact in (material.shards, material.features):
        tracking.log_dataset(run_id, artifact.kind, artifact.digest, artifact.uri)
    for artifact in (bundle, page, tokenizer):
        tracking.log_files(run_id, _folder(artifact), artifact.kind)
    every = (bundle, page, tokenizer, material.shards, material.features, *material.transcripts)
    digests = {artifact.kind: artifact.digest for artifact in every}
    version = tracking.register(run_id, publication.name, publication.alias, digests)
    tracking.finish(run_id, "FINISHED")
    with draft("publication") as out:
        told = {"run_id": run_id, "name": publication.name, "alias": publication.alias, "version": version}
        out.put_json("publication.json", told | {"digests": digests})
    return out.result()


@dataclass(frozen=True, kw_only=True)
class Measured:
    """An evaluation: which model, on what."""

    model: str
    corpus: str
    split: str


@step
def record(material: Material, page: Artifact, measured: Measured) -> Artifact:
    """`publication.json` of an evaluation: the MLflow run with its scores and report."""
    title = f"evaluate {measured.model} on {measured.corpus} {measured.split}"
    told = asdict(measured) | {"bundle": material.bundle.digest}
    run_id = tracking.open_run(page.digest, title, {name: str(value) for name, value in told.items()})
    tracking.log_params(run_id, told)
    numbers = material.scores[0].read_json("scores.json")
    names = ("wer", "cer", "utterances", "sentence_errors")
    tracking.log_metrics(run_id, [(f"{measured.split}_{name}", float(numbers[name]), 0) for name in names])
    for artifact in (material.shards, material.features):
        tracking.log_dataset(run_id, artifact.kind, artifact.digest, artifact.uri)
    tracking.log_files(run_id, _folder(page), "report")
    tracking.finish(run_id, "FINISHED")
    with draft("publication") as out:
        out.put_json("publication.json", {"run_id": run_id, "name": "", "alias": "", "version": ""})
    return out.result()


def _folder(artifact: Artifact) -> list[tuple[str, bytes]]:
    names = [*artifact.names(), "manifest.json"]
    return [(name, artifact.read(name)) for name in names]


def flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"fit": {"epochs": 3}}` as `{"fit.epochs": 3}`."""
    rows: dict[str, Any] = {}
    for name, value in tree.items():
        rows |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) and value else {f"{prefix}{name}": value}
    return rows
