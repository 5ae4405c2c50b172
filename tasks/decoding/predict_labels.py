"""A classifier's bundle and features to predictions: for each sequence the label, how sure, the nats of the truth."""

from typing import Any

import pyarrow as pa
import torch

from infra.artifact_store import Artifact, open_draft
from infra.errors import UserError
from models.interface import Classifier
from tasks.bundles.model_bundle import Bundle, check_golden_outputs
from tasks.decoding.shard_inference import Inference, Inputs, infer
from tasks.steps.pipeline_step import step

PREDICTIONS = pa.schema(
    {
        "key": pa.string(),
        "label": pa.string(),  # the most probable one
        "confidence": pa.float64(),  # its probability
        "reference": pa.string(),
        "nats": pa.float64(),  # -log of the probability of the reference
        "speaker": pa.string(),
        "seconds": pa.float64(),
        "source": pa.string(),
    }
)


@step
def predict_labels(bundle: Artifact, features: Artifact, inference: Inference) -> Artifact:
    """Predictions of one split."""
    check_golden_outputs(bundle)
    out = open_draft("predictions", predict_labels.key(bundle, features, inference)[:32])
    return infer(out, PREDICTIONS, predict_rows, (bundle, features, inference))


@torch.inference_mode()
def predict_rows(bundle: Bundle, inputs: Inputs) -> list[dict[str, Any]]:
    """A row of PREDICTIONS for each sequence, in their order."""
    model = bundle.model
    if not isinstance(model, Classifier):
        raise UserError("this bundle holds no classifier; give one that train_classifier made")
    found: dict[str, dict[str, Any]] = {}
    for batch in inputs:
        log_probs = model.classify(batch.given).double()
        nats = -log_probs.gather(1, batch.target.data)[:, 0]
        best = log_probs.max(1)
        columns = (nats.tolist(), best.indices.tolist(), best.values.exp().tolist())
        for key, of_truth, label, confidence in zip(batch.keys, *columns, strict=True):
            said = {"label": bundle.tokenizer.decode([label]), "confidence": confidence}
            found[key] = said | {"nats": of_truth}
    return inputs.rows(found)
