"""A trained recognizer on recordings of any length: cut into windows, decoded in batches by length, put together.

    recording --find speech--> spans --cut--> windows --features, search--> words --join--> transcript

A recording of up to `windows.max_seconds` without voice activity detection is one window, and its text is what
`flows.evaluate` scores.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch

from infra.errors import UserError
from models.interface import Beam, Hypothesis, Padded
from tasks.audio.live_audio_input import AudioInput
from tasks.batches.batch_sampler import BatchingConfig, bucket_by_length
from tasks.bundles.model_bundle import Bundle
from tasks.decoding.streaming_recognizer import frame_timing, stored_frames
from tasks.decoding.word_timestamps import WordTimestamps
from tasks.transcription.merge_windows import join_words
from tasks.transcription.transcript import Alternative, Segment, Transcript, Word
from tasks.transcription.voice_activity import VadConfig, find_speech
from tasks.transcription.windows import Span, WindowConfig, fill_silence, split_span
from tasks.transcription.word_confidence import search_with_probabilities, word_confidences, word_posteriors


@dataclass(frozen=True, kw_only=True)
class TranscriptionConfig:
    """How recordings are cut and batched; the search is the bundle's, or as `beam` says."""

    beam: Beam | None = None
    vad: VadConfig = field(default_factory=VadConfig)
    windows: WindowConfig = field(default_factory=WindowConfig)
    batching: BatchingConfig = field(default_factory=BatchingConfig)


class Reading(NamedTuple):
    """One window's words, their seconds counted from the window's begin, and its readings, best first."""

    words: tuple[Word, ...]
    n_best: tuple[Alternative, ...]
    truncated: bool


class Transcriber:
    """A bundle with a search, on whatever device its model is."""

    def __init__(self, bundle: Bundle, config: TranscriptionConfig | None = None) -> None:
        """Raises UserError for a bundle that reads text or says labels."""
        self.bundle, self.config = bundle, config or TranscriptionConfig()
        self.beam = self.config.beam or bundle.beam
        self.words, self.clock = WordTimestamps(bundle.tokenizer), frame_timing(bundle)
        self.device = next(bundle.model.parameters()).device

    def __call__(self, recordings: Sequence[AudioInput]) -> list[Transcript]:
        """Of each recording its transcript; the windows of all are decoded together.

        Raises UserError for samples that are not finite, or frames where the model takes waveforms.
        """
        plans = [self.plan(recording) for recording in recordings]
        cut = (
            (recording, window)
            for recording, (_, speech) in zip(recordings, plans, strict=True)
            for windows in speech
            for window in windows
        )
        found = iter(self.decode([self.features(recording, window) for recording, window in cut]))
        return [
            Transcript(
                segments=tuple(_segment(windows, found, recording.rate) for windows in speech),
                spans=tuple(spans),
                seconds=recording.seconds,
                rate=recording.rate,
            )
            for recording, (spans, speech) in zip(recordings, plans, strict=True)
        ]

    def plan(self, recording: AudioInput) -> tuple[list[Span], list[list[Span]]]:
        """What becomes of each sample, and of each span of speech its windows."""
        size, rate = len(recording.samples), recording.rate
        whole = [Span(0, size)] if size else []
        if self.config.vad.kind == "none" or recording.samples.ndim > 1:
            spans = whole
        else:
            spans = list(fill_silence(find_speech([recording.samples], rate, self.config.vad), size))
        return spans, [split_span(span, rate, self.config.windows) for span in spans if span.fate == "speech"]

    def features(self, recording: AudioInput, window: Span) -> np.ndarray:
        """Of one window frames (T, D), as feature shards hold them."""
        return stored_frames(recording.samples[window.begin : window.end], recording.rate, self.bundle)

    @torch.inference_mode()
    def decode(self, stored: Sequence[np.ndarray]) -> list[Reading]:
        """Stored frames (T, D) of many windows to what each says, in batches of similar length."""
        sources = [self.bundle.source(frames).data[0] for frames in stored]
        lengths, found = np.array([len(source) for source in sources], int), dict[int, Reading]()
        for rows in bucket_by_length(lengths, self.config.batching):
            batch = Padded.stack([sources[row] for row in rows]).to(self.device)
            try:
                nbests, sure = search_with_probabilities(self.bundle.model, batch, self.beam, self.bundle.lm)
            except ValueError as error:  # a term that the search does not have
                raise UserError(str(error)) from error
            for row, nbest, probabilities in zip(rows.tolist(), nbests, sure, strict=True):
                found[row] = self._reading(nbest, probabilities)
        return [found[row] for row in range(len(sources))]

    def _reading(self, nbest: Sequence[Hypothesis], probabilities: Sequence[float]) -> Reading:
        best, texts = nbest[0], dict[str, float]()
        for hypothesis in nbest:  # several token sequences may be one text
            text = " ".join(self.bundle.tokenizer.decode(hypothesis.tokens).split())
            texts[text] = np.logaddexp(texts.get(text, -math.inf), hypothesis.score).item()
        readings = tuple(Alternative(text, score) for text, score in texts.items())
        timed, places = self.words.timed(best, self.clock), self.words.spoken(best.tokens)
        written = [([word.text for word in timed], readings[0].score)]
        posteriors = word_posteriors([*written, *((text.split(), score) for text, score in readings[1:])])
        sure = word_confidences(places, probabilities, posteriors)
        known = bool(best.spans)
        words = (
            Word(word.text, word.begin if known else None, word.end if known else None, p)
            for word, p in zip(timed, sure, strict=True)
        )
        return Reading(tuple(words), readings, best.truncated)


def _segment(windows: Sequence[Span], found: Iterator[Reading], rate: int) -> Segment:
    """One span of speech, of the readings of its windows."""
    begin, end = windows[0].begin / rate, windows[-1].end / rate
    words, readings, last = list[Word](), list[Reading](), None
    for window in windows:
        reading = next(found)
        shifted = _shifted(reading.words, window, rate)
        shared = (window.begin / rate, (last or window).end / rate)
        words = join_words(words, shifted, shared) if last else shifted
        readings, last = [*readings, reading], window
    n_best, truncated = readings[0].n_best, any(reading.truncated for reading in readings)
    if len(readings) > 1:
        score = math.fsum(reading.n_best[0].score for reading in readings)
        n_best = (Alternative(" ".join(word.text for word in words), score),)
    return Segment(start=begin, end=end, words=tuple(words), n_best=n_best, truncated=truncated)


def _shifted(words: Iterable[Word], window: Span, rate: int) -> list[Word]:
    """At their seconds of the recording; the last step of a model may reach beyond the end of a window."""
    begin, end = window.begin / rate, window.end / rate
    return [
        word
        if word.start is None or word.end is None
        else word._replace(start=round(min(begin + word.start, end), 4), end=round(min(begin + word.end, end), 4))
        for word in words
    ]
