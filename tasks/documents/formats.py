"""Which documents can be translated, by the suffixes of their files, plain or packed by gzip."""

import gzip
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from infra.errors import UserError
from tasks.documents.document import DocumentConfig, DocumentFormat
from tasks.documents.json_lines import JsonLines
from tasks.documents.markdown import Markdown
from tasks.documents.parquet_table import ParquetTable
from tasks.documents.plain_text import PlainText
from tasks.documents.tmx import Tmx

LINES, PACKED = {"txt", "text", "jsonl", "ndjson", "tmx", "md", "markdown"}, ".gz"
SUFFIXES = (*sorted(LINES), *(f"{suffix}{PACKED}" for suffix in sorted(LINES)), "parquet")
SUFFIX = re.compile(rf"\.({'|'.join(re.escape(suffix) for suffix in SUFFIXES)})(~\d+)?$", re.IGNORECASE)
DAMAGE = (gzip.BadGzipFile, EOFError, zlib.error)
LEVEL = 6  # of gzip


def suffix_of(name: str) -> str:
    """Of SUFFIXES, whatever number makes the name unlike another; a file that is named itself may have none."""
    found = SUFFIX.search(name)
    return found[1].lower() if found else "txt"


def document_format(name: str, config: DocumentConfig) -> DocumentFormat:
    kind = suffix_of(name).removesuffix(PACKED)
    if kind in {"jsonl", "ndjson"}:
        return JsonLines(config.text_field, config.translation_field)
    if kind == "parquet":
        return ParquetTable(config.text_field, config.translation_field)
    if kind == "tmx":
        return Tmx(config.source_language, config.target_language)
    return Markdown() if kind in {"md", "markdown"} else PlainText()


def is_packed(name: str) -> bool:
    return suffix_of(name).endswith(PACKED)


@contextmanager
def unpacked(file: BinaryIO, name: str) -> Iterator[BinaryIO]:
    """What is in a file. Raises UserError inside the block where it is no gzip in spite of its name."""
    if not is_packed(name):
        yield file
        return
    packed: Any = gzip.GzipFile(fileobj=file, mode="rb")
    try:
        with packed:
            yield packed
    except DAMAGE as error:
        raise UserError(f"no sound gzip ({error})") from error


def packed_as(data: bytes, name: str) -> bytes:
    """As the file of that name has it: members of gzip one after the other are gzip again."""
    return gzip.compress(data, LEVEL, mtime=0) if is_packed(name) else data
