"""A captioner's bundle and features to captions: n-best with scores, and for each word where the model looked."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import pyarrow as pa
import torch
from torch import Tensor

from infra.artifact_store import Artifact, open_draft
from infra.errors import UserError
from models.families.sequence_to_sequence import SequenceToSequence
from models.interface import Beam, Hypothesis, Padded
from models.search.attention.teacher_forced_attention import batch_attention
from tasks.bundles.model_bundle import Bundle, check_golden_outputs
from tasks.decoding.decode_speech import DecodingConfig
from tasks.decoding.shard_inference import Inputs, infer
from tasks.ingest.photos.photo_shard import BOX
from tasks.steps.pipeline_step import step

HYPOTHESIS = pa.struct({"text": pa.string(), "score": pa.float64(), "truncated": pa.bool_()})
CAPTIONS = pa.schema(
    {
        "key": pa.string(),
        "text": pa.string(),  # of the best hypothesis
        "score": pa.float64(),
        "truncated": pa.bool_(),  # it came to the search's limit of length
        "hypotheses": pa.list_(HYPOTHESIS),  # best first
        "tokens": pa.list_(pa.string()),  # of the best one
        "attention": pa.list_(pa.list_(pa.float32())),  # for each of them over the L places; none where it has none
        "references": pa.list_(pa.string()),  # normalized, as the model learns them
        "source": pa.string(),
        "width": pa.int32(),
        "height": pa.int32(),
        "boxes": pa.list_(BOX),
    }
)

KNOWN = ("key", "references", "source", "width", "height", "boxes")


@step
def decode_captions(bundle: Artifact, features: Artifact, decoding: DecodingConfig) -> Artifact:
    """Captions of the photos of one split."""
    check_golden_outputs(bundle, decoding.beam)
    out = open_draft("captions", decode_captions.key(bundle, features, decoding)[:32])
    return infer(out, CAPTIONS, partial(describe, beam=decoding.beam), (bundle, features, decoding))


@torch.inference_mode()
def describe(bundle: Bundle, inputs: Inputs, beam: Beam) -> list[dict[str, Any]]:
    """A row of CAPTIONS for each photo, in their order."""
    if bundle.sight is None or not isinstance(bundle.model, SequenceToSequence):
        raise UserError("this bundle holds no captioner; give one that train_captioning made")
    found: dict[str, dict[str, Any]] = {}
    for batch in inputs:
        nbests = bundle.model.search(batch.given, beam, bundle.lm)
        looked = attend_to_best(bundle.model, batch.given, nbests)
        for key, nbest, attention in zip(batch.keys, nbests, looked, strict=True):
            found[key] = caption_row(nbest, bundle) | {"attention": None if attention is None else attention.tolist()}
    known = inputs.utterances.index.select(KNOWN).to_pylist()
    return [row | found[row["key"]] for row in known]


def attend_to_best(
    model: SequenceToSequence, source: Padded, nbests: Sequence[list[Hypothesis]]
) -> list[Tensor | None]:
    """Where the model looked as it wrote the best hypothesis of each source: (tokens, L), None where it has no
    attention.
    """
    best = Padded.stack([torch.tensor(nbest[0].tokens, dtype=torch.long) for nbest in nbests])
    looked = batch_attention(model, source, best.to(source.data.device))
    if looked is None:
        return [None] * len(nbests)
    return [one[: len(nbest[0].tokens)] for one, nbest in zip(looked, nbests, strict=True)]


def caption_row(nbest: list[Hypothesis], bundle: Bundle) -> dict[str, Any]:
    """Texts that differ, each with the best of the token sequences that are written alike."""
    by_text: dict[str, dict[str, Any]] = {}
    for one in nbest:
        text = " ".join(bundle.tokenizer.decode(one.tokens).split())
        by_text.setdefault(text, {"text": text, "score": one.score, "truncated": one.truncated})
    hypotheses = list(by_text.values())
    tokens = [bundle.tokenizer.decode([token]) for token in nbest[0].tokens]
    return hypotheses[0] | {"hypotheses": hypotheses, "tokens": tokens}
