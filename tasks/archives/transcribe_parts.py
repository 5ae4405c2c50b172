"""Recordings as the job of an archive: read and cut into windows on CPUs, decoded by a recognizer in actors."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from infra import storage
from infra.artifact_store import Artifact
from infra.errors import UserError
from tasks.archives.archive_job import JobBatch, ReadPart
from tasks.archives.output_store import PartResult
from tasks.archives.transcript_tables import FileTranscript, build_tables
from tasks.archives.work_list import Part, WorkItem, readable
from tasks.audio.bad_clip import BadClip
from tasks.audio.read_recording import decode_recording
from tasks.batches.batch_sampler import bucket_by_length
from tasks.bundles.model_bundle import load_bundle, load_in_actor
from tasks.transcription.transcribe_audio import Reading, Transcriber, TranscriptionConfig, _segment
from tasks.transcription.transcript import Alternative, Transcript, Word
from tasks.transcription.windows import Span

POOL = 8  # batches' frames among which windows of similar length are looked for
MIX = "mix"


class Window(NamedTuple):
    """file: its number in the part. frames: (T, D) float16, of so many seconds."""

    file: int
    number: int
    frames: np.ndarray
    seconds: float


@dataclass(frozen=True, kw_only=True)
class TranscriptionJob:
    """formats: of ARCHIVE_FORMATS. decoding: digest of the config."""

    bundle: Artifact
    config: TranscriptionConfig
    formats: tuple[str, ...]
    decoding: str

    def read(self, part: Part) -> Iterator[JobBatch | ReadPart]:
        """Batches of windows, made among those of some minutes of sound, whatever files they are of."""
        transcriber, files, pool = _reader(self.bundle, self.config), list[dict[str, Any]](), list[Window]()
        held, limit, killers = 0, POOL * self.config.batching.frames_per_batch, dict(part.killers)
        for number, item in enumerate(part.items):
            told: dict[str, Any] = {}
            files.append(told)
            for window in read_windows(item, transcriber, told, killers.get(number, "")):
                pool.append(window._replace(file=number))
                held += len(window.frames)
                if held >= limit:
                    yield from self._batches(pool)
                    held, pool = 0, []
            if part.apart:
                yield from self._batches(pool)
                held, pool = 0, []
        yield from self._batches(pool)
        yield ReadPart(files, sum(told.get("seconds", 0.0) for told in files))

    def _batches(self, pool: Sequence[Window]) -> Iterator[JobBatch]:
        lengths = np.array([len(window.frames) for window in pool], int)
        for rows in bucket_by_length(lengths, self.config.batching):
            some = [pool[row] for row in rows]
            told = [[window.file, window.number, *window.frames.shape] for window in some]
            data = b"".join(np.ascontiguousarray(window.frames, np.float16).tobytes() for window in some)
            yield JobBatch(told, data, sum(window.seconds for window in some))

    def load(self) -> Callable[[JobBatch], Any]:
        transcriber = Transcriber(load_in_actor(self.bundle)[0], self.config)

        def decode(batch: JobBatch) -> Any:
            sizes = [height * width for _, _, height, width in batch.told]
            flat = np.split(np.frombuffer(batch.data, np.float16), np.cumsum(sizes)[:-1])
            frames = [part.reshape(shape) for part, (_, _, *shape) in zip(flat, batch.told, strict=True)]
            found = transcriber.decode(frames)
            return [
                [file, number, _told(reading)] for (file, number, *_), reading in zip(batch.told, found, strict=True)
            ]

        return decode

    def assemble(self, part: Part, told: Any, found: Sequence[Any]) -> PartResult:
        readings = [dict[int, Reading]() for _ in part.items]
        for batch in found:
            for file, number, reading in batch:
                readings[file][number] = _reading(reading)
        files = [_file(*one) for one in zip(part.items, told, readings, strict=True)]
        digests = {"model": self.bundle.digest, "decoding": self.decoding}
        return build_tables(files, digests, self.formats)


@lru_cache(1)
def _reader(bundle: Artifact, config: TranscriptionConfig) -> Transcriber:
    """One a process: a task begins anew for each part."""
    return Transcriber(load_bundle(bundle), config)


def read_windows(item: WorkItem, transcriber: Transcriber, told: dict[str, Any], killer: str) -> Iterator[Window]:
    """The windows of one recording, whose number in the part is set by who asks; told: filled with what is known of it.

    What is wrong with the file is told, not raised.
    """
    told |= {"status": "quarantined", "stage": "list", "reason": item.problem, "detail": ""}
    if killer:
        told |= {"stage": "decode", "reason": "kills its worker", "detail": killer}
    if item.problem or killer:
        return
    told["stage"] = "read"
    try:
        data = read_unchanged(item)
        told["sha256"] = hashlib.sha256(data).hexdigest()
        recording = decode_recording(item.file, data)
        spans, speech = transcriber.plan(recording)
        windows = [window for several in speech for window in several]
        frames = [transcriber.features(recording, window) for window in windows]
    except BadClip as bad:
        told |= {"reason": bad.reason, "detail": bad.detail}
        return
    except UserError as problem:
        cause = problem.__cause__
        bad = cause if isinstance(cause, BadClip) else None
        line = str(problem).removeprefix(f"{item.file}: ")
        told |= {"reason": bad.reason if bad else line.partition(" (")[0], "detail": bad.detail if bad else line}
        return
    told |= {
        "status": "transcribed",
        "rate": recording.rate,
        "frames": len(recording.samples),
        "seconds": recording.seconds,
        "spans": [list(span) for span in spans],
        "speech": [[[window.begin, window.end] for window in windows] for windows in speech],
    }
    for number, (window, made) in enumerate(zip(windows, frames, strict=True)):
        yield Window(0, number, made, (window.end - window.begin) / recording.rate)


def read_unchanged(item: WorkItem) -> bytes:
    """The file's bytes, read once. Raises BadClip where it is not what it was when it was listed."""
    try:
        data = storage.read(item.place, max(item.offset, 0), item.size)
        entry = storage.stat(item.place)
    except OSError as error:
        gone = isinstance(error, FileNotFoundError)
        reason = "gone since it was listed" if gone else "cannot be read"
        raise BadClip(reason, error.strerror or str(error)) from error
    of_place = item.offset < 0 or item.file.startswith(readable(item.place))  # not of a piece of what was packed
    if len(data) != item.size or not entry or (of_place and entry.version != item.version):
        now = f"{entry.size} bytes" if entry else "gone"
        raise BadClip("changed since it was listed", f"{item.size} bytes then, {now} now; the next run takes it up")
    return data


def _told(reading: Reading) -> Any:
    return [[list(word) for word in reading.words], [list(one) for one in reading.n_best], reading.truncated]


def _reading(told: Any) -> Reading:
    words, n_best, truncated = told
    return Reading(tuple(Word(*word) for word in words), tuple(Alternative(*one) for one in n_best), truncated)


def _file(item: WorkItem, told: dict[str, Any], readings: dict[int, Reading]) -> FileTranscript:
    row = {"file": item.file, "name": item.name, "size": item.size, "version": item.version, "channels": 0} | told
    if told["status"] == "quarantined":
        return FileTranscript(row, {}, {})
    found = iter(readings[number] for number in sorted(readings))
    speech = [[Span(*window) for window in windows] for windows in told["speech"]]
    segments = tuple(_segment(windows, found, told["rate"]) for windows in speech)
    spans = tuple(Span(*span) for span in told["spans"])
    transcript = Transcript(segments=segments, spans=spans, seconds=told["seconds"], rate=told["rate"])
    flags = {
        (MIX, number): [name for name, holds in (("truncated", s.truncated), ("no text", not s.words)) if holds]
        for number, s in enumerate(segments)
    }
    return FileTranscript(row | {"channels": 1}, {MIX: transcript}, flags)
