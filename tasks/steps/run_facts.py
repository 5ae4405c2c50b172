"""How a run came about: its command, the code's version, the machine, the libraries.

They differ from run to run and decide nothing of what is computed: a step takes them as Resources, which are no part of
its key, so that a page is made once and says how the run was that made it.
"""

import os
import platform
import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from infra.errors import redact_url
from infra.processes import ask_git
from infra.settings import settings
from tasks.steps.pipeline_step import Resources

PACKAGE = "scriptorium"
LIBRARIES = ("torch", "torchaudio", "numpy", "numba", "ray", "prefect", "mlflow", "pyarrow", "webdataset", "soundfile")
LIBRARIES += ("sentencepiece", "jiwer")

Facts = tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class RunFacts(Resources):
    """Names and values for people, free of secrets."""

    facts: Facts = ()


NO_FACTS = RunFacts()


def environment_facts() -> Facts:
    """What every run of this process has in common."""
    libraries = ", ".join(f"{name} {version}" for name, version in library_versions().items())
    return (("code", code_revision()), ("machine", describe_machine()), ("libraries", libraries))


def command_text(name: str, options: Mapping[str, Any]) -> str:
    """A command line that does the same again: options that are lists are given once for each item, "" not at all."""
    words = [PACKAGE, name]
    for option, value in options.items():
        for one in value if isinstance(value, list | tuple) else [value]:
            if one != "":
                words += [f"--{option.replace('_', '-')}", str(one)]
    return shlex.join(redact_url(word) for word in words)


@cache
def code_revision() -> str:
    """The commit that the code stands at, and whether files of it differ; of installed code the package's version."""
    if commit := ask_git("rev-parse", "HEAD"):
        changed = ask_git("status", "--porcelain", "--untracked-files=no")
        return f"commit {commit}{', with changes that are not committed' if changed else ''}"
    try:
        installed = metadata.distribution(PACKAGE)
    except metadata.PackageNotFoundError:
        return "version not known"
    source = installed.read_text("direct_url.json") or ""
    commit = re.search(r'"commit_id": *"([0-9a-f]+)"', source)
    return f"version {installed.version}" + (f", commit {commit[1]}" if commit else "")


def library_versions() -> dict[str, str]:
    found = {"Python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # not needed by every command
            continue
    return found


def describe_machine() -> str:
    """Processor, cores, memory and GPUs of this machine, and that a Ray cluster shares the work where one does."""
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    told = [f"{_processor()}, {cores} cores, {memory:.0f} GiB of memory", *_gpus(), platform.platform()]
    if address := settings().ray_address:
        told.append(f"and the Ray cluster at {redact_url(address)}")
    return ", ".join(told)


def _processor() -> str:
    try:
        names = re.findall(r"^(?:model name|Hardware|cpu model)\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.M)
    except OSError:  # only Linux has it
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def _gpus() -> list[str]:
    """By name. Torch is asked only where it is loaded: what needs no torch has no use for a GPU."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return []
    return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
