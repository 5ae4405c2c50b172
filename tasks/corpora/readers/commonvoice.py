"""Mozilla Common Voice, every release since 2019: clips/ beside train.tsv, dev.tsv, test.tsv, validated.tsv.

The root may be the language's folder or hold it (cv-corpus-17.0-2024-03-15/fa/ inside an archive); where it holds
several languages all are read. Columns differ between releases and are found by their names in the first line.
"""

import logging
import posixpath
from collections.abc import Iterator

from infra.errors import UserError
from tasks.corpora.corpus_files import CorpusFiles
from tasks.corpora.corpus_uri import IngestConfig
from tasks.corpora.utterance import SPLITS, Reject, Utterance

NOT_TAGS = {"client_id", "path", "sentence"}
RENAMED = {"accents": "accent"}  # its name until 2021

log = logging.getLogger(__name__)


def utterances(source: CorpusFiles, options: IngestConfig, splits: tuple[str, ...]) -> Iterator[Utterance | Reject]:
    """The rows of the official splits; with own_splits, or where there are none, those of validated.tsv."""
    roots = sorted({posixpath.dirname(name) for name in source.names(".tsv") if _table(name) in {*SPLITS, "validated"}})
    if not roots:
        raise UserError(
            f"corpus {source.uri}: no train.tsv, dev.tsv, test.tsv or validated.tsv in it; is it Common Voice?"
        )
    if len(roots) > 1:
        log.info("%s holds several languages: %s", source.uri, ", ".join(roots))
    for split in ("", *SPLITS):  # those to be placed first: there are none of the others beside them
        for root in roots:
            if split and split in splits and _official(source, root, options):
                yield from _rows(source, root, split, split)
            elif not split and not _official(source, root, options):
                validated = posixpath.join(root, "validated.tsv")
                tables = ["validated"] if validated in source.files else list(SPLITS)
                for table in tables:
                    yield from _rows(source, root, table, "")


def _official(source: CorpusFiles, root: str, options: IngestConfig) -> bool:
    return not options.own_splits and any(posixpath.join(root, f"{split}.tsv") in source.files for split in SPLITS)


def _table(name: str) -> str:
    return posixpath.basename(name).removesuffix(".tsv")


def _rows(source: CorpusFiles, root: str, table: str, split: str) -> Iterator[Utterance | Reject]:
    name = posixpath.join(root, f"{table}.tsv")
    if name not in source.files:
        return
    lines = source.lines(name)
    columns = next(lines, "").split("\t")
    if missing := {"path", "sentence"} - set(columns):
        yield Reject(
            split, name, "read", "malformed table", f"no column {', '.join(sorted(missing))} in its first line"
        )
        return
    path, sentence = columns.index("path"), columns.index("sentence")
    speaker = columns.index("client_id") if "client_id" in columns else len(columns)
    tags = [(i, RENAMED.get(column, column)) for i, column in enumerate(columns) if column not in NOT_TAGS]
    clips = posixpath.join(root, "clips", "")
    for number, line in enumerate(lines, start=2):
        if not line.strip():
            continue
        fields = line.split("\t")
        if not max(path, sentence) < len(fields) <= len(columns) or not fields[path]:
            detail = f"{len(fields)} fields for {len(columns)} columns"
            yield Reject(split, f"{name}:{number}", "read", "malformed row", detail)
            continue
        fields += [""] * (len(columns) + 1 - len(fields))  # one more, which is a speaker without a column
        clip = clips + fields[path]
        if clip not in source.files:
            clip = posixpath.join(clips, fields[path])  # which may be absolute
            clip = source.first(clip, f"{clip}.mp3", f"{clip}.wav", posixpath.join(root, fields[path]))
        known = {tag: fields[i] for i, tag in tags if fields[i]}
        yield Utterance(split, (clip,), unquote(fields[sentence]), fields[speaker], known)


def unquote(sentence: str) -> str:
    """The sentence as it was before a CSV writer quoted it, which one release did: only a whole field in quotes whose
    inner quotes are all doubled was. Any other quote, closed or not, is text.
    """
    inner = sentence[1:-1]
    if len(sentence) < 2 or sentence[0] != '"' or sentence[-1] != '"' or '""' not in inner:
        return sentence
    return sentence if '"' in inner.replace('""', "") else inner.replace('""', '"')
