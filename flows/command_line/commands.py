"""What `scriptorium` has: each command by its group, with the first line of its module.

scriptorium COMMAND ...         the same as python -m MODULE ...
"""

import runpy
import sys
import warnings
from collections.abc import Sequence

from flows.command_line.parsers import PARSERS
from flows.command_line.source_help import module_line
from infra.errors import WRONG_USE, end_unread, suggest_name
from infra.keyboard_interrupt import quiet_interrupt

# By what they are for; each command is a module that is run as `python -m` runs it, with what its name is followed by.
COMMANDS: dict[str, dict[str, str]] = {
    "train a model": {
        "train-asr": "flows.train_asr",
        "train-language-model": "flows.train_language_model",
        "train-ngram": "flows.train_ngram",
        "train-classifier": "flows.train_classifier",
        "train-translation": "flows.train_translation",
        "train-captioning": "flows.train_captioning",
        "compare": "flows.compare",
        "tune-decoding": "flows.tune_decoding",
        "retrain": "flows.retrain",
    },
    "use a model": {
        "transcribe": "flows.transcribe",
        "transcribe-archive": "flows.transcribe_archive",
        "translate": "flows.translate",
        "translate-archive": "flows.translate_archive",
        "evaluate-archive": "flows.evaluate_archive",
        "caption-archive": "flows.caption_archive",
        "listen": "flows.listen",
        "align": "flows.align",
        "generate": "flows.generate",
        "evaluate": "flows.evaluate",
    },
    "data": {
        "ingest": "flows.ingest",
        "dataset": "flows.dataset",
        "export": "flows.export",
        "corpora": "flows.command_line.corpora",
    },
    "what there is": {
        "recipes": "flows.command_line.recipes",
        "models": "infra.model_registry",
        "promote": "infra.model_registry",
        "rollback": "infra.model_registry",
        "artifacts": "infra.artifacts",
        "settings": "infra.settings",
    },
    "servers on this machine": {
        "up": "infra.local_services",
        "down": "infra.local_services",
    },
}
SUBCOMMANDS = {"models", "promote", "rollback", "up", "down"}  # one module has several: its name is given on to it
MODULES = {name: module for group in COMMANDS.values() for name, module in group.items()}


def help_text() -> str:
    width = max(map(len, MODULES)) + 2
    lines = ["scriptorium COMMAND ...: sequences into text, in bulk", ""]
    for group, commands in COMMANDS.items():
        lines += [f"{group}:", *(f"  {name:<{width}}{_line(name, module)}" for name, module in commands.items()), ""]
    return "\n".join([*lines, "scriptorium COMMAND --help says more."])


def _line(name: str, module: str) -> str:
    return LINES.get(name) or module_line(module)


LINES = {
    "models": "Registered models: every version, its scores, which one is champion.",
    "promote": "Make a version of a model its champion.",
    "rollback": "Give the title back to the champion of before.",
    "up": "Start Prefect, MLflow and Ray here, on loopback.",
    "down": "End what `up` started.",
    "artifacts": "What lies in the artifact store, what made it and what needs it; remove, collect.",
    "settings": "The settings, and the variable that sets each.",
}


def show_help(module: str, arguments: Sequence[str]) -> None:
    """End with the help of a flow where the arguments ask for it, before the flow is imported."""
    if module in PARSERS and {"-h", "--help"} & set(arguments):
        if not sys.argv[0].startswith("scriptorium"):
            sys.argv[0] = f"python -m {module}"
        PARSERS[module]().parse_args(["--help"])


def main() -> None:
    """Run the command that the arguments name. Status 2 where there is none of that name."""
    quiet_interrupt()
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in {"-h", "--help", "help"}:
        with end_unread():
            print(help_text())
        return
    if name not in MODULES:
        hint = suggest_name(name, MODULES, "see scriptorium --help")
        print(f"scriptorium: no command {name!r}; {hint}", file=sys.stderr)
        raise SystemExit(WRONG_USE)
    sys.argv = [f"scriptorium {name}", *([name] if name in SUBCOMMANDS else []), *sys.argv[2:]]
    show_help(MODULES[name], sys.argv[1:])
    warnings.filterwarnings("ignore", "'.*' found in sys.modules", RuntimeWarning)  # of what is imported already
    runpy.run_module(MODULES[name], run_name="__main__", alter_sys=False)
