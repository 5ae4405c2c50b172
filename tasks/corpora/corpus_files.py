"""Read access to a corpus as names and byte ranges, be it a folder, an S3 prefix or an archive.

Ray workers anywhere must be able to read any clip by itself. A folder and a plain tar allow that as they are; the
contents of compressed tars and zips are laid out once as uncompressed pieces in a draft. An archive comes from outside:
its names and sizes are not believed. Tables name files as people do: a file is found whichever way its accents are
composed, its path is separated, and wherever the path leads, but never out of an archive.
"""

import io
import posixpath
import re
import unicodedata
from collections import Counter
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra import storage
from infra.artifact_store import Draft
from infra.errors import UserError
from tasks.corpora.archive_format import archive_format
from tasks.corpora.archive_index import Members, shard_member, unpack_archive, unpack_shards, write_pieces
from tasks.corpora.archive_members import index_plain_tar, readable_name
from tasks.corpora.corpus_uri import SHARDED, Corpus, expand_shards

SIDECARS = (".txt", ".json", ".cls")  # members of a sample that are read one by one, which S3 takes too long for
HELD_BYTES = 256 << 20  # of them are held; those of the tars after are read when they are needed
LEFTOVERS = re.compile(r"(^|/)(__MACOSX/|\._[^/]*$|\.DS_Store$)")
LINES_BYTES = 4 << 20  # what one request for a table's lines fetches

Location = tuple[str, int, int]  # URI, offset, size


@dataclass(frozen=True, slots=True)
class CorpusFiles:
    """uri: what messages name. files: name to (URI, offset, size), the URI empty where it is the name's own.
    asked: the one file that the corpus names, such as a manifest. texts: the contents of small files that were read
    while their archive was listed. versions: of files, as `storage.FileStat` has them, where they are known.
    digests: the SHA-256 of files by their places, where it is known. left_out: the places of files that were not copied
    out of their archive, for what is in them is known. surveys: what a reader has found out about a table, which it
    need not read again.
    """

    uri: str
    files: dict[str, Location]
    archive: bool = False
    asked: str = ""
    texts: dict[str, bytes] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict, compare=False)
    digests: dict[Location, str] = field(default_factory=dict, compare=False)
    left_out: frozenset[Location] = frozenset()
    surveys: dict[str, Any] = field(default_factory=dict, compare=False)
    spellings: dict[str, str] = field(init=False)  # normalized path to name, where they differ

    def __post_init__(self) -> None:
        odd = (name for name in self.files if not name.isascii() or "\\" in name)
        object.__setattr__(self, "spellings", {plain: name for name in odd if (plain := normalize_path(name)) != name})

    def names(self, suffix: str | tuple[str, ...] = "") -> list[str]:
        return sorted(name for name in self.files if name.endswith(suffix))

    def find(self, name: str) -> str:
        """What the corpus calls the file that one of its tables calls `name`: accents may be composed otherwise, the
        separators those of Windows, the path absolute or an s3:// URI. "" where there is none.
        """
        return found[0] if (found := self._resolve(name)) else ""

    def locate(self, name: str) -> Location | None:
        """Where the bytes of that file are. Names that lead out of the folder do as well, unless an archive says them;
        those of an S3 prefix stay in its bucket.
        """
        return found[1] if (found := self._resolve(name)) else None

    def first(self, *candidates: str) -> str:
        """The first of these names that is there, as the corpus has it; the first of all where none is."""
        return next((found for name in candidates if (found := self.find(name))), posixpath.normpath(candidates[0]))

    def _resolve(self, name: str) -> tuple[str, Location] | None:
        if name in self.files:
            return name, self._place(name)  # as most are
        place, folder = self._absolute(normalize_path(name)), normalize_path(self.uri) + "/"
        inside = place.removeprefix(folder)
        if (own := self.spellings.get(inside, inside)) in self.files:
            return own, self._place(own)
        if self.archive or inside != place:
            return None
        for spelling in dict.fromkeys((self._absolute(name), place, unicodedata.normalize("NFD", place))):
            if entry := storage.stat(spelling):
                return name, (spelling, 0, entry.size)
        return None

    def _absolute(self, name: str) -> str:
        """Where a name leads from here."""
        if storage.is_s3(name):
            return name
        if name.startswith("/"):
            return posixpath.normpath(name)
        root, place = "", f"{self.uri}/{name}"
        if storage.is_s3(place):
            bucket, _, key = place.removeprefix("s3://").partition("/")
            root, place = f"s3://{bucket}", f"/{key}"
        return root + posixpath.normpath(place)

    def _place(self, name: str) -> Location:
        uri, offset, size = self.files[name]
        return uri or storage.join(self.uri, name), offset, size

    def version(self, name: str) -> str:
        """Changes whenever the file may have; "" where nothing tells."""
        found = self._resolve(name)
        return self.versions.get(found[0], "") if found else ""

    def read(self, name: str) -> bytes:
        """The content of one of the files."""
        return self.texts[name] if name in self.texts else storage.read(*self._place(name))

    def lines(self, name: str) -> Iterator[str]:
        """The lines of a UTF-8 table, without line ends or byte order mark; bytes that are not UTF-8 become U+FFFD.
        Raises UserError for UTF-16.
        """
        uri, offset, size = self.locate(name) or (storage.join(self.uri, name), 0, 0)
        rest = b""
        for start in range(0, size, LINES_BYTES):
            rest += storage.read(uri, offset + start, min(LINES_BYTES, size - start))
            if start == 0 and rest.startswith((b"\xff\xfe", b"\xfe\xff")):
                raise UserError(f"{uri}: in UTF-16; write it in UTF-8")
            if start == 0:
                rest = rest.removeprefix(b"\xef\xbb\xbf")
            whole, newline, rest = rest.rpartition(b"\n")
            for line in whole.decode(errors="replace").split("\n") if newline else ():
                yield line.rstrip("\r")
        if rest:
            yield rest.decode(errors="replace").rstrip("\r")


def normalize_path(name: str) -> str:
    """A name with composed accents (NFC) and slashes, without '.' and '..' where it has other parts."""
    plain = name if name.isascii() else unicodedata.normalize("NFC", name)
    return plain if storage.is_s3(plain) else posixpath.normpath(plain.replace("\\", "/"))


def open_corpus(corpus: Corpus, draft: Draft, known: Container[str] = ()) -> CorpusFiles:
    """The corpus' files. What has to be laid out goes into the draft, where a restarted run finds it; all but the files
    whose SHA-256 is known.

    Raises UserError for an empty place and for an archive that is damaged or unsafe.
    """
    single = corpus.kind != SHARDED and storage.stat(corpus.uri)
    archive = archive_format(corpus.uri) if single else ""
    if corpus.kind == SHARDED:
        source = _open_shards(corpus.uri, draft)
    elif archive == "tar":
        files = {name: place for name, place, _ in index_plain_tar(corpus.uri)}
        source = CorpusFiles(corpus.uri, _without_leftovers(files), archive=True)
    elif archive:
        source = _unpacked(corpus.uri, unpack_archive(corpus.uri, draft, known))
    else:
        uri = corpus.uri.rpartition("/")[0] if single else corpus.uri
        files, versions = dict[str, Location](), dict[str, str]()
        for name, entry in storage.list_files(uri).items():
            told = readable_name(name)
            files[told] = ("" if told == name else storage.join(uri, name), 0, entry.size)
            versions[told] = entry.version
        asked = corpus.uri if single else ""
        source = CorpusFiles(uri, _without_leftovers(files), asked=asked, versions=versions)
    if not source.files:
        raise UserError(f"corpus {corpus}: nothing is there")
    return source


def _unpacked(uri: str, members: Members) -> CorpusFiles:
    files, digests, left_out = members
    return CorpusFiles(uri, _without_leftovers(files), archive=True, digests=digests, left_out=left_out)


def _without_leftovers(files: dict[str, Location]) -> dict[str, Location]:
    """Without what macOS keeps beside files: where icons stand, and resource forks, `._` before the file's name."""
    return {name: place for name, place in files.items() if not LEFTOVERS.search(name)}


def _open_shards(uri: str, draft: Draft) -> CorpusFiles:
    """The members of many archives, as `<archive>/<member>`: of plain tars where they lie."""
    folder, entries = expand_shards(uri)
    packed = [name for name in entries if archive_format(storage.join(folder, name)) != "tar"]
    files = unpack_shards(folder, packed, draft).files if packed else {}
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
    return CorpusFiles(uri, _without_leftovers(files), archive=True, texts=texts)


def open_generated_corpus(folder: Path, draft: Draft) -> CorpusFiles:
    """The files of a local scratch folder, copied into the draft so that every machine can read them."""
    names = sorted(storage.list_files(str(folder)))
    contents = ((name, (folder / name).stat().st_size, io.BytesIO((folder / name).read_bytes())) for name in names)
    return _unpacked("generated", write_pieces(contents, draft))
