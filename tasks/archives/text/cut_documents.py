"""A large document to pieces that are parts of their own, and what was made of the pieces to the document again."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby

from infra import storage
from infra.errors import UserError
from tasks.archives.item_file import open_item
from tasks.archives.output_store import OutputStore
from tasks.archives.text.translate_parts import DOCUMENT
from tasks.archives.work_list import WorkItem
from tasks.corpora.archive_members import ALLOWANCE_BYTES, RATIO
from tasks.documents.document import DocumentConfig, Range
from tasks.documents.formats import document_format, is_packed, suffix_of, unpacked
from tasks.steps.parquet_io import from_parquet

PACKED_TO = 10  # of text, how many times shorter gzip mostly makes it at best
TABLE = "parquet"  # whose size says nothing of how many rows it has


@dataclass(frozen=True, kw_only=True)
class TextPartConfig:
    """A part ends at so many kilobytes or files, whichever comes first; a larger file is cut into several parts."""

    max_kb: int = 256
    max_files: int = 200

    def __post_init__(self) -> None:
        if min(self.max_kb, self.max_files) < 1:
            raise ValueError("parts.max_kb and parts.max_files are at least 1")

    @property
    def max_bytes(self) -> int:
        return self.max_kb << 10


@dataclass(frozen=True)
class CutDocument:
    """A file to its pieces: itself where one is enough. What cannot be cut has a problem, for it cannot be read."""

    documents: DocumentConfig
    parts: TextPartConfig

    def __call__(self, item: WorkItem) -> list[WorkItem]:
        size = item.size * (PACKED_TO if is_packed(item.name) else 1)
        if item.problem or (size <= self.parts.max_bytes and suffix_of(item.name) != TABLE):
            return [item]
        try:
            found = list(self._ranges(item))
        except UserError as problem:
            return [replace(item, problem=str(problem))]
        except OSError as error:
            return [replace(item, problem=f"cannot be read ({error.strerror or error})")]
        if len(found) < 2:
            return [item]
        return [replace(item, begin=r.begin, end=r.end, line=r.line, pieces=len(found)) for r in found]

    def _ranges(self, item: WorkItem) -> Iterator[Range]:
        """Raises UserError for a file that is no text, and for one that unpacks to more than any text does."""
        most = RATIO * item.size + ALLOWANCE_BYTES
        with open_item(item) as raw, unpacked(raw, item.name) as file:
            for where in document_format(item.name, self.documents).cut(file, self.parts.max_bytes):
                if is_packed(item.name) and where.end > most:
                    raise UserError(
                        f"unpacks without end ({where.end >> 20} MB so far, more than {RATIO} times its size)"
                    )
                yield where


def join_documents(store: OutputStore, documents: DocumentConfig) -> list[str]:
    """Every document that was cut and whose pieces are all there, as a file of the output; what is there stays, for no
    two have one name. The names of these files.
    """
    if DOCUMENT not in store.identity.get("formats", ()):
        return []
    cut = [item for items, _ in store.lists() for item in items if item.pieces > 1]
    there = dict(store.table_files("pieces")) if cut else {}
    names = list[str]()
    for name, items in groupby(cut, key=lambda item: item.name):
        parts = [item.part for item in items]
        places = [there[part] for part in parts if part in there]
        if len(places) < len(parts):
            continue  # a piece is in the quarantine
        names.append(f"{DOCUMENT}/{name}")
        target = storage.join(store.uri, names[-1])
        if storage.stat(target) is None:
            with storage.stage_file(target) as place:
                document_format(name, documents).join(_contents(places), place)
    return names


def _contents(places: list[str]) -> Iterator[bytes]:
    for place in places:
        (content,) = from_parquet(storage.read(place), ["content"])["content"].to_pylist()
        yield content
