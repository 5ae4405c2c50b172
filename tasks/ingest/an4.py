"""CMU's AN4 (census database): etc/*.fileids with *.transcription, and Sphinx features or sound.

http://www.speech.cs.cmu.edu/databases/an4/. Of an utterance the .mfc cepstra are taken where they are, else the sound.
Train and dev are etc/train_nodev and etc/train_dev where there are such lists, else etc/an4_train, of which
tasks/split.py makes both; test is etc/an4_test.
"""

import posixpath
import re
from collections.abc import Iterator

from infra.problem import Problem
from tasks.corpus import Ingest
from tasks.source import Source
from tasks.utterance import Reject, Utterance

LISTS = {
    "train": ("train_nodev", "an4_train", "train"),
    "dev": ("train_dev", "an4_dev", "dev"),
    "test": ("an4_test", "test"),
}
LINE = re.compile(r"^(?P<text>.*?)\s*\((?P<id>[^()]*)\)\s*$")
MARKS = re.compile(r"</?s>|<sil>")
SUFFIXES = (".mfc", ".wav", ".sph", ".raw")


def utterances(source: Source, options: Ingest, splits: tuple[str, ...]) -> Iterator[Utterance | Reject]:
    roots = sorted({posixpath.dirname(name) for name in source.names(".fileids")})
    if not roots:
        raise Problem(f"corpus {source.uri}: no etc/*.fileids in it; is it AN4?")
    files = clips_by_id(source)
    for split in splits:
        found = next((n for n in LISTS[split] if posixpath.join(roots[0], f"{n}.fileids") in source.files), None)
        if found:
            made_of_whole = split == "train" and found == "an4_train" and options.own_splits
            yield from _rows(source, posixpath.join(roots[0], found), "" if made_of_whole else split, files)


def clips_by_id(source: Source) -> dict[str, str]:
    """`<speaker>/<utterance>` to its file, cepstra rather than sound."""
    found: dict[str, str] = {}
    for suffix in reversed(SUFFIXES):
        for name in source.names(suffix):
            found["/".join(name.removesuffix(suffix).split("/")[-2:])] = name
    return found


def _rows(source: Source, name: str, split: str, files: dict[str, str]) -> Iterator[Utterance | Reject]:
    texts = {}
    for line in source.lines(f"{name}.transcription"):
        if match := LINE.match(line):
            texts[match["id"]] = " ".join(MARKS.sub(" ", match["text"]).split())
    for line in source.lines(f"{name}.fileids"):
        path = line.strip()
        if not path:
            continue
        speaker, utterance = ("/" + path).rsplit("/", 2)[-2:]
        if utterance not in texts:
            yield Reject(split or "train", path, "read", "missing transcript", f"not in {name}.transcription")
            continue
        clip = files.get(f"{speaker}/{utterance}", f"{path}.mfc")
        yield Utterance(split=split, clips=(clip,), text=texts[utterance], speaker=speaker)
