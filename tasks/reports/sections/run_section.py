"""How a model and its page came about: the run, the machine, every setting, what it was made of."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from markupsafe import Markup

from infra.artifact_store import Artifact
from infra.errors import redact_url
from tasks.bundles.bundle_files import (
    TRAINING,
    read_architecture,
    read_members,
    read_object,
    read_sound,
    read_spec,
)
from tasks.reports.sections.section_html import data_table, facts_table, section
from tasks.steps.read_config import flatten_params
from tasks.steps.run_facts import Facts
from tasks.training.leaderboard import count_parameters

NO_SETTINGS = {"history", "best", "features"}  # of a training.json

Settings = Mapping[str, str]


def run_section(facts: Facts, bundle: Artifact, settings: Settings, sources: Iterable[Artifact]) -> Markup:
    """facts: of tasks/steps/run_facts.py. settings: of this run, by dotted name. sources: what the page is of."""
    told = [(name, _text(value)) for name, value in (*facts, *model_facts(bundle))]
    own = trained_settings(bundle)
    other = {name: value for name, value in own.items() if settings.get(name) != value}
    digests = [[one.kind, Markup("<code>{}</code>").format(one.digest), one.uri] for one in dict.fromkeys(sources)]
    return section(
        "run",
        "Run",
        facts_table(told),
        _settings("Settings", settings),
        _settings("Settings that the model was trained with, where others are used or named here", other),
        Markup("<details><summary>Artifacts by their digests</summary>{}</details>").format(
            data_table(("artifact", "digest", "where"), [[*row[:2], _text(row[2])] for row in digests])
        ),
    )


def model_facts(bundle: Artifact) -> Facts:
    """Architecture, parameters, epochs and seed; the last two have an ensemble's members, each its own."""
    training = read_object(bundle, TRAINING)
    facts = [("architecture", read_architecture(bundle)), ("parameters", f"{count_parameters(bundle):,}")]
    if read_members(bundle):
        return tuple(facts)
    best, history = training.get("best") or {}, training.get("history") or []
    if "epoch" in best:
        facts.append(("best epoch", f"{best['epoch']} of {len(history)}"))
    if "seed" in (training.get("fit") or {}):
        facts.append(("random seed", str(training["fit"]["seed"])))
    return tuple(facts)


def trained_settings(bundle: Artifact) -> dict[str, str]:
    """What a bundle was trained with, by the names that a recipe has for it."""
    training, sound = read_object(bundle, TRAINING), read_sound(bundle)
    tree: dict[str, Any] = {"model": read_spec(bundle)["options"]}
    tree |= {"features": asdict(sound[0])} if sound else {}
    tree |= {name: value for name, value in training.items() if name not in NO_SETTINGS and isinstance(value, dict)}
    return {name: setting_text(value) for name, value in flatten_params(tree).items()}


def setting_text(value: Any) -> str:
    """A tuple as JSON has it: what a bundle tells and what a recipe has is the same."""
    return str(list(value) if isinstance(value, tuple) else value)


def _settings(title: str, settings: Settings) -> Markup:
    if not settings:
        return Markup()
    rows = [[Markup("<code>{}</code>").format(name), _text(value)] for name, value in sorted(settings.items())]
    table = data_table(("setting", "value"), rows)
    return Markup("<details><summary>{} ({})</summary>{}</details>").format(title, len(rows), table)


def _text(value: str) -> str:
    return redact_url(value)
