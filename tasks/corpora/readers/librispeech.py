"""LibriSpeech and its like: {train,dev,test}-*/SPEAKER/CHAPTER/SPEAKER-CHAPTER-NNNN.flac with .trans.txt beside.

https://www.openslr.org/12/.
"""

import posixpath
from collections.abc import Iterator

from infra.errors import UserError
from tasks.corpora.corpus_files import CorpusFiles
from tasks.corpora.corpus_uri import IngestConfig
from tasks.corpora.utterance import Reject, Utterance


def utterances(source: CorpusFiles, options: IngestConfig, splits: tuple[str, ...]) -> Iterator[Utterance | Reject]:
    tables = source.names(".trans.txt")
    if not tables:
        raise UserError(f"corpus {source.uri}: no *.trans.txt in it; is it LibriSpeech?")
    for split in splits:
        for table in tables:
            of_table = _split_of(table, source.uri)
            if of_table == split or (options.own_splits and split == splits[0]):
                yield from _rows(source, table, "" if options.own_splits else split)


def _rows(source: CorpusFiles, table: str, split: str) -> Iterator[Utterance | Reject]:
    folder = posixpath.dirname(table)
    for line in source.lines(table):
        utterance, _, text = line.strip().partition(" ")
        if utterance:
            clip = posixpath.join(folder, utterance)
            clip = source.first(f"{clip}.flac", f"{clip}.wav")
            yield Utterance(split, (clip,), text, speaker=utterance.split("-")[0])


def _split_of(table: str, uri: str) -> str:
    """By the part's folder (train-clean-100, dev-other, ...), which may be the corpus itself; else train."""
    for part in [*table.split("/"), uri.rstrip("/").rsplit("/", 1)[-1]]:
        if part.split("-")[0] in {"train", "dev", "test"}:
            return part.split("-")[0]
    return "train"
