"""What a run knows of itself for its report: what it was asked for, since when it goes on, what it is compared with."""

import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from infra import storage
from infra.model_registry import split_models
from tasks.reports.sections.run_section import setting_text
from tasks.steps.read_config import flatten_params
from tasks.steps.run_facts import Facts, RunFacts, command_text, environment_facts
from tasks.training.training_duration import load_record

OPTIONS = {"settings": "set"}  # parameters of flows that have another name in a command


class RunContext(NamedTuple):
    """title: of the report. started: seconds since 1970. model_name: of which the champion is compared with, "" for
    none. training_key: of the training step, "" where the run trains nothing.
    """

    title: str
    started: float
    model_name: str
    training_key: str = ""

    def facts(self) -> RunFacts:
        """Of the Prefect run that this is called in."""
        now = time.time()
        told = [
            ("command", run_command()),
            ("date", f"{_date(self.started)}, {_duration(now - self.started)} until this page"),
        ]
        return RunFacts(facts=(*told, *training_facts(self.training_key), *environment_facts()))


def run_command() -> str:
    """A command that does again what this flow was called for, however it was called; "" outside of a flow."""
    from prefect.runtime import flow_run

    name, given = str(flow_run.flow_name or ""), dict[str, Any](flow_run.parameters or {})
    options = {OPTIONS.get(option, option): value for option, value in given.items()}
    return command_text(name, options) if name else ""


def training_facts(key: str) -> Facts:
    """When and where the training with this key ended, which may be an earlier run's."""
    record = load_record(key) if key else None
    if record is None:
        return ()
    clock = record.clock
    took = f"{_duration(clock.seconds)} for {clock.updates:,} updates, {_duration(clock.core_seconds)} of processor"
    ended = f", ended {_date(record.ended)}" if record.ended else ""
    workers = "" if record.workers is None else f"{record.workers}" if record.workers else "in one process"
    return (("training", took + ended), ("trained on", record.machine), ("workers of the training", workers))


def registered_name(model: str) -> str:
    """The name of `NAME@ALIAS` or `NAME/VERSION`, "" of a bundle's path or URI; of several the first one's."""
    model = split_models(model)[0]
    if storage.is_s3(model) or Path(model).is_dir():
        return ""
    return model.partition("@")[0] if "@" in model else model.rpartition("/")[0]


def flat_settings(config: Any) -> tuple[tuple[str, str], ...]:
    """A recipe or plan as dotted names and values."""
    return tuple((name, setting_text(value)) for name, value in flatten_params(asdict(config)).items())


def _date(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"
