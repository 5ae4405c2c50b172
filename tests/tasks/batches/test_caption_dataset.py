"""A row a (photo, caption) pair: each pair comes once an epoch, with the vectors of its own photo."""

import numpy as np
import pyarrow as pa
import pytest
import torch

from infra.artifact_store import new_draft
from tasks.batches.batch_loader import prefetch
from tasks.batches.batch_sampler import BatchingConfig, plan_batches
from tasks.batches.caption_dataset import CaptionDataset, caption_pairs
from tasks.features.extract_image_features import IMAGE_INDEX
from tasks.features.feature_shards import to_npy
from tasks.features.front_end import CMVN
from tasks.ingest import tar

PHOTOS, PLACES, SIZE = 6, 4, 3


def vectors(photo):
    return np.random.default_rng(photo).normal(size=(PLACES, SIZE)).astype(np.float16)


def ids(photo, caption):
    return [4 + photo, 20 + caption, *[4] * caption]


@pytest.fixture
def dataset(artifact_root):
    """Photo p has p % 3 + 1 captions."""
    rows = []
    with new_draft("features") as out:
        with out.draft.writing("a.tar") as file, tar.SampleWriter(file) as shard:
            for p in range(PHOTOS):
                offset, size = shard.write(f"p{p}", {"npy": to_npy(vectors(p))})
                many = range(p % 3 + 1)
                row = {"key": f"p{p}", "split": "train", "shard": "a.tar", "offset": offset, "size": size}
                row |= {"frames": PLACES, "width": 8, "height": 8, "source": f"{p}.jpg"}
                row |= {"captions": [f"{p} {c}" for c in many], "token_ids": [ids(p, c) for c in many]}
                rows.append(row)
        out.put_json("nothing.json", {})
    return CaptionDataset(out.result(), caption_pairs(pa.Table.from_pylist(rows, IMAGE_INDEX)), CMVN("none"))


def test_pairs_in_batches_are_the_photos_and_their_captions(dataset):
    truth = sorted((f"p{p}", tuple(ids(p, c))) for p in range(PHOTOS) for c in range(p % 3 + 1))
    batching, found = BatchingConfig(frames_per_batch=8, utterances_per_batch=3, sorted_epochs=0), []
    plan = plan_batches(dataset.frames, dataset.shard_numbers, batching, 0, 1)
    for batch in prefetch(dataset, plan, 1):
        assert len(batch.keys) * (batch.target.data.shape[1] + 1) <= 8 or len(batch.keys) == 1
        assert batch.source.data.dtype == torch.float32
        assert batch.source.lengths.tolist() == [PLACES] * len(batch.keys)
        for i, key in enumerate(batch.keys):
            np.testing.assert_array_equal(batch.source.data[i], vectors(int(key[1:])).astype(np.float32))
            found.append((key, tuple(batch.target.data[i, : batch.target.lengths[i]].tolist())))
    assert sorted(found) == truth


def test_each_photo_is_decoded_once(dataset):
    assert dataset.keys(dataset.photos) == tuple(f"p{p}" for p in range(PHOTOS))
    references = dataset.index["references"].to_pylist()
    assert [references[row] for row in dataset.photos] == [[f"{p} {c}" for c in range(p % 3 + 1)] for p in range(6)]
    assert dataset.weights is None
    assert dict(dataset.first(1)).keys() == {"p0"}


def test_vectors_are_normalized_as_the_training_split_says(dataset):
    twin = CaptionDataset(dataset.features, dataset.index, CMVN("corpus", (1.0,) * SIZE, (2.0,) * SIZE))
    one, other = (d.batch(np.array([0]), None, 1).source.data for d in (dataset, twin))
    torch.testing.assert_close(other, (one - 1) / 2)


def test_no_photos_are_no_pairs():
    assert len(caption_pairs(IMAGE_INDEX.empty_table())) == 0
