"""Photos as the job of an archive: read, opened and resized on CPUs, looked at and captioned by a model in actors.

The photos of a part are batched in their order: a batch depends on the part alone.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image

from infra import storage
from infra.artifact_store import Artifact
from infra.errors import UserError
from models.interface import Beam
from tasks.archives.archive_job import JobBatch, ReadPart
from tasks.archives.item_file import check_unchanged, split_reason
from tasks.archives.output_store import PartResult
from tasks.archives.photos.caption_tables import Row, build_tables
from tasks.archives.work_list import Part, WorkItem
from tasks.bundles.bundle_files import read_sight
from tasks.decoding.caption_photos import PhotoCaptioner
from tasks.features.image_front_end import resize_photo
from tasks.images.photo import EXTENSIONS, PIXELS, BadPhoto, open_photo

# Of what is taken for a photo. HEIC, which phones write and Pillow cannot open, has to be told, not passed over.
SUFFIXES = {"heic", "heif", *(end[1:] for end, name in Image.registered_extensions().items() if name in EXTENSIONS)}
MOST_BYTES = 1 << 30  # of a file: 100 million pixels of 4 x 16 bits are 800 MB, and all of it is held in memory


@dataclass(frozen=True, kw_only=True)
class CaptionJob:
    """batch: photos that are looked at and searched at once. max_pixels: a photo with more is refused undecoded.
    formats: of CAPTION_FORMATS. decoding: digest of the configs.
    """

    bundle: Artifact
    beam: Beam
    batch: int
    formats: tuple[str, ...]
    decoding: str
    max_pixels: int = PIXELS

    def read(self, part: Part) -> Iterator[JobBatch | ReadPart]:
        sight = read_sight(self.bundle)
        assert sight is not None, "a captioner's"
        files, killers, waiting = list[Row](), dict(part.killers), list[tuple[int, np.ndarray]]()
        for number, item in enumerate(part.items):
            told, photo = self._read_item(item, killers.get(number, ""))
            files.append(told)
            if photo is not None:
                waiting.append((number, resize_photo(photo, sight[0])))
            if len(waiting) == self.batch or (waiting and part.apart):
                yield _batch(waiting)
                waiting.clear()
        if waiting:
            yield _batch(waiting)
        yield ReadPart(files, float(len(files)))

    def _read_item(self, item: WorkItem, killer: str) -> tuple[Row, Image.Image | None]:
        """What is known of a photo, as JSON has it, and its pixels; what is wrong with it is told, not raised."""
        told: Row = {"stage": "list", **split_reason(item.problem)}
        if killer:
            told |= {"stage": "caption", "reason": "kills its worker", "detail": killer}
        if item.problem or killer:
            return told, None
        told["stage"] = "read"
        if item.size > MOST_BYTES:
            return told | {"reason": "too large a file", "detail": f"{item.size:,} bytes, at most {MOST_BYTES:,}"}, None
        try:
            check_unchanged(item)
            data = storage.read(item.place, max(0, item.offset), item.size)
            check_unchanged(item)
            told["sha256"] = hashlib.sha256(data).hexdigest()
            photo = open_photo(data, self.max_pixels)
        except OSError as error:
            return told | {"reason": "cannot be read", "detail": error.strerror or str(error)}, None
        except UserError as problem:
            return told | split_reason(str(problem).removeprefix(f"{item.place}: ")), None
        except BadPhoto as bad:
            return told | {"reason": bad.reason, "detail": bad.detail}, None
        return told | {"width": photo.width, "height": photo.height}, photo

    def load(self) -> Callable[[JobBatch], Any]:
        torch.set_num_threads(1)  # an actor has one core
        captioner = PhotoCaptioner(self.bundle, self.beam, self.batch)
        side = captioner.front_end.size

        def caption(batch: JobBatch) -> Any:
            pixels = np.frombuffer(batch.data, np.uint8).reshape(len(batch.told), side, side, 3)
            found = captioner.caption_pixels(list(pixels))
            return [[n, c.text, c.score, c.n_best, c.truncated] for n, c in zip(batch.told, found, strict=True)]

        return caption

    def assemble(self, part: Part, told: Any, found: Sequence[Any]) -> PartResult:
        captions = {number: said for batch in found for number, *said in batch}
        rows: dict[str, list[Row]] = {"captions": [], "quarantine": []}
        for number, (item, one) in enumerate(zip(part.items, told, strict=True)):
            row = {"file": item.file, "name": item.name, "size": item.size, "version": item.version} | one
            if "width" not in one:
                rows["quarantine"].append(row)
                continue
            text, score, n_best, truncated = captions[number]
            row |= {"caption": text, "score": score, "truncated": truncated}
            row |= {"n_best": [{"text": text, "score": score} for text, score in n_best]}
            rows["captions"].append(row | {"model": self.bundle.digest, "decoding": self.decoding})
        return build_tables(part.number, rows, self.formats)


def _batch(photos: Sequence[tuple[int, np.ndarray]]) -> JobBatch:
    data = b"".join(pixels.tobytes() for _, pixels in photos)
    return JobBatch([number for number, _ in photos], data, float(len(photos)))
