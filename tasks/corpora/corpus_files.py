"""Read access to a corpus as names and byte ranges, be it a folder, an S3 prefix or an archive.

Ray workers anywhere must be able to read any clip by itself. A folder and a plain .tar allow that as they are; the
contents of .tar.gz and .zip are laid out once as uncompressed pieces in a draft. An archive comes from outside: its
names and sizes are not believed.
"""

import io
import posixpath
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra import storage
from infra.artifact_store import Draft
from infra.errors import UserError
from tasks.corpora.archive_index import index_plain_tar, shard_member, unpack_archive, unpack_shards, write_pieces
from tasks.corpora.corpus_uri import SHARDED, Corpus, expand_shards, is_archive

SIDECARS = (".txt", ".json", ".cls")  # members of a sample that are read one by one, which S3 takes too long for
HELD_BYTES = 256 << 20  # of them are held; those of the tars after are read when they are needed
LINES_BYTES = 4 << 20  # what one request for a table's lines fetches

Location = tuple[str, int, int]  # URI, offset, size


@dataclass(frozen=True, slots=True)
class CorpusFiles:
    """uri: what messages name. files: name to (URI, offset, size), the URI empty where it is the name's own.
    asked: the one file that the corpus names, such as a manifest. texts: the contents of small files that were read
    while their archive was listed. surveys: what a reader has found out about a table, which it need not read again.
    """

    uri: str
    files: dict[str, Location]
    archive: bool = False
    asked: str = ""
    texts: dict[str, bytes] = field(default_factory=dict)
    surveys: dict[str, Any] = field(default_factory=dict, compare=False)

    def names(self, suffix: str | tuple[str, ...] = "") -> list[str]:
        return sorted(name for name in self.files if name.endswith(suffix))

    def locate(self, name: str) -> Location | None:
        """Where the file's bytes are. Absolute paths and s3:// URIs too, unless an archive names them."""
        if name in self.files:
            return self._place(name)  # as most are
        name = name if storage.is_s3(name) else posixpath.normpath(name)
        inside = name.removeprefix(self.uri + "/")
        if inside in self.files:
            return self._place(inside)
        if self.archive or not name.startswith(("/", "s3://")):
            return None
        entry = storage.stat(name)
        return (name, 0, entry.size) if entry else None

    def _place(self, name: str) -> Location:
        uri, offset, size = self.files[name]
        return uri or storage.join(self.uri, name), offset, size

    def first(self, *candidates: str) -> str:
        """The first of these names that is there; the first of all where none is."""
        return next((name for name in candidates if name in self.files), candidates[0])

    def read(self, name: str) -> bytes:
        """The content of one of the files."""
        return self.texts[name] if name in self.texts else storage.read(*self._place(name))

    def lines(self, name: str) -> Iterator[str]:
        """The lines of a UTF-8 table, without line ends or byte order mark; bytes that are not UTF-8 become U+FFFD."""
        uri, offset, size = self.locate(name) or (storage.join(self.uri, name), 0, 0)
        rest = b""
        for start in range(0, size, LINES_BYTES):
            rest += storage.read(uri, offset + start, min(LINES_BYTES, size - start))
            if start == 0:
                rest = rest.removeprefix(b"\xef\xbb\xbf")
            whole, newline, rest = rest.rpartition(b"\n")
            for line in whole.decode(errors="replace").split("\n") if newline else ():
                yield line.rstrip("\r")
        if rest:
            yield rest.decode(errors="replace").rstrip("\r")


def open_corpus(corpus: Corpus, draft: Draft) -> CorpusFiles:
    """The corpus' files. What has to be laid out goes into the draft, where a restarted run finds it.

    Raises UserError for an empty place and for an archive that is damaged or unsafe.
    """
    if corpus.kind == SHARDED:
        return _open_shards(corpus.uri, draft)
    if is_archive(corpus.uri):
        plain = corpus.uri.lower().endswith(".tar")
        files = (
            {n: place for n, place, _ in index_plain_tar(corpus.uri)} if plain else unpack_archive(corpus.uri, draft)
        )
        source = CorpusFiles(corpus.uri, files, archive=True)
    else:
        single = storage.stat(corpus.uri)
        uri = corpus.uri.rpartition("/")[0] if single else corpus.uri
        files = {name: ("", 0, entry.size) for name, entry in storage.list_files(uri).items()}
        source = CorpusFiles(uri, files, asked=corpus.uri if single else "")
    if not source.files:
        raise UserError(f"corpus {corpus}: nothing is there")
    return source


def _open_shards(uri: str, draft: Draft) -> CorpusFiles:
    """The members of many archives, as `<archive>/<member>`: of plain tars where they lie."""
    folder, entries = expand_shards(uri)
    packed = [name for name in entries if not name.lower().endswith(".tar")]
    files = unpack_shards(folder, packed, draft) if packed else {}
    texts, held = dict[str, bytes](), 0
    for archive in (name for name in entries if name not in set(packed)):
        place = storage.join(folder, archive)
        read, seen = SIDECARS if storage.is_s3(place) and held < HELD_BYTES else (), Counter[str]()
        for member, location, content in index_plain_tar(place, read):
            name = shard_member(archive, member, seen)
            files[name] = location
            if content:
                texts[name] = content
                held += len(content)
    return CorpusFiles(uri, files, archive=True, texts=texts)


def open_generated_corpus(folder: Path, draft: Draft) -> CorpusFiles:
    """The files of a local scratch folder, copied into the draft so that every machine can read them."""
    names = sorted(storage.list_files(str(folder)))
    contents = ((name, (folder / name).stat().st_size, io.BytesIO((folder / name).read_bytes())) for name in names)
    return CorpusFiles("generated", write_pieces(contents, draft), archive=True)
