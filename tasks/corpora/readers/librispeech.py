"""LibriSpeech and its like: {train,dev,test}-*/SPEAKER/CHAPTER/SPEAKER-CHAPTER-NNNN.flac with .trans.txt beside.

https://www.openslr.org/12/.
"""

import posixpath
from collections.abc import Iterator

from infra.errors import UserError
from tasks.corpora.corpus_files import CorpusFiles
from tasks.corpora.corpus_uri import IngestConfig
from tasks.corpora.split_names import KNOWN, order, resolve_splits, split_in_path
from tasks.corpora.utterance import Reject, Utterance

NO_PART = "no folder says a split: all train"


def utterances(source: CorpusFiles, options: IngestConfig, splits: tuple[str, ...]) -> Iterator[Utterance | Reject]:
    tables = source.names(".trans.txt")
    if not tables:
        raise UserError(f"corpus {source.uri}: no *.trans.txt in it; is it LibriSpeech?")
    parts = dict.fromkeys(tables, "") if options.own_splits else _parts(tables, source.uri)
    of_part = resolve_splits(set(parts.values()))
    for split in order(splits):
        for table in tables:
            if split == ("" if options.own_splits else of_part.get(parts[table], "train")):
                told = f"folder {parts[table]}" if parts[table] else NO_PART
                yield from _rows(source, table, split, "" if options.own_splits else told)


def _parts(tables: list[str], uri: str) -> dict[str, str]:
    """For each table the folder that says its split, which may be the corpus itself; "" where none does for any.
    Raises UserError where one does for some.
    """
    parts = {table: split_in_path(posixpath.dirname(table), uri) for table in tables}
    if any(parts.values()) and (lost := next((table for table, part in parts.items() if not part), "")):
        raise UserError(
            f"corpus {uri}: no folder of {lost} says its split, as {next(filter(None, parts.values()))} does; rename "
            f"one or move it away; {KNOWN}"
        )
    return parts


def _rows(source: CorpusFiles, table: str, split: str, told: str) -> Iterator[Utterance | Reject]:
    folder = posixpath.dirname(table)
    for line in source.lines(table):
        utterance, _, text = line.strip().partition(" ")
        if utterance:
            clip = posixpath.join(folder, utterance)
            clip = source.first(f"{clip}.flac", f"{clip}.wav")
            speaker = utterance.split("-")[0]
            yield Utterance(split, (clip,), text, speaker, split_from=told, speaker_from="name of the clip")
