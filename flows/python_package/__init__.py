"""`import scriptorium`: what flows/python_api.py has, imported at its first use, so that naming it costs nothing.

The wheel gives this folder the name `scriptorium` (pyproject.toml). The packages that it uses are called flows, tasks,
models and infra; a script beside folders of its own of these names gets these ones, but for names that it has imported
itself before, which are an ImportError.
"""

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flows.python_api import (
        CaptioningModel,
        Classification,
        Classifier,
        LanguageModel,
        SpeechRecognizer,
        Stream,
        StreamedTranscript,
        TranslationModel,
        load,
        load_captioner,
        load_classifier,
        load_language_model,
        load_recognizer,
        load_translator,
    )
    from infra.errors import UserError
    from tasks.decoding.caption_photos import Caption, CaptionWord
    from tasks.decoding.score_text import TextScore
    from tasks.decoding.translate import Translation
    from tasks.transcription.transcript import Segment, Transcript, Word

__all__ = [
    "Caption",
    "CaptionWord",
    "CaptioningModel",
    "Classification",
    "Classifier",
    "LanguageModel",
    "Segment",
    "SpeechRecognizer",
    "Stream",
    "StreamedTranscript",
    "TextScore",
    "Transcript",
    "Translation",
    "TranslationModel",
    "UserError",
    "Word",
    "load",
    "load_captioner",
    "load_classifier",
    "load_language_model",
    "load_recognizer",
    "load_translator",
]
_HOMES = {"UserError": "infra.errors", "TextScore": "tasks.decoding.score_text"}
_HOMES |= {"Translation": "tasks.decoding.translate"}
_HOMES |= dict.fromkeys(("Caption", "CaptionWord"), "tasks.decoding.caption_photos")
_HOMES |= dict.fromkeys(("Segment", "Transcript", "Word"), "tasks.transcription.transcript")
_PACKAGES = ("infra", "models", "tasks", "flows")


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    _claim_packages()
    return getattr(importlib.import_module(_HOMES.get(name, "flows.python_api")), name)


def __dir__() -> list[str]:
    return __all__


def _claim_packages() -> None:
    """Import the packages from where this one's are, whatever else is called so on the path."""
    places = (Path(path or ".").resolve() for path in sys.path)
    root = next((place for place in places if (place / "flows" / "python_api.py").is_file()), None)
    if root is None:
        raise ImportError("scriptorium's packages are not on the path: install it again (pip install -e .)")
    sys.path.insert(0, str(root))
    try:
        for name in _PACKAGES:
            package = importlib.import_module(name)
            if Path(str(package.__file__)).parent.parent.resolve() != root:
                raise ImportError(f"{name} is imported already, from {package.__file__}: use scriptorium before it")
    finally:
        sys.path.remove(str(root))
