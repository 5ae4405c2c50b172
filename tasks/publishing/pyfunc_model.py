"""A bundle as MLflow runs it: `mlflow.pyfunc.load_model("models:/asr@champion").predict(...)`, `mlflow models serve`.

What goes in: a recording a row, as the path of a file, its bytes (in JSON base64), or samples with `params={"rate":
16000}`; for a model that reads text, a text a row. A column of numbers is one recording. What comes out is a row each:

    recognizer        text, confidence, words [{text, start, end, confidence}], n_best [{text, score}]
    classifier        label, probabilities {label: probability}
    translator        text, score (as its beam defines it), n_best [{text, score}]
    language model    log_prob (nats), perplexity, tokens [{text, log_prob}]
"""

import base64
import binascii
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.pyfunc.model import PythonModel

from infra import storage
from infra.errors import UserError
from tasks.audio.audio_values import to_audio_input
from tasks.audio.live_audio_input import AudioInput
from tasks.bundles.model_bundle import (
    Bundle,
    import_model,
    load_bundle,
    load_on_device,
)
from tasks.decoding.classify_sequence import classify_sequence
from tasks.decoding.score_text import TextModel, load_text_model, score_text
from tasks.decoding.translate import Translator
from tasks.publishing.pyfunc_files import OUTPUTS, hears, model_kind
from tasks.transcription.transcribe_audio import Transcriber

Rows = list[dict[str, Any]]


class BundleModel(PythonModel):
    """The bundle of a folder, read when MLflow asks for it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.answer: Callable[[list[Any]], Rows] = partial(_unloaded, folder)
        self.hears = False

    def load_context(self, context: Any) -> None:  # noqa: ARG002  (MLflow's)
        """Into memory."""
        artifact = import_model(str(self.folder), ("bundle", "ngram"))
        kind, self.hears = model_kind(artifact), hears(artifact)
        if kind == "recognizer":
            self.answer = partial(_transcripts, Transcriber(load_on_device(artifact)[0]))
        elif kind == "translator":
            self.answer = partial(_translations, Translator(load_on_device(artifact)[0]))
        elif kind == "classifier":
            self.answer = partial(_classifications, load_bundle(artifact))
        else:
            self.answer = partial(_scores, load_text_model(artifact, str(self.folder)))

    def predict(  # pyright: ignore[reportIncompatibleMethodOverride]  (MLflow says that it returns None)
        self, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """A row for each recording or text. Raises UserError for what is none."""
        rate = (params or {}).get("rate", 0)
        given = [value if not self.hears else _recording(value, rate) for value in _values(model_input)]
        return pd.DataFrame(self.answer(given), dtype=object)


def _unloaded(folder: Path, _given: list[Any]) -> Rows:
    raise UserError(f"{folder}: not loaded; use mlflow.pyfunc.load_model")


def _values(rows: pd.DataFrame) -> list[Any]:
    """One of each recording or text: a column's entries, all of a column of numbers, or rows of numbers."""
    numeric = all(np.issubdtype(kind, np.number) for kind in rows.dtypes if isinstance(kind, np.dtype))
    if numeric and len(rows.columns) and all(isinstance(kind, np.dtype) for kind in rows.dtypes):
        if len(rows.columns) == 1:
            return [rows.iloc[:, 0].to_numpy()]
        return [row[~np.isnan(row)] for row in rows.to_numpy()]  # MLflow fills shorter ones with NaN
    if len(rows.columns) != 1:
        raise UserError(f"one column is asked for, with a recording or a text a row, not {len(rows.columns)}")
    return rows.iloc[:, 0].tolist()


def _recording(value: Any, rate: int) -> AudioInput:
    """Text is a path, or base64 of a file, as JSON brings it."""
    if not isinstance(value, str):
        return to_audio_input(value if isinstance(value, bytes) else np.asarray(value), rate or None)
    if storage.is_s3(value) or _is_file(value):
        return to_audio_input(value)
    try:
        return to_audio_input(base64.b64decode(value, validate=True))
    except binascii.Error:
        raise UserError(f"{value[:80]!r}: no such file, and no base64 of one") from None


def _is_file(value: str) -> bool:
    try:
        return Path(value).is_file()
    except (OSError, ValueError):  # longer than any path
        return False


def _transcripts(transcriber: Transcriber, given: list[Any]) -> Rows:
    names = OUTPUTS["recognizer"]
    return [{name: transcript.to_dict()[name] for name in names} for transcript in transcriber(given)]


def _classifications(bundle: Bundle, given: list[Any]) -> Rows:
    return [classify_sequence(bundle, one)._asdict() for one in given]


def _translations(translator: Translator, given: list[Any]) -> Rows:
    if wrong := [value for value in given if not isinstance(value, str)]:
        raise UserError(f"a translator reads texts, and {str(wrong[0])[:80]!r} is none")
    return [
        {"text": one.text, "score": one.score, "n_best": [{"text": t, "score": s} for t, s in one.n_best]}
        for one in translator.translate(given)
    ]


def _scores(language: TextModel, given: list[Any]) -> Rows:
    found = [score_text(language, text) for text in given]
    return [
        {"log_prob": s.log_prob, "perplexity": s.perplexity, "tokens": [token._asdict() for token in s.tokens]}
        for s in found
    ]
