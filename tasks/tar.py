"""Byte-deterministic tar files (USTAR: no clock, no user) and the samples in them, read by range."""

import io
import tarfile
from typing import BinaryIO

BLOCK = 512
END = bytes(20 * BLOCK)  # two empty blocks, filled up to a record, as tar ends


def append(file: BinaryIO, name: str, content: bytes) -> None:
    """One member at the end of an open file."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    file.write(info.tobuf(tarfile.USTAR_FORMAT))
    file.write(content)
    file.write(bytes(-len(content) % BLOCK))


def members(region: bytes) -> dict[str, bytes]:
    """The members of a stretch of a tar file by what follows the first dot of their names, as WebDataset has it."""
    with tarfile.open(fileobj=io.BytesIO(region + bytes(2 * BLOCK)), mode="r:") as tar:
        return {info.name.partition(".")[2]: tar.extractfile(info).read() for info in tar}  # type: ignore[union-attr]
