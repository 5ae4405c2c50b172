"""What a file is, an archive or none: its content says so, not its name; and what is said of one that is damaged."""

import bz2
import errno
import gzip
import lzma
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from infra import storage
from infra.errors import UserError

NAMED_SO = re.compile(r"\.(tar(\.(gz|bz2|xz|lzma|zst|lz4|br|z))?|tgz|tbz2?|txz|tzst|zip|7z|rar)$", re.IGNORECASE)
COMPRESSED: dict[str, tuple[bytes, Callable[..., Any]]] = {
    "gzip": (b"\x1f\x8b", lambda file: gzip.GzipFile(fileobj=file)),
    "bzip2": (b"BZh", bz2.BZ2File),
    "xz": (b"\xfd7zXZ\0", lzma.LZMAFile),
}
DAMAGE = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, gzip.BadGzipFile)
NONSENSE = (ValueError, OverflowError, IndexError, KeyError, struct.error, RecursionError)  # of headers, to libraries


def archive_format(uri: str) -> str:
    """What a file is: "tar", one that is compressed ("gzip", "bzip2", "xz"), "zip", or "" for no archive. Raises
    UserError where the name says that it is one and the content does not.
    """
    named, head = bool(NAMED_SO.search(uri)), _head(uri)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    packed = next((name for name, (magic, _) in COMPRESSED.items() if head.startswith(magic)), "")
    if _begins_tar(_unpacked_head(uri, packed) if packed else head, empty=named):
        return packed or "tar"
    if named:
        raise UserError(
            f"{uri}: in spite of its name neither a zip nor a tar, plain or of {', '.join(COMPRESSED)}, is in it; "
            "unpack it and name the folder, or download it again"
        )
    return ""


def _head(uri: str) -> bytes:
    try:
        return storage.read(uri, 0, tarfile.BLOCKSIZE)
    except EOFError:
        return b""


def _unpacked_head(uri: str, compression: str) -> bytes:
    try:
        with storage.open_binary(uri) as file:
            return COMPRESSED[compression][1](file).read(tarfile.BLOCKSIZE)
    except (*DAMAGE, OSError) as error:
        if _is_damage(error):
            return b""
        raise


def _begins_tar(block: bytes, *, empty: bool) -> bool:
    """Whether a tar begins so; one without members is zeros."""
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  (not in its stubs)
        return empty
    except tarfile.HeaderError:
        return False
    return True


@contextmanager
def named_errors(uri: str) -> Iterator[None]:
    """What libraries say of a damaged archive, as one line that names it."""
    try:
        yield
    except NotImplementedError as error:  # zipfile's word for a version it does not know
        raise UserError(f"{uri}: {error}; unpack it and name the folder") from error
    except (*DAMAGE, *NONSENSE, OSError) as error:
        if not _is_damage(error):
            raise
        told = f"not a sound archive ({error}); download it again, or unpack it and name the folder"
        raise UserError(f"{uri}: {told}") from error


def _is_damage(error: Exception) -> bool:
    """bz2 has an OSError without a number for it; with EINVAL systems refuse a place before the begin of the file."""
    if not isinstance(error, OSError) or isinstance(error, DAMAGE):
        return True
    return type(error) is OSError and error.errno in {None, errno.EINVAL}
