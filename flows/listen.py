"""A trained recognizer listens: words are written while they are heard, and at the end how long they took.

python -m flows.listen --model asr@champion recording.flac
arecord -q -t raw -f S16_LE -r 16000 -c 1 | python -m flows.listen --model asr@champion -

On - come bare samples: 16 bits, little-endian, one channel, at --rate. The text is that of a greedy search of the whole
(`flows.evaluate --set beam.width=1`, without language model). Where the model reads forward, each word is final as it
is written; where it needs the whole utterance, it reads again what it has heard until the recording ends. Words go to
standard output, all else to standard error. Ctrl-C ends the listening, as the end of the recording does: what was said
until then is written out. A second one ends it at once.
"""

import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile

import numpy as np
import torch

from flows.command_line.parsers import PARSERS
from flows.shared.evaluation_plan import require_recognizer
from infra.errors import one_line_errors
from infra.keyboard_interrupt import Interrupt, note_interrupt
from models.interface import Beam
from tasks.audio.live_audio_input import pcm_chunks, read_audio_input
from tasks.bundles.find_model import find_model
from tasks.bundles.model_bundle import Bundle, load_bundle
from tasks.decoding.live_transcript import JsonLinesWriter, TerminalWriter, TextWriter, TranscriptWriter
from tasks.decoding.streaming_recognizer import make_recognizer, transcribe_stream


@dataclass(frozen=True, kw_only=True)
class AudioSource:
    """file: a path or s3://, - for standard input. rate: of its samples there. chunk_ms: how much comes at a time."""

    file: str
    rate: int = 16000
    chunk_ms: int = 200

    def open(self, interrupt: Interrupt) -> tuple[Iterator[np.ndarray], int, str]:
        """The chunks until Ctrl-C, their sample rate, and what is to be said of them."""
        if self.file == "-":
            return pcm_chunks(sys.stdin.buffer, self.rate, self.chunk_ms, interrupt), self.rate, ""
        recording = read_audio_input(self.file)
        chunks = takewhile(lambda _: not interrupt.seen, recording.chunks(self.chunk_ms))
        return chunks, recording.rate, recording.said


def transcribe(model: str, place: AudioSource, captions: TranscriptWriter, most_tokens: int) -> None:
    """Write to the captions, and what is to be said about it to standard error. most_tokens: 0 for no limit."""
    torch.set_num_threads(1)  # a chunk is too small to share
    bundle = load_bundle(require_recognizer(find_model(model), model))
    with note_interrupt() as interrupt:
        listen(model, bundle, place.open(interrupt), captions, most_tokens)


def listen(
    model: str, bundle: Bundle, sound: tuple[Iterator[np.ndarray], int, str], captions: TranscriptWriter, most: int
) -> None:
    chunks, rate, said = sound
    if bundle.front_end.kind != "given" and rate != bundle.front_end.sample_rate:
        said = "; ".join(filter(None, (said, f"resampled from {rate} to {bundle.front_end.sample_rate} Hz")))
    beam = Beam(width=1, max_length=most)
    ear = make_recognizer(bundle, rate, beam)
    print_note(f"{model}: {ear.said}" + (f" ({said})" if said else ""))
    try:
        delays = transcribe_stream(ear, chunks, rate, captions.show)
    finally:
        captions.close()
    if delays.truncated:
        hint = "raise --max-length" if most else "more than anybody speaks in that time"
        print_note(f"after {delays.tokens} tokens nothing more was written: {hint}")
    print_note(str(delays))


def print_note(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def make_writer(*, as_json: bool) -> TranscriptWriter:
    if as_json:
        return JsonLinesWriter(sys.stdout)
    return (
        TerminalWriter(sys.stdout, shutil.get_terminal_size().columns)
        if sys.stdout.isatty()
        else TextWriter(sys.stdout)
    )


def main() -> None:
    parser = PARSERS["flows.listen"]()
    given = parser.parse_args()
    if min(given.rate, given.chunk_ms, given.max_length + 1) < 1:
        parser.error("--rate and --chunk-ms are at least 1, --max-length is not negative")
    with one_line_errors():
        place = AudioSource(file=given.file, rate=given.rate, chunk_ms=given.chunk_ms)
        transcribe(given.model, place, make_writer(as_json=given.json), given.max_length)


if __name__ == "__main__":
    main()
