"""CMU AN4: spelled names, numbers, control words, as Sphinx cepstra (feat/*.mfc) or recordings (wav/).

etc/<split>.fileids names the utterances, etc/<split>.transcription says `WORDS (utterance)`. Official releases name
their lists an4_train and an4_test; a development split is held out of training as ESPnet does (train_nodev, train_dev)
where those lists are there: then an4_train, which holds both, is left out.
"""

import posixpath
import re
from collections.abc import Iterator

from infra.errors import UserError
from tasks.corpora.corpus_files import CorpusFiles
from tasks.corpora.corpus_uri import IngestConfig
from tasks.corpora.split_names import KNOWN, order, resolve_splits
from tasks.corpora.utterance import Reject, Utterance

HELD_OUT, REST = "train_dev", "train_nodev"
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
    of_list = _splits(source, list(lists))
    for split in order(splits):
        for stem in [s for s in of_list if split == ("" if options.own_splits else of_list[s])]:
            base = posixpath.dirname(posixpath.dirname(stem))  # of etc/
            texts = _transcripts(source, f"{stem}.transcription")
            told = "" if options.own_splits else f"list {posixpath.basename(stem)}"
            for line in source.lines(lists[stem]):
                if utterance := line.strip():
                    clip = source.first(*(posixpath.join(base, folder, utterance + end) for end in extensions))
                    folders, name = posixpath.split(utterance)
                    speaker, text = posixpath.basename(folders), texts.get(name, "")
                    yield Utterance(split, (clip,), text, speaker, split_from=told, speaker_from="folder of the clip")


def _splits(source: CorpusFiles, stems: list[str]) -> dict[str, str]:
    """Each list with its split, without those whose utterances another has. Raises UserError for one that says none."""
    names = {stem: posixpath.basename(stem) for stem in stems}
    splits = resolve_splits(names.values())
    if lost := next((stem for stem, name in names.items() if name not in splits), ""):
        raise UserError(f"corpus {source.uri}: the name of {lost}.fileids says no split; move it away; {KNOWN}")
    divided, stay = {HELD_OUT, REST} <= set(names.values()), dict[str, str]()
    for stem, name in sorted(names.items()):
        same = [other for other in names.values() if splits[other] == splits[name]]
        twice = name not in {HELD_OUT, REST} and splits[name] != "test" if divided else name == REST and len(same) > 1
        if not twice:
            stay[stem] = splits[name]
    return stay


def _transcripts(source: CorpusFiles, name: str) -> dict[str, str]:
    """Utterance to words, whatever their order in the file."""
    texts = {}
    for line in source.lines(name):
        words, _, utterance = line.strip().rpartition("(")
        if utterance.endswith(")"):
            texts[utterance[:-1].strip()] = " ".join(FILLERS.sub(" ", words).split())
    return texts
