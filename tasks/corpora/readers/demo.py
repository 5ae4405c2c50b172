"""The demo corpus: commands of a small grammar, spoken by eSpeak NG in fourteen voices, laid out as Common Voice.

Dev and test have sentences and voices that training never has. eSpeak's noise goes on from one utterance to the next,
so the corpus is made in a process of its own, with the noise seeded: the same bytes every time.
"""

import ctypes
import itertools
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from infra.errors import UserError
from tasks.corpora.corpus_files import CorpusFiles
from tasks.corpora.corpus_uri import IngestConfig
from tasks.corpora.readers import commonvoice
from tasks.corpora.utterance import Reject, Utterance

SIZES = {"train": 720, "dev": 80, "test": 120}
MP3_EACH = 16  # every so manieth clip is an mp3; writing them is slow
VERBS = ("open", "close", "clean", "paint", "move", "find")
COLORS = ("red", "green", "blue", "yellow", "white", "black")
THINGS = ("door", "window", "table", "lamp", "box", "garden gate")
PLACES = ("in the kitchen", "in the office", "near the river", "behind the house", "", "")
TIMES = ("now", "tomorrow", "at seven", "at five", "on monday", "")


@dataclass(frozen=True)
class SpeechVoice:
    """An eSpeak voice with its variant, words a minute and pitch (0 to 99)."""

    name: str
    rate: int
    pitch: int


VOICES = {
    "train": (
        SpeechVoice("en-us", 160, 50),
        SpeechVoice("en-us+m1", 150, 40),
        SpeechVoice("en-us+f2", 170, 60),
        SpeechVoice("en-us+m3", 175, 30),
        SpeechVoice("en-us+f4", 155, 70),
        SpeechVoice("en+m2", 165, 45),
        SpeechVoice("en+f1", 160, 55),
        SpeechVoice("en+m5", 180, 35),
        SpeechVoice("en+f3", 150, 65),
        SpeechVoice("en-us+m7", 165, 55),
    ),
    "dev": (SpeechVoice("en-us+m4", 160, 45), SpeechVoice("en+f2", 165, 50)),
    "test": (SpeechVoice("en-us+m6", 165, 42), SpeechVoice("en-us+f1", 155, 58)),
}
RETRIEVAL, UTF8, RATE, PITCH = 1, 1, 1, 3  # constants of espeak-ng/speak_lib.h
Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


def utterances(source: CorpusFiles, options: IngestConfig, splits: tuple[str, ...]) -> Iterator[Utterance | Reject]:
    """The rows of the generated tables; own_splits is honored as for any Common Voice."""
    yield from commonvoice.utterances(source, options, splits)


def generate(folder: Path, options: IngestConfig) -> None:
    """Fill the folder with the corpus."""
    try:
        import espeakng_loader  # noqa: F401  (only whether it is there)
    except ImportError as error:
        raise UserError("the demo corpus needs espeakng-loader: pip install 'scriptorium[demo]'") from error
    done = subprocess.run(
        [sys.executable, "-m", "tasks.corpora.readers.demo", str(folder), str(options.seed)],
        cwd=Path(__file__).parents[2],
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise UserError(f"the demo corpus could not be spoken: {done.stderr.strip().splitlines()[-1:]}")


def sentences(seed: int) -> dict[str, list[str]]:
    """For each split its sentences, no sentence in two of them."""
    every = [
        " ".join(word for word in (verb, "the", color, thing, place, time) if word)
        for verb, color, thing, place, time in itertools.product(VERBS, COLORS, THINGS, word_set(PLACES), TIMES)
    ]
    order = np.random.default_rng(seed).permutation(len(every))
    parts = np.split(order, np.cumsum(list(SIZES.values())))
    return {split: [every[i] for i in part] for split, part in zip(SIZES, parts, strict=False)}


def word_set(words: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(words))


class Espeak:
    """eSpeak NG through its C interface."""

    def __init__(self) -> None:
        import espeakng_loader

        self.library = ctypes.CDLL(espeakng_loader.get_library_path())
        data = str(espeakng_loader.get_data_path()).encode()
        self.sample_rate = self.library.espeak_Initialize(RETRIEVAL, 0, data, 0)
        self.library.espeak_ng_SetRandSeed(ctypes.c_long(1))  # by the clock otherwise, and breathy voices draw from it
        self.heard: list[np.ndarray] = []
        self.callback = Callback(self._hear)  # kept: C holds only a pointer
        self.library.espeak_SetSynthCallback(self.callback)

    def say(self, text: str, voice: SpeechVoice) -> np.ndarray:
        """16-bit samples."""
        self.heard.clear()
        if self.library.espeak_SetVoiceByName(voice.name.encode()):
            raise RuntimeError(f"eSpeak has no voice {voice.name}")
        self.library.espeak_SetParameter(RATE, voice.rate, 0)
        self.library.espeak_SetParameter(PITCH, voice.pitch, 0)
        content = text.encode()
        self.library.espeak_Synth(content, len(content) + 1, 0, 1, 0, UTF8, None, None)
        self.library.espeak_Synchronize()
        return np.concatenate(self.heard)

    def _hear(self, samples: "ctypes._Pointer[ctypes.c_short]", count: int, _: int | None) -> int:
        if samples and count > 0:
            self.heard.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0


def main(folder: Path, seed: int) -> None:
    espeak = Espeak()
    (folder / "clips").mkdir(parents=True)
    number = 0
    for split, texts in sentences(seed).items():
        lines = ["client_id\tpath\tsentence\tup_votes\tdown_votes\tage\tgender\taccents\tlocale\tsegment"]
        for i, text in enumerate(texts):
            voice = VOICES[split][i % len(VOICES[split])]
            suffix = "mp3" if number % MP3_EACH == 0 else "wav"
            path = f"demo_en_{number:05}.{suffix}"
            soundfile.write(folder / "clips" / path, espeak.say(text, voice), espeak.sample_rate)
            lines.append(f"{voice.name}\t{path}\t{text.capitalize()}.\t2\t0\t\t\t\ten\t")
            number += 1
        (folder / f"{split}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
