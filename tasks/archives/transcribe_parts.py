"""Recordings as the job of an archive: read and cut into windows on CPUs, decoded by a recognizer in actors."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from infra import storage
from infra.artifact_store import Artifact
from infra.errors import UserError
from tasks.archives.archive_job import JobBatch, ReadPart
from tasks.archives.item_file import check_unchanged, split_reason
from tasks.archives.output_store import PartResult
from tasks.archives.transcript_tables import FileTranscript, build_tables
from tasks.archives.work_list import Part, WorkItem
from tasks.audio.audio_blocks import open_audio
from tasks.batches.batch_sampler import bucket_by_length
from tasks.bundles.model_bundle import bundle_front_end, load_in_actor
from tasks.features.front_end import FrontEnd
from tasks.transcription.assemble_transcript import Reading, WindowReading, assemble_transcript
from tasks.transcription.coverage import Interval, RecordingSummary
from tasks.transcription.stream_windows import Window, WindowStream
from tasks.transcription.transcribe_audio import Transcriber, TranscriptionConfig
from tasks.transcription.transcript import Alternative, Word

COPIED_BYTES = 16 << 20  # of a member at a time, and more of one is not held in memory
POOL = 8  # batches' frames among which windows of similar length are looked for


class PooledWindow(NamedTuple):
    """file, number: of the file in the part, and of the window in the file."""

    file: int
    number: int
    window: Window


@dataclass(frozen=True, kw_only=True)
class TranscriptionJob:
    """formats: of ARCHIVE_FORMATS. decoding: digest of the config."""

    bundle: Artifact
    config: TranscriptionConfig
    formats: tuple[str, ...]
    decoding: str

    def read(self, part: Part) -> Iterator[JobBatch | ReadPart]:
        """Batches of windows, made among those of some minutes of sound, whatever files they are of."""
        front_end, files, pool = bundle_front_end(self.bundle), list[dict[str, Any]](), list[PooledWindow]()
        assert front_end is not None, "a recognizer's"
        hop = front_end.hop_ms / 1000
        held, limit, killers = 0, POOL * self.config.batching.frames_per_batch, dict(part.killers)
        for number, item in enumerate(part.items):
            told: dict[str, Any] = {}
            files.append(told)
            for place, window in enumerate(read_windows(item, (front_end, self.config), told, killers.get(number, ""))):
                pool.append(PooledWindow(number, place, window))
                held += len(window.features)
                if held >= limit:
                    yield from self._batches(pool, hop)
                    held, pool = 0, []
            if part.apart:
                yield from self._batches(pool, hop)
                held, pool = 0, []
        yield from self._batches(pool, hop)
        yield ReadPart(files, sum(told.get("seconds", 0.0) for told in files))

    def _batches(self, pool: Sequence[PooledWindow], hop: float) -> Iterator[JobBatch]:
        for rows in bucket_by_length(np.array([len(one.window.features) for one in pool], int), self.config.batching):
            some = [pool[row] for row in rows]
            frames = [np.ascontiguousarray(one.window.features, np.float16) for one in some]
            told = [[one.file, one.number, one.window.whole, *f.shape] for one, f in zip(some, frames, strict=True)]
            yield JobBatch(told, b"".join(f.tobytes() for f in frames), hop * sum(map(len, frames)))

    def load(self) -> Callable[[JobBatch], Any]:
        transcriber = Transcriber(load_in_actor(self.bundle)[0], self.config)

        def decode(batch: JobBatch) -> Any:
            sizes = [height * width for *_, height, width in batch.told]
            flat = np.split(np.frombuffer(batch.data, np.float16), np.cumsum(sizes)[:-1])
            frames = [part.reshape(told[3:]) for part, told in zip(flat, batch.told, strict=True)]
            once = [row for row, told in enumerate(batch.told) if told[2]]
            found = transcriber.decode(frames, once)
            return [[*told[:2], _told(reading)] for told, reading in zip(batch.told, found, strict=True)]

        return decode

    def assemble(self, part: Part, told: Any, found: Sequence[Any]) -> PartResult:
        readings = [dict[int, Reading]() for _ in part.items]
        for batch in found:
            for file, number, reading in batch:
                readings[file][number] = _reading(reading)
        files = [_file(*one) for one in zip(part.items, told, readings, strict=True)]
        digests = {"model": self.bundle.digest, "decoding": self.decoding}
        return build_tables(files, digests, self.formats)


def read_windows(
    item: WorkItem, how: tuple[FrontEnd, TranscriptionConfig], told: dict[str, Any], killer: str
) -> Iterator[Window]:
    """The windows of one recording. told: filled with what is known of it; what is wrong with it is told, not raised.

    killer: how it has ended those who worked on it.
    """
    told |= {"status": "quarantined", "stage": "list", **split_reason(item.problem)}
    if killer:
        told |= {"stage": "decode", "reason": "kills its worker", "detail": killer}
    if item.problem or killer:
        return
    told |= {"stage": "read", "windows": []}
    try:
        check_unchanged(item)
        with item_audio(item) as audio, open_audio(audio, how[1].channels) as blocks:
            stream = WindowStream(blocks, *how)
            for window in stream:
                told["windows"].append([window.channel, window.begin, window.end])
                yield window
            summary, channels = stream.summary, len(blocks.channels)
        check_unchanged(item)
    except OSError as error:
        told |= {"reason": "cannot be read", "detail": error.strerror or str(error)}
        return
    except UserError as problem:
        told |= split_reason(str(problem).removeprefix(f"{item.place}: ").removeprefix("the bytes given: "))
        return
    told |= {"status": "partial", **split_reason(summary.flaw)} if summary.flaw else {"status": "transcribed"}
    told |= {name: getattr(summary, name) for name in ("rate", "frames", "sha256")}
    told |= {"seconds": summary.frames / summary.rate, "channels": channels}
    told["intervals"] = [[i.channel, i.begin, i.end, i.fate] for i in summary.intervals]


@contextmanager
def item_audio(item: WorkItem) -> Iterator[str | bytes]:
    """A file by its place, a member of an archive by its bytes; a long one is copied, for memory does not hold it.

    Raises UserError where the member cannot be read to its end.
    """
    if item.offset < 0:
        yield item.place
    elif item.size <= COPIED_BYTES:
        yield storage.read(item.place, item.offset, item.size)
    else:
        with tempfile.NamedTemporaryFile(prefix="member-") as copy:
            for at in range(0, item.size, COPIED_BYTES):
                copy.write(storage.read(item.place, item.offset + at, min(COPIED_BYTES, item.size - at)))
            copy.flush()
            try:
                yield copy.name
            except UserError as problem:
                raise UserError(str(problem).removeprefix(f"{copy.name}: ")) from problem


def _told(reading: Reading) -> Any:
    words, n_best = [list(word) for word in reading.words], [list(one) for one in reading.n_best]
    return [words, n_best, reading.truncated, reading.flags]


def _reading(told: Any) -> Reading:
    words, n_best, truncated, flags = told
    alternatives = tuple(Alternative(*one) for one in n_best)
    return Reading(tuple(Word(*word) for word in words), alternatives, truncated, tuple(flags))


def _file(item: WorkItem, told: dict[str, Any], readings: dict[int, Reading]) -> FileTranscript:
    row = {"file": item.file, "name": item.name, "size": item.size, "version": item.version} | told
    if told["status"] == "quarantined":
        return FileTranscript(row, None)
    intervals = tuple(Interval(*interval) for interval in told["intervals"])
    known = {name: told[name] for name in ("rate", "frames", "sha256")}
    summary = RecordingSummary(intervals=intervals, **known)
    places = enumerate(told["windows"])
    windows = [WindowReading(channel, begin, end, readings[number]) for number, (channel, begin, end) in places]
    return FileTranscript(row, assemble_transcript(summary, windows))
