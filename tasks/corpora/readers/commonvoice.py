"""Mozilla Common Voice, every release since 2019: clips/ beside train.tsv, dev.tsv, test.tsv, validated.tsv.

The root may be the language's folder or hold it (cv-corpus-17.0-2024-03-15/fa/ inside an archive); where it holds
several languages all are read. Columns differ between releases and are found by their names in the first line.
other.tsv and invalidated.tsv are no splits: their clips nobody has voted for.
"""

import logging
import posixpath
from collections.abc import Iterator
from dataclasses import replace

from infra.errors import UserError
from tasks.corpora.column_names import find_columns, plain_name, read_known, read_tags
from tasks.corpora.corpus_files import CorpusFiles
from tasks.corpora.corpus_tables import Table, TableRow, has_column, read_tables, resolve_tables, survey_table
from tasks.corpora.corpus_uri import IngestConfig
from tasks.corpora.split_names import KNOWN, NOT_SPLITS, VALIDATED, split_in_path
from tasks.corpora.utterance import Reject, Utterance

NEEDED = {"path": "audio", "sentence": "text"}
RENAMED = {"accents": "accent"}  # its name until 2021

log = logging.getLogger(__name__)


def utterances(source: CorpusFiles, options: IngestConfig, splits: tuple[str, ...]) -> Iterator[Utterance | Reject]:
    """The rows of the official splits; with own_splits, or where there are none, those of validated.tsv."""
    names = [name for name in source.names() if name.lower().endswith(".tsv") and _says(name)]
    roots = sorted(set(map(posixpath.dirname, names)))
    if not roots:
        raise UserError(
            f"corpus {source.uri}: no train.tsv, dev.tsv, test.tsv or validated.tsv in it; is it Common Voice?"
        )
    if len(roots) > 1:
        log.info("%s holds several languages: %s", source.uri, ", ".join(roots))
    tables: list[Table] = []
    for root in roots:
        tables += _tables(source, [name for name in names if posixpath.dirname(name) == root], options)
    yield from read_tables(source, tables, splits, lambda row: _utterance(source, row), "")


def _says(name: str) -> str:
    """What the name of a table says: a split, or that its rows were validated; "" for neither."""
    stem = posixpath.basename(name).rpartition(".")[0]
    return stem if stem.lower() == VALIDATED else "" if stem.lower() in NOT_SPLITS else split_in_path(stem)


def _tables(source: CorpusFiles, names: list[str], options: IngestConfig) -> list[Table]:
    """Of one language: those of the official splits, else what is to be divided. Raises UserError for one without the
    columns that it needs, and for one beside official splits that may be another.
    """
    official = [name for name in names if _says(name).lower() != VALIDATED]
    if official and not options.own_splits:
        _check_others(source, posixpath.dirname(official[0]))
        chosen = resolve_tables(source, {name: posixpath.basename(name) for name in official})
    else:
        validated = [name for name in names if name not in official]
        chosen = resolve_tables(source, dict.fromkeys(validated or official, ""))
        chosen = [replace(table, split="", column="") for table in chosen]
    for table in chosen:
        lost = [name for name, role in NEEDED.items() if table.columns and not has_column(table.columns, role)]
        if lost:
            has = ", ".join(table.columns)
            raise UserError(f"{source.uri}/{table.name}: no column {', '.join(lost)} in its first line; it has {has}")
    return chosen


def _check_others(source: CorpusFiles, root: str) -> None:
    for name in source.names(".tsv"):
        stem = posixpath.basename(name).rpartition(".")[0].lower()
        if posixpath.dirname(name) != root or _says(name) or stem in NOT_SPLITS:
            continue
        if all(has_column(survey_table(source, name).columns, role) for role in NEEDED.values()):
            raise UserError(f"{source.uri}/{name}: clips of no split that is known; rename it or move it away; {KNOWN}")


def _utterance(source: CorpusFiles, row: TableRow) -> Utterance:
    fields, columns, root = row.fields, find_columns(tuple(row.fields)), posixpath.dirname(row.table.name)
    path, sentence = (str(fields[names[0]]) for names in (columns.audio, columns.text))
    if not path or "\0" in path:
        raise ValueError("no path of a clip")
    clips = posixpath.join(root, "clips", "")
    clip = clips + path
    if clip not in source.files:
        clip = posixpath.join(clips, path)  # which may be absolute
        clip = source.first(clip, f"{clip}.mp3", f"{clip}.wav", posixpath.join(root, path))
    speaker, speaker_from = read_known(fields, columns.speaker)
    tags = read_tags(fields, {*columns.audio, *columns.text, *columns.speaker, *columns.split})
    return Utterance(
        split=row.split,
        clips=(clip,),
        text=sentence,
        speaker=speaker,
        tags={RENAMED.get(plain_name(name), name): value for name, value in tags.items()},
        split_from=row.told,
        speaker_from=speaker_from and f"column {speaker_from}",
    )
