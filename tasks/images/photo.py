"""A photo's bytes to pixels: RGB, upright."""

import io

from PIL import Image, ImageOps


class BadPhoto(Exception):  # noqa: N818  (it is the photo that is bad, not the program)
    """A photo that cannot be used, with a reason to count it under and a detail."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


def open_photo(data: bytes) -> Image.Image:
    """RGB, upright by its EXIF. Raises BadPhoto for what is no photo."""
    try:
        return ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    except Exception as error:
        raise BadPhoto("damaged photo", str(error)[:200]) from error
