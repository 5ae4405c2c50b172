"""How a corpus is named: KIND:URI, the kind a module of tasks/corpora/readers/, the URI a folder, archive or s3://.

Of the kind webdataset it may be a pattern, such as train-{000000..000099}.tar or *.tar.
"""

import glob
import hashlib
import importlib
import json
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path

from braceexpand import braceexpand

from infra import storage
from infra.errors import UserError, suggest_name
from infra.storage import FileStat
from tasks.corpora.archive_members import readable_name

READERS = Path(__file__).parent / "readers"
OTHER_SPELLINGS = {"labelled": "labeled"}
SHARDED = "webdataset"  # the kind whose place is many archives
SHARDS = (".tar", ".tar.gz", ".tgz")
UNFINISHED = "unfinished/export.json"  # beside tars that flows.export is writing
MOST_SHARDS = 1_000_000  # that braces may stand for


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """kind: the name of a module in tasks/corpora/readers/. uri: a local path or s3://bucket/prefix, empty for `demo`
    and what else is generated. verb: the function of the module that reads it.
    """

    kind: str
    uri: str
    verb: str = "utterances"

    def __str__(self) -> str:
        return f"{self.kind}:{self.uri}"

    @property
    def code(self) -> tuple[str, ...]:
        """The reader, which a step finds by name: part of the step's key."""
        return (f"tasks.corpora.readers.{self.kind}",)


@dataclass(frozen=True, kw_only=True)
class IngestConfig:
    """How clips become shards.

    shard_mb: the size at which a shard is closed. error_budget: the share of a split's rows that may be rejected.
    min_seconds, max_seconds: clips outside are rejected. own_splits: ignore the corpus' official splits and make
    speaker- and sentence-disjoint ones. dev_share, test_share, seed: of splits of our own, how much is dev and test,
    and the seed of the draw; without a dev split dev_share of train becomes it. test_speaker, digits, strings: `fsdd`
    only: who is held out, how many digits a string has at most, how many strings are made of the training recordings.
    max_characters: longer texts with a label, and longer sentences of a pair, are rejected. source_language,
    target_language: of sentence pairs, as their files, keys or attributes call them. test_set: `multi30k` only: which
    of its test sets is read. max_words, max_length_ratio, identify_language: of training pairs, which are rejected with
    more words on a side, with one side so many times as long as the other (0: any), in another language
    (tasks/ingest/pair_filter.py). audio_field, text_field, label_field, speaker_field, split_field: `webdataset` only:
    which member of a sample (its extension), or else which key of its .json, is what; found by their usual names where
    empty.
    """

    shard_mb: float = 64.0
    error_budget: float = 0.05
    min_seconds: float = 0.1
    max_seconds: float = 60.0
    own_splits: bool = False
    dev_share: float = 0.1
    test_share: float = 0.1
    seed: int = 0
    test_speaker: str = "theo"
    digits: int = 5
    strings: int = 1200
    max_characters: int = 10_000
    source_language: str = ""
    target_language: str = ""
    test_set: str = "test_2016_flickr"
    max_words: int = 250
    max_length_ratio: float = 4.0
    identify_language: bool = True
    audio_field: str = ""
    text_field: str = ""
    label_field: str = ""
    speaker_field: str = ""
    split_field: str = ""


def corpus_kinds(*verbs: str) -> list[str]:
    """The corpus kinds whose readers, the files of tasks/corpora/readers/, have any of these verbs."""
    names = sorted(p.stem for p in READERS.glob("*.py") if not p.stem.startswith("_"))
    readers = {name: importlib.import_module(f"tasks.corpora.readers.{name}") for name in names}
    return [name for name, reader in readers.items() if any(hasattr(reader, verb) for verb in verbs)]


def is_generated(kind: str) -> bool:
    """Whether the clips or photos of this kind are made, not found."""
    return hasattr(importlib.import_module(f"tasks.corpora.readers.{kind}"), "generate")


def parse_corpus(text: str, verb: str = "utterances", *others: str) -> Corpus:
    """`KIND:URI` as a Corpus that exists. Raises UserError for an unknown kind or a missing place.

    verb: what a flow asks of the kind's reader: `utterances` (clips with transcripts), `labeled` (clips or texts, a
    label each) or `documents` (plain text). others: verbs that would do as well, where that is yet to be seen.
    """
    kind, colon, uri = text.partition(":")
    kind = OTHER_SPELLINGS.get(kind, kind)
    kinds = corpus_kinds(verb, *others)
    if not colon or kind not in kinds:
        hint = suggest_name(kind, kinds, "", after=f":{uri}") if colon else ""
        form = f"write KIND:URI with KIND one of {', '.join(kinds)}"
        raise UserError(f"corpus {text!r}: {f'{hint} {form}' if hint else form}")
    if is_generated(kind):
        return Corpus(kind=kind, uri=uri, verb=verb)
    if readable_name(uri) != uri or "\0" in uri:
        raise UserError(f"corpus {text!r}: the name of its place is not UTF-8; rename it")
    if not uri:
        raise UserError(f"corpus {text!r}: no place given; write {kind}:/path/to/corpus or {kind}:s3://bucket/prefix")
    uri = uri.rstrip("/") if storage.is_s3(uri) else str(Path(posixpath.normpath(Path(uri).expanduser().absolute())))
    if kind == SHARDED:
        expand_shards(uri)
    elif not storage.is_s3(uri) and not Path(uri).exists():
        raise UserError(f"corpus {text!r}: {uri} does not exist")
    return Corpus(kind=kind, uri=uri, verb=verb)


def fingerprint(corpus: Corpus) -> str:
    """Changes whenever a file of the corpus does: a hash of every name, size and time (or ETag). Reads no content."""
    if is_generated(corpus.kind):
        return "generated"
    if corpus.kind == SHARDED:
        _, files = expand_shards(corpus.uri)
    else:
        single = storage.stat(corpus.uri)
        files = {"": single} if single else storage.list_files(corpus.uri)
    if not files:
        raise UserError(f"corpus {corpus}: nothing is there")
    rows = [(name, entry.size, entry.version) for name, entry in files.items()]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def expand_shards(uri: str) -> tuple[str, dict[str, FileStat]]:
    """The tars of a folder, an S3 prefix or a pattern, or the one named: the folder they are below, and each by its
    name there, sorted. Raises UserError where there are none, or where one that braces name is missing.
    """
    if single := storage.stat(uri):
        folder, _, name = uri.rpartition("/")
        found = {name: single}
    elif not re.search(r"[{*?\[]", uri) or (not storage.is_s3(uri) and Path(uri).is_dir()):
        folder, found = (
            uri,
            {name: entry for name, entry in storage.list_files(uri).items() if name.lower().endswith(SHARDS)},
        )
    else:
        folder = re.split(r"[{*?\[]", uri)[0].rpartition("/")[0]
        found = dict(sorted(_matching(uri, folder)))
    if not found:
        raise UserError(f"corpus {SHARDED}:{uri}: no {', '.join(SHARDS)} is there")
    if other := next((name for name in found if not name.lower().endswith(SHARDS)), ""):
        raise UserError(f"corpus {SHARDED}:{uri}: {other} is no {', '.join(SHARDS)}")
    if storage.stat(storage.join(folder, UNFINISHED)):
        raise UserError(f"corpus {SHARDED}:{uri}: an export to {folder} has not ended; run it again")
    return folder, found


def _matching(uri: str, folder: str) -> Iterator[tuple[str, FileStat]]:
    below = storage.list_files(folder) if storage.is_s3(uri) else {}
    for place in _expanded(uri):
        name = place.removeprefix(f"{folder}/")
        if not re.search(r"[*?\[]", name):
            entry = below.get(name) if storage.is_s3(uri) else storage.stat(place)
            if not entry:
                raise UserError(f"corpus {SHARDED}:{uri}: {place} does not exist; name only the shards that are there")
            yield name, entry
        elif storage.is_s3(uri):
            for other, entry in below.items():
                if other.count("/") == name.count("/") and fnmatchcase(other, name):
                    yield other, entry
        else:
            for path in glob.glob(place):
                if entry := storage.stat(path):
                    yield path.removeprefix(f"{folder}/"), entry


def _expanded(uri: str) -> list[str]:
    try:
        places = list(islice(braceexpand(uri), MOST_SHARDS + 1))
    except ValueError as error:
        raise UserError(f"corpus {SHARDED}:{uri}: a brace is not closed; write {{000000..000099}}.tar") from error
    if len(places) > MOST_SHARDS:
        raise UserError(f"corpus {SHARDED}:{uri}: the braces stand for more than {MOST_SHARDS:,} shards; see its range")
    return places
