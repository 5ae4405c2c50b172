"""An hour of spoken sentences with pauses between, against the same sentences one by one: what cutting costs in words.

    python -m tests.benchmarks.seams MODEL [SECONDS [PYTHON]]

MODEL: NAME@ALIAS or the path of a bundle, of the recipe deep_speech_2_demo. The sentences and voices are those of the
demo corpus that no training has; the pauses, of 0.1 to 3 s, are zeros or faint noise. PYTHON: of an environment
with faster-whisper, such as .venv-peers/bin/python, which then reads the same recording on one thread too.
"""

import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jiwer
import numpy as np
import soundfile
import torch

from flows.shared.transcription_plan import load_transcriber
from tasks.audio.live_audio_input import AudioInput
from tasks.corpora.corpus_uri import IngestConfig
from tasks.corpora.readers.demo import VOICES, Espeak, sentences
from tasks.transcription.coverage import check_coverage

PAUSES = (0.1, 3.0)  # seconds
NOISE = 3e-4  # standard deviation where a full scale is 1
WAYS = ("silero", "webrtc", "none")


def speak(seconds: float) -> tuple[list[str], list[np.ndarray], list[np.ndarray], int]:
    """Texts, their sound, the pause after each, and the rate."""
    espeak, random, parts = Espeak(), np.random.default_rng(0), sentences(IngestConfig().seed)
    texts, voices, rate = parts["test"] + parts["dev"], VOICES["test"] + VOICES["dev"], espeak.sample_rate
    said, clips, pauses, length = list[str](), list[np.ndarray](), list[np.ndarray](), 0
    while length < seconds * rate:
        text, voice = texts[random.integers(len(texts))], voices[random.integers(len(voices))]
        said.append(text)
        clips.append(espeak.say(text, voice).astype(np.float32) / 32768)
        pauses.append(np.zeros(round(random.uniform(*PAUSES) * rate), np.float32))
        length += len(clips[-1]) + len(pauses[-1])
    return said, clips, pauses, rate


def main(model: str, seconds: float, peer: str = "") -> None:
    torch.set_num_threads(1)
    texts, clips, pauses, rate = speak(seconds)
    whole = np.concatenate([part for pair in zip(clips, pauses, strict=True) for part in pair])
    noise = NOISE * np.random.default_rng(1).standard_normal(len(whole)).astype(np.float32)
    print(f"{len(texts)} sentences in {len(whole) / rate:.0f} s", flush=True)
    for way in ("none", "silero"):
        found = load_transcriber(model, [f"vad.kind={way}"])([AudioInput(clip, rate) for clip in clips])
        report("one by one", way, texts, [one.text for one in found])
    with tempfile.TemporaryDirectory(prefix="scriptorium-bench-") as folder:
        for pause, sound in {"zeros": whole, "noise": whole + noise}.items():
            path = Path(folder, f"{pause}.wav")
            soundfile.write(path, sound, rate)
            for way in WAYS:
                transcriber, begun = load_transcriber(model, [f"vad.kind={way}"]), time.process_time()
                (found,) = transcriber([path])
                speed = len(whole) / rate / (time.process_time() - begun)
                check_coverage(found.coverage, len(whole))
                report(f"pauses of {pause}", way, [" ".join(texts)], [found.text], f"{speed:6.0f} s of sound a second")
        if peer:
            read_by_whisper(peer, Path(folder, "noise.wav"), [" ".join(texts)], len(whole) / rate)


def read_by_whisper(python: str, path: Path, texts: list[str], seconds: float) -> None:
    program = Path(__file__).with_name("whisper_peer.py")
    done = subprocess.run([python, str(program), str(path)], check=True, capture_output=True, text=True)
    for line in done.stdout.splitlines():
        told = json.loads(line)
        words = " ".join(re.findall("[a-z']+", told["text"].lower()))
        speed = f"{seconds / told['seconds']:6.0f} s of sound a second"
        report("faster-whisper", f"beam {told['beam']}", texts, [words], speed)


def report(what: str, way: str, texts: list[str], found: list[str], more: str = "") -> None:
    score = jiwer.process_words(texts, found)
    errors = f"S {score.substitutions} D {score.deletions} I {score.insertions}"
    print(f"{what:<16}{way:<8}{100 * score.wer:6.2f} %  {errors:<20}{more}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 3600.0, *sys.argv[3:])
