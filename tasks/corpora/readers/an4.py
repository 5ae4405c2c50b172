"""CMU AN4: spelled names, numbers, control words, as Sphinx cepstra (feat/*.mfc) or recordings (wav/).

etc/<split>.fileids names the utterances, etc/<split>.transcription says `WORDS (utterance)`. Official releases name
their lists an4_train and an4_test; a development split is held out of training as ESPnet does (train_nodev, train_dev)
where those lists are there.
"""

import posixpath
import re
from collections.abc import Iterator

from infra.errors import UserError
from tasks.corpora.corpus_files import CorpusFiles
from tasks.corpora.corpus_uri import IngestConfig
from tasks.corpora.utterance import SPLITS, Reject, Utterance

LISTS = {
    "test": ("an4_test", "test"),
    "dev": ("train_dev", "an4_dev", "dev"),
    "train": ("train_nodev", "an4_train", "train"),
}
RECORDINGS = (".wav", ".sph", ".flac", ".raw")
FILLERS = re.compile(r"</?s>|<sil>|\+\+\w+\+\+|\(\d+\)")  # silences, noises, and which pronunciation was heard


def utterances(source: CorpusFiles, options: IngestConfig, splits: tuple[str, ...]) -> Iterator[Utterance | Reject]:
    """The lists' utterances in their order. Cepstra where there are any, else recordings."""
    lists = {name.removesuffix(".fileids"): name for name in source.names(".fileids")}
    if not lists:
        raise UserError(f"corpus {source.uri}: no etc/*.fileids in it; is it AN4?")
    folder, extensions = "wav", RECORDINGS
    if source.names(".mfc"):
        folder, extensions = "feat", (".mfc",)
    for split in SPLITS:
        if split not in splits and not options.own_splits:
            continue
        for stem in _chosen(list(lists), split):
            base = posixpath.dirname(posixpath.dirname(stem))  # of etc/
            texts = _transcripts(source, f"{stem}.transcription")
            for line in source.lines(lists[stem]):
                if utterance := line.strip():
                    clip = source.first(*(posixpath.join(base, folder, utterance + end) for end in extensions))
                    speaker, name = posixpath.split(utterance)
                    placed = "" if options.own_splits else split
                    yield Utterance(placed, (clip,), texts.get(name, ""), posixpath.basename(speaker))


def _chosen(stems: list[str], split: str) -> list[str]:
    """The lists of a split: the first name of LISTS that is there. train_nodev counts only beside train_dev."""
    names = [name for name in LISTS[split] if any(posixpath.basename(s) == name for s in stems)]
    if names[:1] == ["train_nodev"] and not any(posixpath.basename(s) == "train_dev" for s in stems):
        names = names[1:] or names
    return [s for s in sorted(stems) if names and posixpath.basename(s) == names[0]]


def _transcripts(source: CorpusFiles, name: str) -> dict[str, str]:
    """Utterance to words, whatever their order in the file."""
    texts = {}
    for line in source.lines(name):
        words, _, utterance = line.strip().rpartition("(")
        if utterance.endswith(")"):
            texts[utterance[:-1].strip()] = " ".join(FILLERS.sub(" ", words).split())
    return texts
