"""yesno (OpenSLR 1): one speaker, eight words a recording, 1 for yes and 0 for no in the file's name.

https://www.openslr.org/1/. No official split: of the names in order the last sixth is test, the sixth before is dev.
"""

import posixpath
import re
from collections.abc import Iterator

from infra.problem import Problem
from tasks.corpus import Ingest
from tasks.source import Source
from tasks.utterance import Reject, Utterance

NAME = re.compile(r"[01](_[01])*\.wav$")
PART = 6


def utterances(source: Source, options: Ingest, splits: tuple[str, ...]) -> Iterator[Utterance | Reject]:
    del options  # one speaker: nothing to choose
    names = [name for name in source.names(".wav") if NAME.fullmatch(posixpath.basename(name))]
    if not names:
        raise Problem(f"corpus {source.uri}: no recordings named like 0_1_1_0_0_1_0_1.wav")
    part = max(1, len(names) // PART)
    held = {"test": names[-part:], "dev": names[-2 * part : -part], "train": names[: -2 * part]}
    for split in splits:
        for name in held[split]:
            digits = posixpath.basename(name).removesuffix(".wav").split("_")
            yield Utterance(split, (name,), " ".join("yes" if d == "1" else "no" for d in digits), "yesno")
