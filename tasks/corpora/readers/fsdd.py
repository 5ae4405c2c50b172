"""Free Spoken Digit Dataset: connected digits of one speaker, put together with pauses by a seed; or single digits.

https://github.com/Jakobovski/free-spoken-digit-dataset, recordings/{digit}_{speaker}_{index}.wav. Test is every
recording of `options.test_speaker`, each once; train and dev are the other speakers', dev their recordings 0 to 4
(upstream's test), which train never has. Where the corpus holds one speaker alone, that speaker is the test split.
"""

import posixpath
import re
from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from infra.errors import UserError
from tasks.corpora.corpus_files import CorpusFiles
from tasks.corpora.corpus_uri import IngestConfig
from tasks.corpora.utterance import Reject, Utterance

NAME = re.compile(r"(?P<digit>\d)_(?P<speaker>[^_/]+)_(?P<index>\d+)\.wav$")
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
HELD_OUT = 5  # recordings 0 to 4 of each digit
PAUSE_MS = (40, 260)
NAMED = "name of the clip"

Recording = tuple[int, str]  # the digit and its file


def utterances(source: CorpusFiles, options: IngestConfig, splits: tuple[str, ...]) -> Iterator[Utterance | Reject]:
    if options.digits < 1:
        raise UserError("fsdd: strings have one digit or more; see ingest.digits")
    test, recordings = split_speakers(source, options)
    others = sorted(recordings.keys() - {test})
    for split in splits:
        if split == "test":
            yield from _once(test, [r for _, r in recordings[test]], "test", options)
        for speaker in others if split in {"train", "dev"} else ():
            held_out = split == "dev"
            mine = [r for index, r in recordings[speaker] if (index < HELD_OUT) == held_out]
            if held_out:
                yield from _once(speaker, mine, "dev", options)
            else:
                yield from _strings(speaker, mine, "train", (options, options.strings // len(others)))


def labeled(source: CorpusFiles, options: IngestConfig, splits: tuple[str, ...]) -> Iterator[Utterance | Reject]:
    """Every recording alone; its label is the digit's word."""
    if (options.digits, options.strings) != (IngestConfig.digits, IngestConfig.strings):
        raise UserError("fsdd: each labeled recording stands alone; leave ingest.digits and ingest.strings as they are")
    test, recordings = split_speakers(source, options)
    others = sorted(recordings.keys() - {test})
    for split in splits:
        for speaker in [test] if split == "test" else others:
            for index, (digit, name) in recordings[speaker]:
                if split == "test" or (index < HELD_OUT) == (split == "dev"):
                    yield Utterance(split, (name,), WORDS[digit], speaker, speaker_from=NAMED, split_from=NAMED)


def split_speakers(source: CorpusFiles, options: IngestConfig) -> tuple[str, dict[str, list[tuple[int, Recording]]]]:
    """Who is the test split, and everybody's recordings. Raises UserError where nobody can be."""
    if options.own_splits:
        raise UserError("fsdd: always its own splits; leave ingest.own_splits off")
    recordings = group_by_speaker(source)
    if not recordings:
        raise UserError(f"corpus {source.uri}: no recordings named {{digit}}_{{speaker}}_{{index}}.wav")
    if options.test_speaker not in recordings and len(recordings) > 1:
        raise UserError(f"ingest.test_speaker={options.test_speaker}: there are {', '.join(sorted(recordings))}")
    return (options.test_speaker if len(recordings) > 1 else next(iter(recordings))), recordings


def group_by_speaker(source: CorpusFiles) -> dict[str, list[tuple[int, Recording]]]:
    """For each speaker (index, recording), in the order of their names."""
    found: defaultdict[str, list[tuple[int, Recording]]] = defaultdict(list)
    for name in source.names(".wav"):
        if match := NAME.search(posixpath.basename(name)):
            found[match["speaker"]].append((int(match["index"]), (int(match["digit"]), name)))
    return dict(found)


def _once(speaker: str, recordings: list[Recording], split: str, options: IngestConfig) -> Iterator[Utterance]:
    """Strings that use every recording once."""
    random = np.random.default_rng([options.seed, *f"{split} {speaker}".encode()])
    left = [recordings[i] for i in random.permutation(len(recordings))]
    while left:
        length = int(random.integers(1, options.digits + 1))
        yield _joined(speaker, left[:length], split, random)
        left = left[length:]


def _strings(
    speaker: str, recordings: list[Recording], split: str, how: tuple[IngestConfig, int]
) -> Iterator[Utterance]:
    """A number of different strings, every recording about equally often."""
    options, count = how
    random = np.random.default_rng([options.seed, *f"{split} {speaker}".encode()])
    left: list[Recording] = []
    seen: set[str] = set()
    while recordings and len(seen) < count:
        length = int(random.integers(1, options.digits + 1))
        if len(left) < length:
            left += [recordings[i] for i in random.permutation(len(recordings))]
        made = _joined(speaker, left[:length], split, random)
        left = left[length:]
        if made.source not in seen:
            seen.add(made.source)
            yield made


def _joined(speaker: str, recordings: list[Recording], split: str, random: np.random.Generator) -> Utterance:
    pauses = (0, *(int(p) for p in random.integers(*PAUSE_MS, len(recordings) - 1)))
    return Utterance(
        split=split,
        clips=tuple(name for _, name in recordings),
        text=" ".join(WORDS[digit] for digit, _ in recordings),
        speaker=speaker,
        pauses_ms=pauses if len(recordings) > 1 else (),
        split_from=NAMED,
        speaker_from=NAMED,
    )
