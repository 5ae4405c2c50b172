"""A function over the feature shards of a split: what it is given, and what becomes of its rows."""

import pyarrow as pa
import pytest
from training_corpus import made, training

from infra.artifact_store import open_draft
from tasks.batches.batch_sampler import BatchingConfig
from tasks.bundles.speaker_batch_norm import AdaptationConfig
from tasks.decoding.shard_inference import Inference, infer
from tasks.ingest.shard_index import read_index
from tasks.steps.parquet_parts import read_parts
from tasks.training.run_training import Workers
from tasks.training.train_asr import train_asr

SCHEMA = pa.schema({"key": pa.string(), "reference": pa.string(), "together": pa.int32(), "frames": pa.int32()})


def lengths(bundle, inputs):
    """How long each source is, and how many are in its batch."""
    found = {}
    for batch in inputs:
        assert batch.given.data.shape[-1] == 8
        assert not bundle.model.training
        told = {"together": len(batch.keys)}
        found |= {key: told | {"frames": int(n)} for key, n in zip(batch.keys, batch.given.lengths, strict=True)}
    return inputs.rows(found)


@pytest.mark.parametrize("adapt", [AdaptationConfig(), AdaptationConfig(speakers=True)])
def test_every_utterance_of_the_split_has_its_row(in_this_process, tmp_path, adapt):
    features, tokenizer = made(tmp_path, 4)
    bundle = train_asr.fn(features, tokenizer, training(1), Workers(count=0))
    how = Inference(
        architecture="deep_speech_2", split="dev", batching=BatchingConfig(utterances_per_batch=3), adapt=adapt
    )
    assert how.code == ("models.deep_speech_2",)
    rows = read_parts(infer(open_draft("lengths"), SCHEMA, lengths, (bundle, features, how)))
    index = read_index(features, "dev").sort_by("key")
    assert [row["key"] for row in rows] == index["key"].to_pylist()
    assert [row["reference"] for row in rows] == index["text"].to_pylist()
    assert [row["frames"] for row in rows] == index["frames"].to_pylist()
    assert sorted(row["together"] for row in rows) == [2] * 2 + [3] * 6


def test_the_code_of_a_fused_language_model_is_part_of_the_key():
    how = Inference(architecture="wav2letter", lm_architecture="char_rnn", split="dev", batching=BatchingConfig())
    assert set(how.code) == {"models.wav2letter", "models.char_rnn"}
    assert Inference(architecture="wav2letter", split="dev", batching=BatchingConfig()).code == ("models.wav2letter",)
