"""A photo is what a person sees: upright, whole, in 8-bit RGB, whatever wrote it; and what is none says why."""

import contextlib
import io
import struct
import threading
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from tasks.images.photo import SMALLEST_SIDE, BadPhoto, decode_photo, open_photo

SIZE = (60, 40)


def smooth(size=SIZE, seed=0):
    """A photo that survives lossy formats."""
    few = np.random.default_rng(seed).integers(0, 255, (4, 6, 3), dtype=np.uint8)
    return Image.fromarray(few).resize(size, Image.Resampling.BICUBIC)


def encoded(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def difference(a, b):
    return np.abs(np.asarray(a, np.int32) - np.asarray(b, np.int32)).mean()


def reason(data, **options):
    with pytest.raises(BadPhoto) as caught:
        open_photo(data, **options)
    return caught.value.reason


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000"])
def test_every_format_gives_its_pixels_and_cut_off_is_refused(kind):
    data = encoded(smooth(), kind)
    photo, extension = decode_photo(data)
    assert (photo.mode, photo.size) == ("RGB", SIZE)
    assert difference(photo, smooth()) < 12
    assert extension == {"JPEG": "jpg", "TIFF": "tif", "JPEG2000": "jp2"}.get(kind, kind.lower())
    for kept in (0.3, 0.5, 0.9):
        assert reason(data[: int(kept * len(data))]) in {"truncated", "damaged photo", "not a photo"}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation_is_obeyed(kind, orientation):
    """The photo is stored as a camera held that way stores it: what the tag undoes."""
    undo = {1: [], 2: ["FLIP_LEFT_RIGHT"], 3: ["ROTATE_180"], 4: ["FLIP_TOP_BOTTOM"], 5: ["TRANSPOSE"]}
    undo |= {6: ["ROTATE_90"], 7: ["TRANSVERSE"], 8: ["ROTATE_270"]}
    stored = smooth()
    for turn in undo[orientation]:
        stored = stored.transpose(Image.Transpose[turn])
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {"quality": 95} if kind == "JPEG" else {}
    photo = open_photo(encoded(stored, kind, exif=exif, **options))
    assert photo.size == SIZE
    assert difference(photo, smooth()) < 4


def test_a_damaged_exif_block_leaves_the_photo_as_it_is():
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(smooth(), "JPEG", exif=exif.tobytes()[:12] + b"\xff" * 20)
    assert open_photo(data).size == SIZE


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr", "LA", "RGBA"])
def test_every_mode_becomes_rgb(mode):
    kind = "JPEG" if mode in {"CMYK", "YCbCr"} else "PNG"
    image = smooth().convert(mode)
    photo = open_photo(encoded(image, kind, **({"quality": 95} if kind == "JPEG" else {})))
    assert photo.mode == "RGB"
    assert difference(photo, image.convert("RGB")) < 6


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_16_bits_are_scaled_not_cut_off(kind):
    ramp = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    photo = open_photo(encoded(Image.fromarray(ramp), kind))
    assert difference(photo, np.repeat((ramp >> 8)[..., None], 3, 2)) == 0


def test_what_is_transparent_is_white():
    clear = Image.new("RGBA", SIZE, (255, 0, 0, 0))
    clear.paste((0, 0, 255, 255), (0, 0, 30, 40))
    for data in (encoded(clear), encoded(clear, "WEBP", lossless=True), encoded(clear, "GIF")):
        photo = open_photo(data)
        assert (photo.getpixel((5, 5)), photo.getpixel((50, 20))) == ((0, 0, 255), (255, 255, 255))
    palette = Image.new("P", SIZE, 1)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    assert open_photo(encoded(palette, transparency=1)).getpixel((3, 3)) == (255, 255, 255)
    half = Image.new("LA", SIZE, (0, 127))
    assert open_photo(encoded(half)).getpixel((3, 3)) == (128, 128, 128)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_the_first_frame_of_an_animation_counts(kind):
    frames = [Image.new("RGB", SIZE, color) for color in ("red", "lime", "blue")]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert open_photo(data).getpixel((9, 9)) == (255, 0, 0)


def test_a_progressive_jpeg():
    assert difference(open_photo(encoded(smooth(), "JPEG", progressive=True)), smooth()) < 6


def png_header(width, height):
    """A PNG that announces this size, and has no pixels."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)), (b"IDAT", zlib.compress(b""))]
    parts = [struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("size", [(30_000, 30_000), (1, 200_000_000), (2_000_000_000, 2_000_000_000)])
def test_a_bomb_is_refused_by_its_header(size):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert reason(png_header(*size)) == "too many pixels"
    assert reason(encoded(smooth()), limit=SIZE[0] * SIZE[1] - 1) == "too many pixels"
    assert open_photo(encoded(smooth()), limit=SIZE[0] * SIZE[1]).size == SIZE


def test_what_is_no_photo_says_why():
    assert reason(b"") == "empty file"
    for page in (b"<!DOCTYPE html><html>not found</html>", b"\n<html>", b"{}", b"%PDF-1.7", b"\0" * 100):
        assert reason(page) == "not a photo"
    with pytest.raises(BadPhoto, match="DOCTYPE"):
        open_photo(b"<!DOCTYPE html><html>")
    assert reason(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n") == "not a photo"
    for size in ((1, 1), (SMALLEST_SIDE - 1, 500)):
        assert reason(encoded(Image.new("RGB", size))) == "too small"
    open_photo(encoded(Image.new("RGB", (SMALLEST_SIDE, SMALLEST_SIDE))))


def test_a_jpeg_that_a_download_left_half_empty():
    data = encoded(smooth((600, 400)), "JPEG")
    half = len(data) // 2
    assert reason(data[:half]) == "truncated"
    assert reason(data[:half] + bytes(half)) == "truncated"
    assert open_photo(data + bytes(500)).size == (600, 400)


def test_noise_behind_a_header_raises_nothing_else():
    random = np.random.default_rng(0)
    for kind in ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"):
        data = bytearray(encoded(smooth(), kind))
        for _ in range(60):
            damaged = data.copy()
            for at in random.integers(4, len(data), 6):
                damaged[at] = random.integers(256)
            with contextlib.suppress(BadPhoto):
                assert open_photo(bytes(damaged), limit=1_000_000).mode == "RGB"


def test_threads_leave_the_filters_of_warnings_as_they_were():
    data, before = encoded(smooth()), list(warnings.filters)
    threads = [threading.Thread(target=lambda: [open_photo(data) for _ in range(20)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert warnings.filters == before


@pytest.mark.parametrize("odd", [np.inf, -np.inf, np.nan])
def test_a_pixel_that_is_no_finite_number_leaves_the_others_as_they_are(odd):
    values = np.random.default_rng(0).uniform(-3, 9, (32, 32)).astype(np.float32)
    values[0, 1:3] = -3, 9
    sound = np.asarray(open_photo(tiff(values)))
    values[0, 0] = odd
    assert np.array_equal(np.asarray(open_photo(tiff(values)))[1:], sound[1:])
    with pytest.raises(BadPhoto, match="none of its pixels is a finite number"):
        open_photo(tiff(np.full((32, 32), odd, np.float32)))


def tiff(values):
    file = io.BytesIO()
    Image.fromarray(values).save(file, "TIFF")
    return file.getvalue()


def test_the_limit_may_be_larger_than_pillow_s_own():
    file = io.BytesIO()
    Image.new("1", (20_000, 10_000)).save(file, "PNG")
    with pytest.raises(BadPhoto, match=r"20000 x 10000, at most 100,000,000 pixels"):
        open_photo(file.getvalue())
    assert open_photo(file.getvalue(), 200_000_000).size == (20_000, 10_000)
