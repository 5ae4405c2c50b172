"""A photo's bytes to pixels: RGB, upright, 8 bits a channel, or a BadPhoto that says why not.

Pillow decodes. Its formats are those that cameras, phones and the web write; none that runs a program (EPS) or only
points elsewhere. Sizes come from the header and are checked before anything is decoded.
"""

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image

PIXELS = 100_000_000  # a photo's most: 300 MB as RGB
SMALLEST_SIDE = 16  # pixels
EXTENSIONS = {  # by Pillow's name of the format; MPO is how phones and stereo cameras put several JPEGs in one file
    "JPEG": "jpg",
    "MPO": "jpg",
    "PNG": "png",
    "WEBP": "webp",
    "GIF": "gif",
    "BMP": "bmp",
    "TIFF": "tif",
    "PPM": "ppm",
    "JPEG2000": "jp2",
    "AVIF": "avif",
}
ORIENTATION = 0x0112  # the EXIF tag
UPRIGHT = {  # what turns a photo of each orientation upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SHOWN = 24  # bytes of what is no photo, in messages
SCAN, END = b"\xff\xda", b"\xff\xd9"  # the JPEG markers before compressed rows, and after the last

Image.MAX_IMAGE_PIXELS = None  # the limit is ours to say, and is asked before anything is decoded
Image.init()  # all of Pillow's formats, not only those it thinks usual
FORMATS = [name for name in EXTENSIONS if name in Image.OPEN]  # JPEG opens MPO


class BadPhoto(Exception):  # noqa: N818  (it is the photo that is bad, not the program)
    """A photo that cannot be used, with a reason to count it under and a detail."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


def open_photo(data: bytes, limit: int = PIXELS) -> Image.Image:
    """RGB, upright by its EXIF, on white where it is transparent, the first frame of several.

    limit: pixels. Raises BadPhoto for what is no photo, damaged, larger, or smaller than 16 pixels a side.
    """
    return decode_photo(data, limit)[0]


def decode_photo(data: bytes, limit: int = PIXELS) -> tuple[Image.Image, str]:
    """The same, and the extension of the format that it really has."""
    if not data:
        raise BadPhoto("empty file", "0 bytes")
    with _without_warnings():
        try:
            image = Image.open(io.BytesIO(data), formats=FORMATS)
        except Image.UnidentifiedImageError as error:
            raise BadPhoto("not a photo", f"it begins with {data[:SHOWN]!r}") from error
        except Exception as error:  # a decoder of any kind, given anything, raises anything
            raise _damage(error) from error
        extension, photo = EXTENSIONS[image.format or ""], convert_photo(image, limit)
        if extension == "jpg" and END not in data[data.rfind(SCAN) :]:  # the decoder makes up rows that are missing
            raise BadPhoto("truncated", "truncated, it has no end marker")
        return photo, extension


def convert_photo(image: Image.Image, limit: int = PIXELS) -> Image.Image:
    """What Pillow has opened or made, of any mode, as `open_photo` gives it. Raises BadPhoto."""
    check_size(image.size, limit)
    with _without_warnings():
        try:
            image.load()
            return _upright(image, _to_rgb(image))
        except BadPhoto:
            raise
        except Exception as error:  # pixels are decoded here, and a decoder raises anything
            raise _damage(error) from error


def check_size(size: tuple[int, int], limit: int) -> None:
    """Raises BadPhoto for a photo, by its width and height, that is too large or too small."""
    width, height = size
    if width * height > limit:
        raise BadPhoto("too many pixels", f"{width} x {height}, at most {limit:,} pixels")
    if min(size) < SMALLEST_SIDE:
        raise BadPhoto("too small", f"{width} x {height}, at least {SMALLEST_SIDE} pixels a side")


def _damage(error: Exception) -> BadPhoto:
    told = (str(error).strip().splitlines() or [""])[0][:200] or type(error).__name__
    return BadPhoto("truncated" if "truncated" in told else "damaged photo", told)


def _upright(image: Image.Image, pixels: Image.Image) -> Image.Image:
    try:
        orientation = image.getexif().get(ORIENTATION)
    except Exception:  # noqa: BLE001  (a damaged block says nothing, and the pixels are sound)
        orientation = None
    turn = UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return pixels if turn is None else pixels.transpose(turn)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        image = _to_bytes(image)
    if image.has_transparency_data:
        seen = image.convert("RGBA")
        white = Image.new("RGBA", seen.size, "white")
        return Image.alpha_composite(white, seen).convert("RGB")
    return image.convert("RGB") if image.mode != "RGB" else image.copy()


def _to_bytes(image: Image.Image) -> Image.Image:
    """Gray of more than 8 bits as 8 bits: Pillow would cut off whatever is above 255."""
    values = np.asarray(image)
    if values.dtype.kind == "f":
        known = values[np.isfinite(values)]
        if not known.size:
            raise BadPhoto("damaged photo", "none of its pixels is a finite number")
        low, high = (0.0, 1.0) if known.min() >= 0 and known.max() <= 1 else (known.min(), known.max())
        values = (np.nan_to_num(values, nan=low).clip(low, high) - low) * (255 / max(high - low, 1e-12))
    else:
        values = values.clip(0) >> (8 if values.max() < 1 << 16 else 23)  # 16 bits, or 31 and a sign
    return Image.fromarray(values.astype(np.uint8))


_quiet = threading.Lock()
_inside = 0
_saved = warnings.catch_warnings()


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Pillow warns of large sizes and odd metadata. The filters belong to all threads: the first in changes them, the
    last out puts them back.
    """
    global _inside, _saved  # noqa: PLW0603
    with _quiet:
        if _inside == 0:
            _saved = warnings.catch_warnings()
            _saved.__enter__()
            warnings.simplefilter("ignore")
        _inside += 1
    try:
        yield
    finally:
        with _quiet:
            _inside -= 1
            if _inside == 0:
                _saved.__exit__(None, None, None)
