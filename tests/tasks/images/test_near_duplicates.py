"""The same photo is found again after what people do to photos, and no other is; the search misses no pair."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tasks.images.near_duplicates import find_near
from tasks.images.perceptual_hash import (
    hash_photo,
    hash_thumbnails,
    hash_to_hex,
    hex_to_hash,
    look_alike,
    make_thumbnail,
    mirror_thumbnails,
)


def scenery(seed, size=(320, 240)):
    """Like a photo: a few large things, finer ones in them."""
    random = np.random.default_rng(seed)
    total = np.zeros((size[1], size[0], 3))
    for cells, weight in ((3, 1.0), (7, 0.6), (15, 0.3), (31, 0.15)):
        layer = Image.fromarray(random.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        total += weight * np.asarray(layer.resize(size, Image.Resampling.BICUBIC), float)
    return Image.fromarray((total / 2.05).astype(np.uint8))


def jpeg(photo, quality):
    file = io.BytesIO()
    photo.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


CHANGES = {
    "quality": lambda p: jpeg(p, 30),
    "half": lambda p: p.resize((p.width // 2, p.height // 2), Image.Resampling.BICUBIC),
    "squashed": lambda p: p.resize((224, 224), Image.Resampling.BILINEAR),
    "brighter": lambda p: p.point(lambda value: min(255, value * 1.15)),
    "gray": lambda p: p.convert("L").convert("RGB"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_near_and_another_photo_is_not(change):
    thumbnails = np.stack([make_thumbnail(scenery(seed)) for seed in range(20)])
    changed = np.stack([make_thumbnail(CHANGES[change](scenery(seed))) for seed in range(20)])
    near = find_near(hash_thumbnails(changed), hash_thumbnails(thumbnails), 24)
    assert [(a, b) for a, b, _ in near.tolist()] == [(i, i) for i in range(20)]
    assert all(look_alike(a, b) for a, b in zip(changed, thumbnails, strict=True))
    assert not look_alike(thumbnails[0], thumbnails[1])


def test_a_mirrored_copy_is_the_mirrored_thumbnail():
    photo = scenery(3)
    mirrored = make_thumbnail(photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    assert np.abs(mirror_thumbnails(mirrored).astype(int) - make_thumbnail(photo)).max() <= 1
    hashes = hash_thumbnails(np.stack([mirror_thumbnails(mirrored), make_thumbnail(photo)]))
    assert np.bitwise_count(hashes[0] ^ hashes[1]).sum() < 9


def test_plain_photos_are_alike_where_they_are_as_bright():
    plain = [np.full((16, 17), value, np.uint8) for value in (90, 91, 200)]
    assert look_alike(plain[0], plain[1])
    assert not look_alike(plain[0], plain[2])
    assert not look_alike(plain[0], make_thumbnail(scenery(0)))


def test_the_text_of_a_hash_is_the_hash():
    text = hash_photo(scenery(1))
    assert len(text) == 64
    assert hash_to_hex(hex_to_hash(text)) == text
    assert (hex_to_hash(text) == hash_thumbnails(make_thumbnail(scenery(1)))).all()


@given(st.integers(0, 2**32), st.integers(0, 31), st.booleans())
def test_every_pair_within_the_distance_is_found(seed, distance, crowded):
    """Against all pairs: hashes with planted neighbors, and such as share most of their bands."""
    random = np.random.default_rng(seed)
    known = random.integers(0, 2**63, (40, 4), dtype=np.uint64)
    if crowded:
        known[:, :3] = 0
    queries = known[random.integers(0, 40, 30)].copy()
    for row in queries:
        for bit in random.choice(256, random.integers(0, 40), replace=False):
            row[bit // 64] ^= np.uint64(1) << np.uint64(bit % 64)
    bits = np.bitwise_count(queries[:, None] ^ known[None]).sum(2, dtype=np.int64)
    expected = [(a, b, bits[a, b]) for a, b in np.argwhere(bits <= distance).tolist()]
    assert list(map(tuple, find_near(queries, known, distance).tolist())) == expected


def test_a_distance_that_the_bands_would_miss_is_refused():
    some = np.zeros((2, 4), np.uint64)
    with pytest.raises(ValueError, match="0 to 31"):
        find_near(some, some, 32)
    assert find_near(some[:0], some, 3).shape == (0, 3)
