"""What stands beside a bundle's files in its MLflow run, so that MLflow loads it: an MLmodel, which says what goes in
and comes out, and a model from code, no pickle. What reads bundles by their manifest passes over both.
"""

import base64
import io
import logging
import tempfile
import warnings
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from infra.artifact_store import Artifact

CODE_FILE = "pyfunc_model.py"
# Written here, not imported, for a change of how models answer publishes none again.
CODE = """# What MLflow runs to load the bundle in this folder; the package `scriptorium` is to be installed.
from pathlib import Path

from mlflow.models import set_model

from tasks.publishing.pyfunc_model import BundleModel

set_model(BundleModel(Path(__file__).parent))
"""
OUTPUTS = {  # types as MLflow calls them
    "recognizer": {"text": "string", "confidence": "any", "words": "any", "n_best": "any"},
    "classifier": {"label": "string", "probabilities": "any"},
    "translator": {"text": "string", "score": "double", "n_best": "any"},
    "language model": {"log_prob": "double", "perplexity": "double", "tokens": "any"},
}


def pyfunc_files(bundle: Artifact) -> Iterator[tuple[str, bytes]]:
    """What stands beside a bundle's files for MLflow to load it."""
    import mlflow.pyfunc  # seconds, which nothing but publishing needs to pay

    example = base64.b64encode(_silence()).decode() if hears(bundle) else "a text"
    signature = _signature(OUTPUTS[model_kind(bundle)], with_rate=hears(bundle))
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's, of type hints that it would like
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        code, saved = Path(folder, CODE_FILE), Path(folder, "saved")
        code.write_text(CODE, encoding="utf-8")
        how: dict[str, Any] = {"signature": signature, "input_example": [example], "pip_requirements": ["scriptorium"]}
        mlflow.pyfunc.save_model(saved, python_model=str(code), **how)
        for path in sorted(saved.iterdir()):
            yield path.name, path.read_bytes()


def _signature(outputs: dict[str, str], *, with_rate: bool) -> Any:
    """with_rate: of samples may be given; 0 where there are none."""
    from mlflow.models import ModelSignature
    from mlflow.types.schema import AnyType, ColSpec, DataType, ParamSchema, ParamSpec, Schema

    kinds = {"any": AnyType(), "double": DataType.double, "string": DataType.string}
    columns: list[Any] = [ColSpec(kinds[kind], name) for name, kind in outputs.items()]
    rate: dict[str, Any] = {"params": ParamSchema([ParamSpec("rate", DataType.long, 0)])} if with_rate else {}
    return ModelSignature(Schema([ColSpec(AnyType())]), Schema(columns), **rate)


def model_kind(bundle: Artifact) -> str:
    """One of OUTPUTS."""
    if bundle.kind == "bundle" and bundle.read_json("tokenizer.json")["kind"] == "labels":
        return "classifier"
    if "source/tokenizer.json" in bundle.names():
        return "translator"
    return "recognizer" if hears(bundle) else "language model"


def hears(bundle: Artifact) -> bool:
    """Whether recordings go in, not texts."""
    return bundle.kind == "bundle" and bundle.read_json("features.json") is not None


def _silence() -> bytes:
    """A tenth of a second as WAV."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(bytes(3200))
    return out.getvalue()
