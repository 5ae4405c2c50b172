"""A translator's bundle and features to translations: the best of the search, as Parquet."""

from functools import partial
from typing import Any

import pyarrow as pa
import torch

from infra.artifact_store import Artifact, open_draft
from models.interface import Beam
from tasks.bundles.model_bundle import Bundle, check_golden_outputs
from tasks.decoding.decode_speech import DecodingConfig
from tasks.decoding.shard_inference import Inputs, infer
from tasks.steps.pipeline_step import step

TRANSLATIONS = pa.schema(
    {"key": pa.string(), "text": pa.string(), "score": pa.float64(), "reference": pa.string(), "source": pa.string()}
)


@step
def decode_translation(bundle: Artifact, features: Artifact, decoding: DecodingConfig) -> Artifact:
    """Translations of one split."""
    check_golden_outputs(bundle, decoding.beam)
    out = open_draft("translations", decode_translation.key(bundle, features, decoding)[:32])
    return infer(out, TRANSLATIONS, partial(translate_rows, beam=decoding.beam), (bundle, features, decoding))


@torch.inference_mode()
def translate_rows(bundle: Bundle, inputs: Inputs, beam: Beam) -> list[dict[str, Any]]:
    """A row of TRANSLATIONS for each sentence, in their order."""
    found: dict[str, dict[str, Any]] = {}
    for batch in inputs:
        for key, nbest in zip(batch.keys, bundle.model.search(batch.given, beam, bundle.lm), strict=True):
            found[key] = {"text": bundle.tokenizer.decode(nbest[0].tokens), "score": nbest[0].score}
    return [{name: row[name] for name in TRANSLATIONS.names} for row in inputs.rows(found)]
