"""A corpus made on the spot: spoken commands of a small grammar, in the layout of Common Voice.

Speech by eSpeak NG in a process of its own (the same process gives the same samples only from its start). A voice is
a way of speaking English, a timbre, a speed and a pitch; dev and test have voices and sentences that train never has.

    python -m tasks.ingest.demo FOLDER         makes the files; ingest calls it
"""

import ctypes
import hashlib
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from infra.problem import Problem
from tasks.corpus import Ingest
from tasks.ingest import commonvoice
from tasks.source import Source
from tasks.utterance import Reject, Utterance

SAMPLE_RATE, SPOKEN_RATE = 16000, 22050  # of the clips, and of eSpeak
UTTERANCES = {"train": 660, "dev": 60, "test": 100}
MP3_EVERY = 20  # clips: writing mp3 is slow
SEED = 20

Voice = tuple[str, int, int]  # eSpeak's name, words a minute, pitch
VOICES: dict[str, list[Voice]] = {
    "train": [
        ("en-us", 165, 45),
        ("en-us+f2", 170, 55),
        ("en-us+m3", 155, 40),
        ("en-us+f4", 160, 50),
        ("en-us+m7", 175, 50),
        ("en+m1", 160, 55),
        ("en+f1", 155, 60),
        ("en+m4", 170, 35),
        ("en+f3", 165, 45),
        ("en-gb-scotland+m2", 165, 45),
        ("en-gb-scotland+f2", 160, 55),
        ("en-us+m5", 150, 50),
    ],
    "dev": [("en-us+f1", 160, 50), ("en+m3", 165, 45)],
    "test": [("en-us+m1", 160, 50), ("en+f2", 165, 50), ("en-us+f3", 155, 55)],
}

NUMBERS = "one two three four five six seven eight nine ten eleven twelve twenty thirty forty fifty".split()
ROOMS = "kitchen bedroom hall garden office garage".split()
DEVICES = "light heater fan radio door window".split()
PEOPLE = "anna peter maria david susan robert".split()
DAYS = "monday tuesday wednesday thursday friday saturday sunday".split()
GRAMMAR = (
    (("turn", "switch"), ("on", "off"), ("the",), ROOMS, DEVICES),
    (("open", "close"), ("the",), ROOMS, ("door", "window")),
    (("set", "move"), ("the alarm",), ("to", "for"), NUMBERS, NUMBERS, ("on", "every"), DAYS),
    (("call", "remind", "write to"), PEOPLE, ("on",), DAYS, ("at",), NUMBERS),
    (("play", "stop"), ("song", "station"), ("number",), NUMBERS, ("in the",), ROOMS),
    (("add", "remove"), NUMBERS, ("and", "or"), NUMBERS, ("to", "from"), ("the list",)),
)


def utterances(source: Source, options: Ingest, splits: tuple[str, ...]) -> Iterator[Utterance | Reject]:
    return commonvoice.utterances(source, options, splits)


def generate(folder: Path, options: Ingest) -> None:  # noqa: ARG001
    """Fill the folder. Raises Problem where eSpeak NG is not installed or does not run."""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "tasks.ingest.demo", str(folder)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines()[-1:] or ["no message"]
        hint = "the demo corpus needs eSpeak NG: pip install 'scriptorium[demo]'"
        raise Problem(hint if "espeakng_loader" in said[0] else f"eSpeak NG does not run ({said[0]}); {hint}")


def sentences() -> dict[str, list[str]]:
    """Sentences of each split, all different; every word of dev and test is also in train."""
    lot, seen, found = random.Random(SEED), set[str](), {}
    for split, count in UTTERANCES.items():
        found[split] = []
        while len(found[split]) < count:
            pattern = lot.choice(GRAMMAR)  # by lot: a small pattern runs out of new sentences
            sentence = " ".join(lot.choice(words) for words in pattern)
            if sentence not in seen:
                seen.add(sentence)
                found[split].append(sentence)
    return found


class Speech:
    """eSpeak NG through its C interface."""

    RATE, PITCH, UTF8, SYNCHRONOUS = 1, 3, 1, 2

    def __init__(self) -> None:
        import espeakng_loader  # noqa: PLC0415  (an extra)

        self.library = ctypes.CDLL(espeakng_loader.get_library_path())
        data = espeakng_loader.get_data_path().encode()
        if self.library.espeak_Initialize(self.SYNCHRONOUS, 0, data, 0) != SPOKEN_RATE:
            raise RuntimeError("eSpeak NG does not start")
        self.parts: list[np.ndarray] = []
        kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
        self.callback = kind(self._receive)  # kept here: C does not hold on to it
        self.library.espeak_SetSynthCallback(self.callback)

    def say(self, sentence: str, voice: Voice) -> np.ndarray:
        """Float32 samples (N,) at SAMPLE_RATE."""
        name, rate, pitch = voice
        if self.library.espeak_SetVoiceByName(name.encode()):
            raise RuntimeError(f"eSpeak NG has no voice {name}")
        self.library.espeak_SetParameter(self.RATE, rate, 0)
        self.library.espeak_SetParameter(self.PITCH, pitch, 0)
        self.parts.clear()
        text = sentence.encode()
        self.library.espeak_Synth(text, len(text) + 1, 0, 0, 0, self.UTF8, None, None)
        return resampled(np.concatenate(self.parts).astype(np.float32) / 32768)

    def _receive(self, samples: "ctypes._Pointer[ctypes.c_short]", count: int, events: int | None) -> int:  # noqa: ARG002
        if samples and count:
            self.parts.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0


def resampled(wave: np.ndarray) -> np.ndarray:
    """From 22,050 to 16,000 Hz by cutting the spectrum: exact for a wave that begins and ends in silence."""
    blocks = -(-len(wave) // 441)
    spectrum = np.fft.rfft(wave, blocks * 441)
    return np.fft.irfft(spectrum[: blocks * 160 + 1], blocks * 320).astype(np.float32) * (320 / 441)


def main(folder: Path) -> None:
    speech, number = Speech(), 0
    (folder / "clips").mkdir(parents=True)
    for split, texts in sentences().items():
        lines = ["client_id\tpath\tsentence\tup_votes\tdown_votes\tage\tgender\taccents\tvariant\tlocale\tsegment"]
        for i, sentence in enumerate(texts):
            voice = VOICES[split][i * 7 % len(VOICES[split])]  # 7: no voice keeps to one pattern of the grammar
            extension = "mp3" if number % MP3_EVERY == 0 else "wav"
            path = f"demo_en_{number:05d}.{extension}"
            subtype = {"mp3": "MPEG_LAYER_III", "wav": "PCM_16"}[extension]
            soundfile.write(folder / "clips" / path, speech.say(sentence, voice), SAMPLE_RATE, subtype)
            speaker = hashlib.sha256(repr(voice).encode()).hexdigest()
            lines.append(f"{speaker}\t{path}\t{sentence}\t2\t0\t\t\t{voice[0]}\t\ten\t")
            number += 1
        (folder / f"{split}.tsv").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
