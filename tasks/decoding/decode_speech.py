"""A bundle and features to transcripts: n-best with scores, token times and a confidence, as Parquet."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa
import torch

from infra.artifact_store import Artifact, open_draft
from models.interface import Beam, Hypothesis
from tasks.bundles.model_bundle import Bundle, check_golden_outputs
from tasks.decoding.shard_inference import Inference, Inputs, infer
from tasks.steps.pipeline_step import step

TOKEN = pa.struct({"id": pa.int32(), "text": pa.string(), "begin_seconds": pa.float32(), "end_seconds": pa.float32()})
HYPOTHESIS = pa.struct(
    {
        "text": pa.string(),
        "score": pa.float64(),
        "confidence": pa.float32(),
        "truncated": pa.bool_(),
        "tokens": pa.list_(TOKEN),
    }
)
TRANSCRIPTS = pa.schema(
    {
        "key": pa.string(),
        "text": pa.string(),  # of the best hypothesis
        "score": pa.float64(),
        "confidence": pa.float32(),
        "truncated": pa.bool_(),  # it came to the search's limit of length
        "hypotheses": pa.list_(HYPOTHESIS),  # best first
        "reference": pa.string(),
        "speaker": pa.string(),
        "seconds": pa.float64(),
        "source": pa.string(),
    }
)

BEST = ("text", "score", "confidence", "truncated")  # of the best hypothesis, in a row's own columns


@dataclass(frozen=True, kw_only=True)
class DecodingConfig(Inference):
    """How a split is decoded."""

    beam: Beam


@step
def decode_speech(bundle: Artifact, features: Artifact, decoding: DecodingConfig) -> Artifact:
    """Transcripts of one split."""
    check_golden_outputs(bundle, decoding.beam)
    out = open_draft("transcripts", decode_speech.key(bundle, features, decoding)[:32])
    return infer(out, TRANSCRIPTS, partial(transcribe, beam=decoding.beam), (bundle, features, decoding))


@torch.inference_mode()
def transcribe(bundle: Bundle, inputs: Inputs, beam: Beam) -> list[dict[str, Any]]:
    """A row of TRANSCRIPTS for each utterance, in their order."""
    step_seconds = bundle.front_end.hop_ms / 1000 * bundle.model.reduction
    found: dict[str, dict[str, Any]] = {}
    for batch in inputs:
        nbests = bundle.model.search(batch.given, beam, bundle.lm)
        found |= {key: _nbest(nbest, bundle, step_seconds) for key, nbest in zip(batch.keys, nbests, strict=True)}
    return inputs.rows(found)


def _nbest(nbest: list[Hypothesis], bundle: Bundle, step_seconds: float) -> dict[str, Any]:
    """Texts that differ, each with the best of the token sequences that are written alike."""
    found = (_hypothesis(one, bundle, step_seconds) for one in nbest)
    by_text: dict[str, dict[str, Any]] = {}
    for hypothesis in found:
        by_text.setdefault(hypothesis["text"], hypothesis)  # the best come first
    hypotheses = list(by_text.values())
    return {name: hypotheses[0][name] for name in BEST} | {"hypotheses": hypotheses}


def _hypothesis(found: Hypothesis, bundle: Bundle, step_seconds: float) -> dict[str, Any]:
    tokens = [
        {
            "id": token,
            "text": bundle.tokenizer.decode([token]),
            "begin_seconds": begin * step_seconds,
            "end_seconds": end * step_seconds,
        }
        for token, (begin, end) in zip(found.tokens, found.spans, strict=False)
    ]
    text = " ".join(bundle.tokenizer.decode(found.tokens).split())
    told = {"score": found.score, "confidence": found.confidence, "truncated": found.truncated}
    return {"text": text, "tokens": tokens} | told
