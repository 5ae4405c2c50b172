"""Bundles of a small captioner that was never trained, and photos for it, sound and broken in every way."""

import io
import struct
import zlib

import numpy as np
import torch
from PIL import Image

from infra.artifact_store import new_draft
from models import show_attend_tell
from models.interface import Beam
from tasks.bundles.model_bundle import BundleContents, PhotoConfig, write_bundle
from tasks.features.backbone_weights import prepare_front_end
from tasks.features.front_end import CMVN
from tasks.features.image_front_end import ImageFrontEnd

WORDS = ["a", "dog", "cat", "runs", "sits", "on", "the", "grass", "snow", "red", "ball", "with"]
CONFIG = show_attend_tell.Config(embedding_size=8, hidden_size=12, attention_size=8, dropout=0.0)


def captioner_bundle(seed=0, **front_end):
    """Weights that write some words for each photo."""
    with new_draft("tokenizer") as out:
        out.put_json("tokenizer.json", {"kind": "words", "text": {}, "symbols": WORDS})
    torch.manual_seed(seed)
    ready = prepare_front_end(ImageFrontEnd(**({"size": 64} | front_end)))
    sizes = (ready.annotation_size, len(WORDS) + 4)
    weights = {name: 3 * w if w.dim() > 1 else w for name, w in CONFIG.build(*sizes).state_dict().items()}
    weights["output.bias"][:2] -= 50.0  # neither BOS nor UNK
    return write_bundle(
        BundleContents(
            config=CONFIG,
            sizes=sizes,
            weights=weights,
            tokenizer=out.result(),
            sound=None,
            beam=Beam(width=2),
            training={"history": []},
            golden={},
            sight=PhotoConfig(ready, CMVN("none")),
        )
    )


def picture(number, width=48, height=36, mode="RGB"):
    pixels = np.random.default_rng(number).integers(0, 256, (3, 4, 3), np.uint8)
    return Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC).convert(mode)


def encoded(image, how="JPEG", **options):
    file = io.BytesIO()
    image.save(file, how, **options)
    return file.getvalue()


def bomb(width, height):
    """A sound PNG of one color, a kilobyte for a million pixels."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compressobj(9)
    line = b"\0" * (1 + (width + 7) // 8)
    packed = b"".join([*(rows.compress(line) for _ in range(height)), rows.flush()])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def sound_photos():
    """name: bytes, width, height as a viewer shows it."""
    exif = Image.Exif()
    exif[0x0112] = 6
    frames = [picture(i) for i in range(3)]
    clear = picture(3, mode="RGBA")
    clear.putalpha(100)
    return {
        "plain.jpg": (encoded(picture(0)), 48, 36),
        "progressive.jpeg": (encoded(picture(1), progressive=True), 48, 36),
        "gray.JPG": (encoded(picture(2, mode="L")), 48, 36),
        "cmyk.jpg": (encoded(picture(3, mode="CMYK")), 48, 36),
        "turned.jpg": (encoded(picture(4), exif=exif), 36, 48),
        "palette.png": (encoded(picture(5, mode="P"), "PNG"), 48, 36),
        "clear.png": (encoded(clear, "PNG"), 48, 36),
        "deep.png": (encoded(Image.fromarray(np.arange(1600, dtype=np.uint16).reshape(40, 40) * 40), "PNG"), 40, 40),
        "moving.gif": (encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]), 48, 36),
        "moving.webp": (encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:]), 48, 36),
        "really a png.jpg": (encoded(picture(6), "PNG"), 48, 36),
        "really a jpeg.png": (encoded(picture(7)), 48, 36),
        "scan.tiff": (encoded(picture(8), "TIFF"), 48, 36),
        "old.ppm": (encoded(picture(9), "PPM"), 48, 36),
        "Strände/größe, \"quoted\".bmp": (encoded(picture(10), "BMP"), 48, 36),
    }  # fmt: skip


def broken_photos():
    """name: bytes, reason."""
    jpeg, png = encoded(picture(0, 400, 300)), encoded(picture(1, 400, 300), "PNG")
    return {
        "empty.jpg": (b"", "empty file"),
        "page.jpg": (b"<!DOCTYPE html><html><body>404</body></html>", "not a photo"),
        "zeros.png": (bytes(1000), "not a photo"),
        "drawing.png": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "not a photo"),
        "phone.heic": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100), "not a photo"),
        "program.jpg": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n", "not a photo"),
        "half.jpg": (jpeg[: len(jpeg) // 2], "truncated"),
        "half.png": (png[: len(png) // 2], "truncated"),
        "header.jpg": (jpeg[:10], "damaged photo"),
        "bomb.png": (bomb(30_000, 30_000), "too many pixels"),
        "dot.png": (encoded(picture(0, 1, 1), "PNG"), "too small"),
        "line.jpg": (encoded(picture(0, 3000, 2)), "too small"),
    }  # fmt: skip
