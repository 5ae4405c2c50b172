"""A trained recognizer on recordings of any length: cut into windows, decoded in batches by length, put together.

    recording --stream windows--> stored features --search--> readings --assemble--> transcript

What is held does not grow with a recording: its blocks are forgotten as they are cut, and windows are decoded as soon
as there are so many that batches of similar length are found among them. A reading that is suspicious is made a second
time of shorter windows. A recording of up to `windows.max_seconds` without voice activity detection is one window, and
its text is what `flows.evaluate` scores.
"""

import math
import os
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np
import torch

from infra.errors import UserError
from models.interface import Beam, Hypothesis, Padded
from tasks.audio.audio_blocks import AudioSource, open_audio
from tasks.batches.batch_sampler import BatchingConfig, bucket_by_length
from tasks.bundles.model_bundle import Bundle
from tasks.decoding.alignment.word_timestamps import WordTimestamps
from tasks.decoding.streaming_recognizer import frame_timing
from tasks.transcription.assemble_transcript import Reading, WindowReading, assemble_transcript
from tasks.transcription.coverage import RecordingSummary
from tasks.transcription.read_again import join_readings, shorter_windows
from tasks.transcription.stream_windows import SegmentationConfig, Window, WindowStream
from tasks.transcription.suspicious_readings import find_suspicions, rank_reading
from tasks.transcription.transcript import Alternative, Transcript, Word
from tasks.transcription.word_confidence import search_with_probabilities, word_confidences, word_posteriors

PAUSE_SECONDS = 0.35  # without a letter end a word; the closure of a stop is shorter
SECONDS_AT_ONCE, RECORDINGS_AT_ONCE = 300, 64  # of windows that wait for one another, and of recordings


@dataclass(frozen=True, kw_only=True)
class TranscriptionConfig(SegmentationConfig):
    """How recordings are cut and batched; the search is the bundle's, or as `beam` says."""

    beam: Beam | None = None
    batching: BatchingConfig = field(default_factory=BatchingConfig)


@dataclass
class _Job:
    """A recording that is being read: its windows without their features, and the readings of the first of them."""

    windows: list[Window] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=list)
    read: RecordingSummary | UserError | None = None

    @property
    def done(self) -> bool:
        return self.read is not None and len(self.readings) == len(self.windows)

    def result(self) -> Transcript | UserError:
        assert self.read is not None, "asked for when it is done"
        if isinstance(self.read, UserError):
            return self.read
        pairs = zip(self.windows, self.readings, strict=True)
        found = [WindowReading(window.channel, window.begin, window.end, reading) for window, reading in pairs]
        return assemble_transcript(self.read, found)


class Transcriber:
    """A bundle with a search, on whatever device its model is."""

    def __init__(self, bundle: Bundle, config: TranscriptionConfig | None = None) -> None:
        """Raises UserError for a bundle that reads text or says labels."""
        self.bundle, self.config = bundle, config or TranscriptionConfig()
        self.beam = self.config.beam or bundle.beam
        self.words, self.clock = WordTimestamps(bundle.tokenizer), frame_timing(bundle)
        self.words_apart = WordTimestamps(bundle.tokenizer, PAUSE_SECONDS / self.clock.step_seconds)
        self.device = next(bundle.model.parameters()).device

    def __call__(self, recordings: Sequence[AudioSource]) -> list[Transcript]:
        """Of each recording its transcript.

        Raises UserError for what cannot be read from its begin to its end, and for frames where the model takes
        waveforms.
        """
        found = list[Transcript]()
        for recording, transcript in zip(recordings, self.transcribe(recordings), strict=True):
            if isinstance(transcript, UserError):
                raise transcript
            if transcript.flaw:
                name = f"{os.fspath(recording)}: " if isinstance(recording, str | os.PathLike) else ""
                raise UserError(f"{name}{transcript.flaw}")
            found.append(transcript)
        return found

    def transcribe(self, recordings: Iterable[AudioSource]) -> Iterator[Transcript | UserError]:
        """Of each recording its transcript, or why there is none, in order; windows of several are decoded together.
        What could not be read of one is told by its `coverage` and its `flaw`.
        """
        jobs, waiting, seconds = deque[_Job](), list[tuple[_Job, Window]](), 0.0
        for recording in recordings:
            jobs.append(job := _Job())
            for window in self._windows(recording, job):
                job.windows.append(window._replace(features=window.features[:0]))
                waiting.append((job, window))
                seconds += self._seconds(window.features)
                if seconds >= SECONDS_AT_ONCE:
                    seconds = self._decode_waiting(waiting)
            if len(jobs) >= RECORDINGS_AT_ONCE:
                seconds = self._decode_waiting(waiting)
            while jobs and jobs[0].done:
                yield jobs.popleft().result()
        self._decode_waiting(waiting)
        yield from (job.result() for job in jobs)

    def _windows(self, recording: AudioSource, job: _Job) -> Iterator[Window]:
        """Those of one recording; what else is known of it goes into its job."""
        try:
            with open_audio(recording, self.config.channels) as audio:
                stream = WindowStream(audio, self.bundle.front_end, self.config)
                yield from stream
                job.read = stream.summary
        except UserError as problem:
            job.read = problem

    def _decode_waiting(self, waiting: list[tuple[_Job, Window]]) -> float:
        """All of them; none is left waiting, 0 seconds."""
        whole = [row for row, (_, window) in enumerate(waiting) if window.whole]
        found = self.decode([window.features for _, window in waiting], whole)
        for (job, _), reading in zip(waiting, found, strict=True):
            job.readings.append(reading)
        waiting.clear()
        return 0.0

    def decode(self, stored: Sequence[np.ndarray], once: Collection[int] = ()) -> list[Reading]:
        """Stored frames (T, D) of many windows to what each says. What is suspicious is read again in shorter windows,
        and the better reading kept: that with fewer flags, then that with the surer words.

        once: rows that are not read again: of a whole recording the text is that which is scored elsewhere.
        """
        found = self._judged(stored, self._search(stored, once))
        doubtful = [row for row, reading in enumerate(found) if reading.flags and row not in once]
        pieces = [shorter_windows(len(stored[row]), self.bundle.front_end) for row in doubtful]
        cut = [stored[row][begin:end] for row, windows in zip(doubtful, pieces, strict=True) for begin, end in windows]
        again = iter(self._search(cut))
        hop = self.bundle.front_end.hop_ms / 1000
        joined = [
            join_readings([(a * hop, b * hop) for a, b in windows], list(islice(again, len(windows))))
            for windows in pieces
        ]
        for row, other in zip(doubtful, self._judged([stored[row] for row in doubtful], joined), strict=True):
            found[row] = max(found[row], other, key=lambda reading: rank_reading(reading.flags, reading.words))
        return found

    def _judged(self, stored: Sequence[np.ndarray], readings: Sequence[Reading]) -> list[Reading]:
        speech = self.config.vad.kind != "none"
        return [
            reading._replace(
                flags=find_suspicions(reading.words, self._seconds(frames), speech=speech, truncated=reading.truncated)
            )
            for frames, reading in zip(stored, readings, strict=True)
        ]

    def _seconds(self, frames: np.ndarray) -> float:
        return len(frames) * self.bundle.front_end.hop_ms / 1000

    @torch.inference_mode()
    def _search(self, stored: Sequence[np.ndarray], whole: Collection[int] = ()) -> list[Reading]:
        """In batches of similar length. whole: rows whose text is as tokens spell it; in others a pause ends a word:
        a network that was trained on single sentences writes no space between two.
        """
        sources = [self.bundle.source(frames).data[0] for frames in stored]
        lengths, found = np.array([len(source) for source in sources], int), dict[int, Reading]()
        for rows in bucket_by_length(lengths, self.config.batching):
            batch = Padded.stack([sources[row] for row in rows]).to(self.device)
            try:
                nbests, sure = search_with_probabilities(self.bundle.model, batch, self.beam, self.bundle.lm)
            except ValueError as error:  # a term that the search does not have
                raise UserError(str(error)) from error
            for row, nbest, probabilities in zip(rows.tolist(), nbests, sure, strict=True):
                found[row] = self._reading(nbest, probabilities, self.words if row in whole else self.words_apart)
        return [found[row] for row in range(len(sources))]

    def _reading(self, nbest: Sequence[Hypothesis], probabilities: Sequence[float], divided: WordTimestamps) -> Reading:
        best, texts = nbest[0], dict[str, float]()
        for hypothesis in nbest:  # several token sequences may be one text
            text = " ".join(self.bundle.tokenizer.decode(hypothesis.tokens).split())
            texts[text] = np.logaddexp(texts.get(text, -math.inf), hypothesis.score).item()
        readings = tuple(Alternative(text, score) for text, score in texts.items())
        timed, places = divided.timed(best, self.clock), divided.spoken(best.tokens, best.spans)
        written = [([word.text for word in timed], readings[0].score)]
        posteriors = word_posteriors([*written, *((text.split(), score) for text, score in readings[1:])])
        sure = word_confidences(places, probabilities, posteriors)
        known = bool(best.spans)
        words = (
            Word(word.text, word.begin if known else None, word.end if known else None, p)
            for word, p in zip(timed, sure, strict=True)
        )
        if divided is not self.words:
            readings = (readings[0]._replace(text=" ".join(word.text for word in timed)), *readings[1:])
        return Reading(tuple(words), readings, best.truncated)
