"""Free Spoken Digit Dataset: recordings/<digit>_<speaker>_<index>.wav, put together into strings of digits.

A string is of one speaker, with a random short pause before each digit. test: one speaker whom training never hears,
each recording once. dev: of the other speakers the recordings 0 to 4 of each digit, upstream's test set. train:
options.strings strings of the rest, drawn again and again.
"""

import random
import re
from collections import defaultdict
from collections.abc import Iterator

from infra.problem import Problem
from tasks.corpus import Ingest
from tasks.source import Source
from tasks.utterance import Utterance

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
NAME = re.compile(r"(?:^|/)([0-9])_([^/_]+)_([0-9]+)\.(?:wav|flac)$")
DEV_INDICES = 5  # upstream's test set: 0 to 4
LONGEST_PAUSE_MS = 250

Recording = tuple[int, str]  # digit, name of the clip


def utterances(source: Source, options: Ingest, splits: tuple[str, ...]) -> Iterator[Utterance]:
    """Raises Problem where the speaker to be held out is not there, and for own_splits."""
    if options.own_splits:
        raise Problem("fsdd divides by speaker and recording; leave ingest.own_splits off")
    if options.digits < 1:
        raise Problem("ingest.digits is 1 or more")
    train, dev, test = _divided(source, options.test_speaker)
    if "test" in splits:
        for speaker in sorted(test):
            yield from _once("test", speaker, test[speaker], options)
    if "dev" in splits:
        for speaker in sorted(dev):
            yield from _once("dev", speaker, dev[speaker], options)
    if "train" in splits and train:
        yield from _drawn(train, options)


Speakers = dict[str, list[Recording]]


def _divided(source: Source, test_speaker: str) -> tuple[Speakers, Speakers, Speakers]:
    """Train, dev and test: speaker to recordings. A single speaker is all test."""
    found: dict[str, list[tuple[int, int, str]]] = defaultdict(list)
    for name in source.names():
        if match := NAME.search(name):
            found[match[2]].append((int(match[1]), int(match[3]), name))
    if not found:
        raise Problem(f"{source.uri}: no recordings named <digit>_<speaker>_<index>.wav")
    if len(found) > 1 and test_speaker not in found:
        raise Problem(
            f"{source.uri}: no speaker {test_speaker!r}; ingest.test_speaker is one of {', '.join(sorted(found))}"
        )
    train, dev, test = defaultdict(list), defaultdict(list), defaultdict(list)
    for speaker, recordings in sorted(found.items()):
        for digit, index, name in sorted(recordings):
            if len(found) == 1 or speaker == test_speaker:
                test[speaker].append((digit, name))
            else:
                (dev if index < DEV_INDICES else train)[speaker].append((digit, name))
    return train, dev, test


def _once(split: str, speaker: str, recordings: list[Recording], options: Ingest) -> Iterator[Utterance]:
    """Strings that use each recording once."""
    lot = random.Random(f"{options.seed} {split} {speaker}")
    left = lot.sample(recordings, len(recordings))
    while left:
        size = lot.randint(1, options.digits)
        yield _string(split, speaker, left[:size], lot)
        left = left[size:]


def _drawn(speakers: Speakers, options: Ingest) -> Iterator[Utterance]:
    """options.strings strings, the speakers in turn; a speaker's recordings all come before one comes again."""
    lot = random.Random(f"{options.seed} train")
    names, left = sorted(speakers), dict[str, list[Recording]]()
    for number in range(options.strings):
        speaker = names[number % len(names)]
        size = lot.randint(1, options.digits)
        if len(left.get(speaker, ())) < size:
            left[speaker] = left.get(speaker, []) + lot.sample(speakers[speaker], len(speakers[speaker]))
        yield _string("train", speaker, left[speaker][:size], lot)
        left[speaker] = left[speaker][size:]


def _string(split: str, speaker: str, recordings: list[Recording], lot: random.Random) -> Utterance:
    pauses = tuple(lot.randint(0, LONGEST_PAUSE_MS) for _ in recordings)
    text = " ".join(WORDS[digit] for digit, _ in recordings)
    return Utterance(split, tuple(name for _, name in recordings), text, speaker, pauses_ms=pauses)
