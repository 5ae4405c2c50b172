"""What a run ends with: a table for people, JSON for programs, a summary in Prefect's UI."""

from typing import Any

from prefect.artifacts import create_markdown_artifact

from infra import storage
from infra.settings import settings, without_password
from infra.store import Artifact
from tasks.report import Material


def summarise(material: Material, page: Artifact, published: Artifact, splits: tuple[str, ...]) -> dict[str, Any]:
    """The result of a flow, also left as an artifact of the Prefect run."""
    told = published.read_json("publication.json")
    metrics = {}
    for split, scores in zip(splits, material.scores, strict=True):
        numbers = scores.read_json("scores.json")
        names = ("wer", "wer_interval", "cer", "utterances", "words")
        metrics[split] = {name: numbers[name] for name in names}
    artifacts = {"shards": material.shards, "features": material.features, "bundle": material.bundle, "report": page}
    result = {
        "metrics": metrics,
        "digests": {name: artifact.digest for name, artifact in artifacts.items()} | told.get("digests", {}),
        "paths": {name: artifact.uri for name, artifact in artifacts.items()},
        "report": storage.join(page.uri, "report.html"),
        "run_id": told["run_id"],
        "model": f"{told['name']}@{told['alias']}" if told.get("name") else "",
        "version": told.get("version", ""),
        "tracking": without_password(settings().tracking_uri),
    }
    create_markdown_artifact(markdown(result), key="summary", description="error rates and where to look")
    return result


def markdown(result: dict[str, Any]) -> str:
    lines = ["| split | WER | 95 % interval | CER | utterances |", "|---|---|---|---|---|"]
    for split, m in result["metrics"].items():
        low, high = m["wer_interval"]
        lines.append(f"| {split} | {m['wer']:.2%} | {low:.2%} to {high:.2%} | {m['cer']:.2%} | {m['utterances']} |")
    report = result["report"]
    link = report if storage.is_s3(report) else f"file://{report}"
    return "\n".join([*lines, "", f"[report]({link})", f"MLflow run `{result['run_id']}`, model `{result['model']}`"])


def table(result: dict[str, Any]) -> str:
    """The same for a terminal."""
    lines = [f"{'split':<8}{'WER':>9}  {'95 % interval':<20}{'CER':>9}{'utterances':>12}"]
    for split, m in result["metrics"].items():
        low, high = m["wer_interval"]
        span = f"{low:.2%} to {high:.2%}"
        lines.append(f"{split:<8}{m['wer']:>9.2%}  {span:<20}{m['cer']:>9.2%}{m['utterances']:>12}")
    lines += [f"report      {result['report']}", f"MLflow run  {result['run_id']} at {result['tracking']}"]
    if result["model"]:
        lines.append(f"model       {result['model']}, version {result['version']}")
    return "\n".join(lines)
