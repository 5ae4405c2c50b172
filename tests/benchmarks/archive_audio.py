"""Recordings for tests/benchmarks/archive.py: of noise, and a mixed archive of speech with broken files in it."""

import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile
from scipy.signal import resample_poly

from tasks.corpora.readers.demo import VOICES, Espeak, sentences

RATE = 16000
RATES = (8000, 16000, 22050, 44100, 48000)
FORMATS = ("wav", "flac", "ogg", "mp3", "m4a")
HALVES = {"wav": {}, "flac": {}, "ogg": {}, "mp3": {}, "w64": {}, "opus": {"format": "OGG", "subtype": "OPUS"}}
BROKEN, EITHER = -1, -2  # not all of it is there to be read; it is all or is in the quarantine


def noise_archive(top: Path, seconds: list[float]) -> Path:
    """Noise that rises and falls as syllables do."""
    top.mkdir()
    for k, length in enumerate(seconds):
        drawn, size = np.random.default_rng(k), round(length * RATE)
        with soundfile.SoundFile(top / f"{k:05}.wav", "w", RATE, 1) as file:
            for begin in range(0, size, 60 * RATE):
                count = min(60 * RATE, size - begin)
                loud = np.interp(
                    np.arange(count), np.linspace(0, count, count // 1000 + 2), drawn.random(count // 1000 + 2)
                )
                file.write(0.3 * loud * drawn.standard_normal(count))
    return top


def mixed_archive(top: Path, count: int, hours: int) -> dict[str, int]:
    """Speech with pauses, `count` recordings of some seconds and `hours` of an hour, in all formats and rates, a third
    in stereo; and of each kind of broken file a twentieth as many. Of each path the frames to be accounted for: as
    another reader of it counts them, or BROKEN.
    """
    frames, made = dict[str, int](), speech()
    for k in range(count):
        rate, form = RATES[k % len(RATES)], FORMATS[k // len(RATES) % len(FORMATS)]
        path = top / f"{k // 50:02}" / f"recording {k}.{form}"
        write(path, next(made), rate, channels=1 + (k % 3 == 0))
        frames[str(path)] = counted(path)
    for k in range(hours):
        path = top / f"hour {k}.{('flac', 'wav', 'mp3')[k % 3]}"
        write(path, np.concatenate([next(made) for _ in range(360)]), RATES[-1 - k % len(RATES)])
        frames[str(path)] = counted(path)
    for kind, (content, suffix, whole) in broken(next(made)).items():
        for k in range(max(1, count // 20)):
            path = top / "broken" / f"{kind} {k}.{suffix}"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
            frames[str(path)] = whole
    return frames


def speech() -> Iterator[np.ndarray]:
    """Three sentences of the demo's held-out ones with pauses, about ten seconds at RATE."""
    espeak, random, texts = Espeak(), np.random.default_rng(0), sentences(0)["test"]
    while True:
        parts = list[np.ndarray]()
        for _ in range(3):
            said = espeak.say(texts[random.integers(len(texts))], VOICES["test"][random.integers(2)]) / 32768
            parts += [resample_poly(said, RATE, espeak.sample_rate), np.zeros(round(random.uniform(0.1, 3) * RATE))]
        yield np.concatenate(parts)


def write(path: Path, sound: np.ndarray, rate: int, channels: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    ratio = Fraction(rate, RATE)
    sound = np.clip(resample_poly(sound, ratio.numerator, ratio.denominator), -1, 1).astype(np.float32)
    sound = np.stack([sound] * channels, 1)
    if path.suffix != ".m4a":
        with soundfile.SoundFile(path, "w", rate, channels) as file:
            for begin in range(0, len(sound), rate):  # libvorbis takes no hour at once
                file.write(sound[begin : begin + rate])
        return
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=rate, layout=("mono", "stereo")[channels - 1])
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound.T), "fltp", ("mono", "stereo")[channels - 1])
        frame.sample_rate = rate
        container.mux([*stream.encode(frame), *stream.encode(None)])


def counted(path: Path) -> int:
    if path.suffix != ".m4a":
        return soundfile.info(path).frames
    with av.open(str(path)) as container:
        return sum(frame.samples for frame in container.decode(audio=0))


def broken(sound: np.ndarray) -> dict[str, tuple[bytes, str, int]]:
    """Of each kind its bytes, its suffix, and how many frames are to be accounted for all the same."""
    found = dict[str, tuple[bytes, str, int]]()
    for suffix, how in HALVES.items():
        data = encoded(sound, suffix, **how)
        found[f"half {suffix}"] = data[: len(data) // 2], suffix, BROKEN
    wav = encoded(sound, "wav")
    found["empty"] = b"", "wav", BROKEN
    found["header"] = wav[:44], "wav", BROKEN
    found["text"] = b"no sound at all\n" * 100, "wav", BROKEN
    found["random"] = np.random.default_rng(0).bytes(20000), "mp3", BROKEN
    found["huge"] = encoded(1e30 * sound, "wav", subtype="FLOAT"), "wav", BROKEN
    nan = sound.copy()
    nan[100] = np.nan
    found["nan"] = encoded(nan, "wav", subtype="FLOAT"), "wav", BROKEN
    for name, size in {"streamed": 0x7FFFF000, "streamed zero": 0}.items():
        sizes = size.to_bytes(4, "little")
        found[name] = wav[:4] + sizes + wav[8:40] + sizes + wav[44:], "wav", len(sound)
    mp3 = encoded(sound, "mp3")
    found["joined"] = mp3 + mp3, "mp3", EITHER
    return found


def encoded(sound: np.ndarray, suffix: str, **how: Any) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"x.{suffix}")
        soundfile.write(path, sound, RATE, **how)
        return path.read_bytes()
