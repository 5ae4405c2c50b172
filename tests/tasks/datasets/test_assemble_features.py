"""A model is trained on a version: its rows are right, and no sound was read for what changed in text or split only."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from test_three_releases import update
from three_releases import generated_clips, write_three
from training_corpus import training

from infra.artifacts.__main__ import choose_unneeded, remove
from infra.artifacts.inventory import take_inventory
from infra.errors import UserError
from models.interface import Beam
from tasks.batches.batch_loader import UtteranceDataset
from tasks.bundles.bundle_files import read_architecture
from tasks.datasets import compact_frames
from tasks.datasets.assemble_features import assemble_features, extract_version_features
from tasks.decoding.decode_speech import DecodingConfig, decode_speech
from tasks.features import extract_features
from tasks.features.front_end import CMVN, FrontEnd, extract_frames
from tasks.ingest.ingest_corpus import list_splits
from tasks.ingest.shard_index import read_index
from tasks.steps.parquet_parts import read_parts
from tasks.text.normalization import normalize_text
from tasks.text.tokenizer import TokenizerConfig, fit_tokenizer, load_tokenizer
from tasks.training.run_training import Workers
from tasks.training.train_asr import train_asr

FRONT_END = FrontEnd(sample_rate=8000, mels=8)


@pytest.fixture
def versions(tmp_path, in_this_process):
    (tmp_path / "clips").mkdir()
    three = write_three(tmp_path, *generated_clips(tmp_path / "clips"))
    return three, [update(place).version for place in three.places]


def test_frames_are_made_of_new_clips_only(versions, tmp_path, monkeypatch):
    three, made = versions
    decoded, decode = [], extract_features.decode_clip
    monkeypatch.setattr(extract_features, "decode_clip", lambda *a, **k: decoded.append(1) or decode(*a, **k))
    for version, new in zip(made, three.new, strict=True):
        before = len(decoded)
        frames = extract_version_features(version, FRONT_END)
        assert len(decoded) - before == new
        tokenizer = fit_tokenizer(version, TokenizerConfig())
        features = assemble_features(version, frames, tokenizer, 0.0)
        assert len(decoded) - before == new
    tokens = load_tokenizer(tokenizer)
    expected = dict(three.rows[-1])
    for split in list_splits(version):
        index = read_index(features, split)
        data = UtteranceDataset(features, index, CMVN("none"))
        for i, row in enumerate(index.to_pylist()):
            name = row["source"].rpartition("/")[2]
            stored, ids = data.read(i)
            told, text = expected.pop(name)
            assert (row["split"], row["text"]) == (told, normalize_text(text, tokens.text))
            assert ids.tolist() == tokens.encode(row["text"])
            wave, rate = soundfile.read(tmp_path / "clips" / name, dtype="float32")
            np.testing.assert_array_equal(stored, extract_frames(wave, rate, FRONT_END).astype(np.float16))
    assert expected == {}
    train = read_index(features, "train")
    frames_of = [UtteranceDataset(features, train, CMVN("none")).read(i)[0].astype(float) for i in range(len(train))]
    told = features.read_json("statistics.json")
    assert told["frames"] == sum(map(len, frames_of))
    np.testing.assert_allclose(told["sum"], sum(f.sum(0) for f in frames_of))
    np.testing.assert_allclose(told["squares"], sum((f**2).sum(0) for f in frames_of))


def test_a_model_is_trained_and_decodes_on_a_version(versions):
    _, made = versions
    version = made[-1]
    tokenizer = fit_tokenizer(version, TokenizerConfig())
    features = assemble_features(version, extract_version_features(version, FRONT_END), tokenizer, 0.0)
    work = replace(training(1), front_end=FRONT_END)
    bundle = train_asr(features, tokenizer, work, Workers(count=0))
    how = DecodingConfig(
        architecture=read_architecture(bundle), split="dev", batching=work.batching, beam=Beam(width=2)
    )
    said = read_parts(decode_speech(bundle, features, how))
    assert {row["key"] for row in said} == set(read_index(features, "dev")["key"].to_pylist())


def test_the_store_knows_what_a_version_needs(versions):
    _, made = versions
    found = take_inventory()
    needed = found.reach({("dataset", made[-1].digest[:16])})
    assert {("dataset", one.digest[:16]) for one in made} <= needed
    assert {name for name in found.artifacts if name[0] == "shards"} <= needed
    unneeded, _ = choose_unneeded(found, days=-1.0, draft_days=0.0)
    assert not {one.name for one in unneeded} & needed, "the newest version stays, however old, with all before it"
    with pytest.raises(UserError, match="the registered data set cv needs it; nothing was removed"):
        remove(found, [made[0].digest])


def test_small_shards_are_put_together_and_say_the_same(versions, monkeypatch):
    _, made = versions
    version = made[-1]
    tokenizer = fit_tokenizer(version, TokenizerConfig())
    apart = extract_version_features(version, FRONT_END)
    monkeypatch.setattr(compact_frames, "GROUP", 2)
    together = extract_version_features(version, FRONT_END)
    assert (len(apart), len(together)) == (3, 2), "a third waits for a fourth"
    found = []
    for frames in (apart, together):
        features = assemble_features(version, frames, tokenizer, 0.0)
        index = read_index(features, "train")
        data = UtteranceDataset(features, index, CMVN("none"))
        found.append([(row["key"], data.read(i)) for i, row in enumerate(index.to_pylist())])
    for (key, (one, ids)), (other_key, (other, other_ids)) in zip(*found, strict=True):
        assert key == other_key
        np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(ids, other_ids)
    prints = [
        pa.concat_tables([pq.read_table(f.file("fingerprints.parquet")) for f in those]) for those in (apart, together)
    ]
    assert sorted(map(str, prints[0].to_pylist())) == sorted(map(str, prints[1].to_pylist()))
