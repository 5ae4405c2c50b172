"""What a run ends with: a table for people, JSON for programs, a summary in Prefect's UI."""

from typing import Any

from prefect.artifacts import create_markdown_artifact, create_table_artifact

from infra import model_registry, storage, tracking
from infra.artifact_store import Artifact
from infra.errors import UserError, redact_url
from infra.settings import settings
from tasks.publishing.publish_model import RunOutcome
from tasks.reports.sections.promotion_section import slice_texts
from tasks.steps.progress import log_in_run

COLUMNS = {
    "wer": ("WER", "{:.2%}"),
    "wer_interval": ("95 % interval", "{0[0]:.2%} to {0[1]:.2%}"),
    "cer": ("CER", "{:.2%}"),
    "utterances": ("utterances", "{}"),
    "loss": ("nats a token", "{:.4f}"),
    "bleu": ("BLEU", "{:.2f}"),
    "bleu_interval": ("95 % interval", "{0[0]:.2f} to {0[1]:.2f}"),
    "bleu_1": ("BLEU-1", "{:.2f}"),
    "bleu_4": ("BLEU-4", "{:.2f}"),
    "cider_d": ("CIDEr-D", "{:.3f}"),
    "chrf": ("chrF", "{:.2f}"),
    "ter": ("TER", "{:.2f}"),
    "sentences": ("sentences", "{}"),
    "exact": ("exact", "{:.2%}"),
    "photos": ("photos", "{}"),
    "accuracy": ("accuracy", "{:.2%}"),
    "accuracy_interval": ("95 % interval", "{0[0]:.2%} to {0[1]:.2%}"),
    "macro_f1": ("macro-F1", "{:.4f}"),
    "items": ("items", "{}"),
    "bits_per_character": ("bits a character", "{:.3f}"),
    "perplexity": ("perplexity", "{:.3f}"),
    "unknown": ("unknown", "{:.2%}"),
    "tokens": ("tokens", "{}"),
    "truncated": ("truncated", "{}"),
    "unknown_tokens": ("unknown tokens", "{}"),
    "silent": ("without words", "{}"),
}
OF_A_COMPARISON = {
    "spread": ("\u00b1 over seeds", "{:.4f}"),
    "seeds": ("seeds", "{}"),
    "parameters": ("parameters", "{:,}"),
    "best_epoch": ("best epoch", "{:g}"),
    "updates": ("updates", "{:g}"),
    "training_seconds": ("seconds", "{:.0f}"),
    "core_seconds": ("core seconds", "{:.0f}"),
    "updates_per_second": ("updates/s", "{:.1f}"),
}
BESIDES = ("words", "characters", "bits_per_token", "oracle_wer", "calibration_error")  # in the JSON only
SLICE_COLUMNS = ("slice", "group", "utterances", "rate", "other_rate", "difference", "low", "high", "verdict")
IF_ANY = ("truncated", "unknown_tokens", "silent")  # counts that are shown where they are not 0
# Of what was measured: in a comparison the same for all.
SIZES = (*IF_ANY, "utterances", "sentences", "tokens", "items", "photos")


def summarize_run(outcome: RunOutcome, published: Artifact) -> dict[str, Any]:
    """The result of a flow, also left as an artifact of the Prefect run."""
    names = (*COLUMNS, *BESIDES)
    metrics = {s: {n: found[n] for n in names if n in found} for s, found in outcome.numbers().items()}
    artifacts = {"bundle": outcome.bundle, "report": outcome.page} | {a.kind: a for a in outcome.data}
    return build_result(metrics, artifacts, published)


def summarize_comparison(
    page: Artifact, published: Artifact, bundles: dict[str, Artifact], failed: dict[str, str]
) -> dict[str, Any]:
    """The same of a comparison: a row for each recipe, the best first; its bundles by recipe and seed."""
    board = page.read_json("leaderboard.json")["recipes"]
    metrics = {row["recipe"]: {name: row[name] for name in comparison_columns() if name in row} for row in board}
    return build_result(metrics, {"report": page} | bundles, published, failed)


def summarize_promotion(outcome: RunOutcome, published: Artifact, page: Artifact | None) -> dict[str, Any]:
    """The result of a retraining. page: of the decision, None where there was no champion; its slices and its reason
    are left as artifacts of the Prefect run too.
    """
    if page is None:
        return summarize_run(outcome, published) | {"decision": None}
    decision = page.read_json("decision.json")
    slices = [{name: row[name] for name in SLICE_COLUMNS} for row in decision["slices"]]
    table = [slice_texts(row) for row in decision["slices"]]
    create_table_artifact(table, key="promotion-slices", description=decision["reason"])
    report = storage.join(page.uri, "report.html")
    told = [
        f"**{'Promoted' if decision['promoted'] else 'Not promoted'}**: {decision['reason']}",
        f"**Page** `{report}`",
    ]
    told += [_changed_table(which, decision[which]) for which in ("worse", "better")]
    create_markdown_artifact("\n\n".join(told), key="promotion", description=decision["reason"])
    names = ("promoted", "reason", "metric", "unit", "split", "utterances", "left_out", "overall", "champion")
    kept = {name: decision[name] for name in names} | {"page": report, "slices": slices}
    return summarize_run(outcome, published) | {"decision": kept}


def _changed_table(which: str, rows: list[dict[str, Any]]) -> str:
    lines = [
        f"{len(rows):,} utterances became {which}",
        "| utterance | before | now | spoken | heard now |\n|---|---|---|---|---|",
    ]
    for row in rows[:20]:
        cells = (row["key"], row["other_errors"], row["errors"], row["reference"], row["text"])
        lines[-1] += "\n| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"
    return "\n\n".join(lines if rows else lines[:1])


def comparison_columns() -> dict[str, tuple[str, str]]:
    return {name: told for name, told in (COLUMNS | OF_A_COMPARISON).items() if name not in SIZES}


def build_result(
    metrics: dict[str, dict[str, Any]],
    artifacts: dict[str, Artifact],
    published: Artifact,
    failed: dict[str, str] | None = None,
) -> dict[str, Any]:
    told = published.read_json("publication.json")
    result = {
        "metrics": metrics,
        "digests": {name: artifact.digest for name, artifact in artifacts.items()} | told.get("digests", {}),
        "paths": {name: artifact.uri for name, artifact in artifacts.items()},
        "report": storage.join(artifacts["report"].uri, "report.html"),
        "run_id": told["run_id"],
        **registered_as(told),
        "tracking": redact_url(settings().tracking_uri),
    } | ({} if failed is None else {"failed": failed})
    create_markdown_artifact(markdown(result), key="summary", description="the numbers and where to look")
    log_in_run(f"the result\n{text_table(result)}")  # what `prefect deployment run --watch` ends with
    return result


def report_link(result: dict[str, Any]) -> str:
    """Where a browser may read the report, which no page of a server may send it to as a file; "" where nowhere."""
    *_, kind, digest, name = result["report"].split("/")
    if reports := settings().reports:
        return f"{reports.rstrip('/')}/{kind}/{digest}/{name}"
    return tracking.run_page(result["run_id"], f"{kind}/{name}")


def registered_as(told: dict[str, str]) -> dict[str, str]:
    """What the registry says now, which may be long after this model was registered: the model by an alias it has, or
    where it has none, by its version; and in words why, or what has changed since. told: its publication.
    """
    name, alias, version = (told.get(key, "") for key in ("name", "alias", "version"))
    if not name:
        return {"model": "", "version": "", "registry": ""}
    try:
        aliases, current = model_registry.find_aliases(name, version), tracking.find_version(name, alias)
    except UserError as problem:  # the work is done, and was registered before
        return {"model": f"{name}/{version}", "version": version, "registry": str(problem)}
    if aliases:
        known = alias if alias in aliases else aliases[0]
        reason = told.get("reason", "") if known == alias else ""
        return {"model": f"{name}@{known}", "version": version, "registry": reason}
    now = f"{name}@{alias} is version {current} now" if current else f"no version is {name}@{alias} now"
    own = f"version {version} was taken away, " if aliases is None else ""
    return {"model": "" if aliases is None else f"{name}/{version}", "version": version, "registry": own + now}


def summary_rows(result: dict[str, Any]) -> list[list[str]]:
    """The heading, then a row for each split, or for each recipe of a comparison."""
    columns, metrics = COLUMNS | OF_A_COMPARISON, result["metrics"]
    some = [n for n in columns if n not in IF_ANY or any(found.get(n) for found in metrics.values())]
    shown = [name for name in some if any(name in found for found in metrics.values())]
    cells = [
        [of, *(columns[n][1].format(found[n]) if n in found else "" for n in shown)] for of, found in metrics.items()
    ]
    return [["recipe" if "failed" in result else "split", *(columns[n][0] for n in shown)], *cells]


def markdown(result: dict[str, Any]) -> str:
    """For Prefect's UI: a paragraph each for what is said below the table."""
    head, *cells = ("| " + " | ".join(row) + " |" for row in summary_rows(result))
    line = "|---" + "|---:" * (head.count(" | ")) + "|"
    page = tracking.run_page(result["run_id"])
    link, run = report_link(result), f"`{result['run_id']}`"
    report = f"**[Report]({link})**, at `{result['report']}`" if link else f"**Report** `{result['report']}`"
    below = [f"failed: {label}: {reason}" for label, reason in result.get("failed", {}).items()]
    below += [report, f"**MLflow run** [{result['run_id']}]({page})" if page else f"**MLflow run** {run}"]
    if result["version"]:
        told = (f"`{result['model']}`" if result["model"] else "", f"version {result['version']}", result["registry"])
        below.append(f"**Model** {', '.join(filter(None, told))}")
    return "\n\n".join(["\n".join([head, line, *cells]), *below]) + "\n"


def text_table(result: dict[str, Any]) -> str:
    """The same for a terminal."""
    cells = summary_rows(result)
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(_placed(cell, widths[i], first=i == 0) for i, cell in enumerate(row)) for row in cells]
    lines += [f"failed      {label}: {line}" for label, line in result.get("failed", {}).items()]
    lines += [f"report      {result['report']}", f"MLflow run  {result['run_id']} at {result['tracking']}"]
    if result["version"]:
        said = (result["model"], f"version {result['version']}", result["registry"])
        lines.append(f"model       {', '.join(filter(None, said))}")
    return "\n".join(lines)


def _placed(cell: str, width: int, *, first: bool) -> str:
    return cell.ljust(max(width, 10)) if first else cell.rjust(width)
