"""yesno (OpenSLR 1): recordings of one speaker, named by their words: 1_0_0_1_1_0_1_1.wav, 1 for YES and 0 for NO."""

import posixpath
import re
from collections.abc import Iterator

from tasks.corpora.corpus_files import CorpusFiles
from tasks.corpora.corpus_uri import IngestConfig
from tasks.corpora.utterance import Utterance

NAME = re.compile(r"[01](_[01])+\.(wav|flac)")
WORDS = {"0": "NO", "1": "YES"}


def utterances(source: CorpusFiles, options: IngestConfig, splits: tuple[str, ...]) -> Iterator[Utterance]:  # noqa: ARG001  (every reader takes these)
    """All recordings; tasks/ingest/split_corpus.py divides them, since the set has no official splits."""
    for name in source.names():
        base = posixpath.basename(name)
        if NAME.fullmatch(base):
            words = posixpath.splitext(base)[0].split("_")
            yield Utterance("", (name,), " ".join(WORDS[word] for word in words), "yesno", speaker_from="one speaker")
