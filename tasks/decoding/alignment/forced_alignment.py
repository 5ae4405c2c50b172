"""When the words of a known transcript were said: the best CTC alignment of its tokens, for one recording or a split.

Of a split, a part is written for each shard (tasks/steps/parquet_parts.py). What cannot be aligned has no words, and
says why.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import pyarrow as pa
import torch

from infra.artifact_store import Artifact, open_draft
from infra.errors import UserError
from models.criteria.ctc import min_input_length
from models.interface import EmissionModel, Hypothesis, Padded
from models.search.ctc.forced_alignment import ctc_alignment
from models.special_tokens import UNK
from tasks.audio.audio_io import decode_clip
from tasks.audio.live_audio_input import AudioInput
from tasks.bundles.build_fusion_lm import summarize_words
from tasks.bundles.model_bundle import Bundle, load_bundle
from tasks.decoding.alignment.word_timestamps import TimedToken, WordTimestamps
from tasks.decoding.streaming_recognizer import check_finite, frame_timing, stored_frames
from tasks.ingest.shard_format import read_sample
from tasks.ingest.shard_index import list_shards, read_index, shard_file
from tasks.steps.parquet_parts import read_parts, write_parts
from tasks.steps.pipeline_step import step
from tasks.steps.ray_jobs import Job
from tasks.text.normalization import normalize_text

MOST_CELLS = 1 << 30  # steps times tokens, a byte each

TIMED = pa.struct(
    {"text": pa.string(), "begin": pa.float64(), "end": pa.float64(), "confidence": pa.float64()}
)  # seconds
ALIGNMENTS = pa.schema(
    {
        "key": pa.string(),
        "source": pa.string(),
        "seconds": pa.float64(),
        "words": pa.list_(TIMED),
        "tokens": pa.list_(TIMED),
        "problem": pa.string(),  # empty where there is none
    }
)


class AlignedTranscript(NamedTuple):
    """tokens: all of them, spaces too. seconds: of the recording."""

    words: list[TimedToken]
    tokens: list[TimedToken]
    seconds: float


@dataclass(frozen=True, kw_only=True)
class AlignmentConfig:
    """architecture: the model's file in models/, whose code is part of the task's key."""

    architecture: str
    split: str

    @property
    def code(self) -> tuple[str, ...]:
        return (f"models.{self.architecture}",)


class CTCAligner:
    """A bundle whose model emits what CTC aligns."""

    def __init__(self, bundle: Bundle, name: str) -> None:
        """Raises UserError for a model that emits no such thing. name: of the bundle, for the message."""
        of_ctc = getattr(bundle.model.config, "criterion", "ctc") == "ctc"
        if not isinstance(bundle.model, EmissionModel) or not of_ctc:
            raise UserError(
                f"{name}: alignment asks for a CTC model's emissions, and this model has none; give another"
            )
        self.bundle, self.words, self.emitter = bundle, WordTimestamps(bundle.tokenizer), bundle.model

    @torch.inference_mode()
    def __call__(self, recording: AudioInput, transcript: str) -> AlignedTranscript:
        """Raises UserError in one line for a transcript that is empty, that cannot be spelled, or does not fit."""
        frames = stored_frames(recording.samples, recording.rate, self.bundle)
        ids = self._spelled(transcript)
        emissions = self.emitter.emit(self.bundle.source(frames))
        check_finite(emissions.data[0].exp().numpy())
        target = Padded.stack([torch.tensor(ids)])
        self._check_fit(int(emissions.lengths), target, recording.seconds)
        found = ctc_alignment(emissions, target)[0]
        if not found.spans:
            raise UserError("the model holds this transcript for impossible: no alignment has a probability above 0")
        return self._timed(found, emissions.data[0], recording)

    def _spelled(self, transcript: str) -> list[int]:
        tokenizer = self.bundle.tokenizer
        text = normalize_text(transcript, tokenizer.text)
        ids = tokenizer.encode(transcript)
        if not text.strip() or not ids:
            raise UserError("the transcript is empty" + (" once it is normalized" if transcript.strip() else ""))
        if UNK in ids:
            wrong = list(dict.fromkeys(word for word in text.split() if UNK in tokenizer.encode(word)))
            raise UserError(
                f"the model's tokens cannot spell {summarize_words(wrong)}: write such words in its alphabet"
            )
        return ids

    def _check_fit(self, steps: int, target: Padded, seconds: float) -> None:
        needed, size = int(min_input_length(target)), target.data.shape[1]
        if needed > steps:
            told = f"{size} tokens need {needed} steps, {seconds:.2f} s have {steps}"
            raise UserError(f"the transcript is too long for the audio: {told}")
        if steps * (size + 1) > MOST_CELLS:
            raise UserError(f"{seconds:.0f} s with {size} tokens are too much to align at once: cut the recording")

    def _timed(self, found: Hypothesis, log_probs: torch.Tensor, recording: AudioInput) -> AlignedTranscript:
        """log_probs: (T, V). A token's confidence is its highest probability on its span."""
        clock = frame_timing(self.bundle)
        pairs = list(zip(found.tokens, found.spans, strict=True))
        sure = [float(log_probs[begin:end, token].max().exp()) for token, (begin, end) in pairs]
        times = [(clock.seconds(begin), clock.seconds(end)) for _, (begin, end) in pairs]
        tokens = [TimedToken(self.words.texts[t], *at, p) for t, at, p in zip(found.tokens, times, sure, strict=True)]
        seconds = round(recording.seconds, 4)
        return AlignedTranscript(
            _within(self.words.timed(found, clock, sure), seconds), _within(tokens, seconds), max(seconds, 0.0)
        )


def _within(timed: Sequence[TimedToken], seconds: float) -> list[TimedToken]:
    """The last step of a model may reach beyond the end of the recording."""
    return [t._replace(begin=min(t.begin, seconds), end=min(t.end, seconds)) for t in timed]


@step
def align_split(bundle: Artifact, shards: Artifact, aligning: AlignmentConfig) -> Artifact:
    """The transcripts of one split with their times."""
    CTCAligner(load_bundle(bundle), bundle.uri)
    out = open_draft("alignments", align_split.key(bundle, shards, aligning)[:32])
    actor = partial(ShardAligner, bundle, shards, aligning.split)
    return write_parts(out, list_shards(shards, aligning.split), f"align {aligning.split}", ALIGNMENTS, actor)


class ShardAligner:
    """An actor: the bundle in memory, one shard a call."""

    def __init__(self, bundle: Artifact, shards: Artifact, split: str) -> None:
        torch.set_num_threads(1)  # an actor has one core
        self.aligner, self.shards, self.split = CTCAligner(load_bundle(bundle), bundle.uri), shards, split

    def __call__(self, job: Job) -> list[dict[str, Any]]:
        """Rows of ALIGNMENTS."""
        rows = []
        with shard_file(self.shards, job["shard"]).open("rb") as file:
            for row in read_index(self.shards, self.split, job["shard"]).to_pylist():
                file.seek(row["offset"])
                rows.append(self._row(row, file.read(row["size"])))
        return rows

    def _row(self, row: dict[str, Any], region: bytes) -> dict[str, Any]:
        told = {name: row[name] for name in ("key", "source", "seconds")}
        sample = read_sample(region)
        try:
            found = self.aligner(AudioInput(*decode_clip(sample.data, sample.extension)), row["text"])
        except UserError as problem:
            return told | {"words": [], "tokens": [], "problem": str(problem)}
        times = {name: [timed._asdict() for timed in getattr(found, name)] for name in ("words", "tokens")}
        return told | times | {"problem": ""}


def read_alignments(alignments: Artifact) -> dict[str, AlignedTranscript | str]:
    """By key, in order: the alignment, or why there is none."""
    found: dict[str, AlignedTranscript | str] = {}
    for row in read_parts(alignments):
        words, tokens = ([TimedToken(**timed) for timed in row[name]] for name in ("words", "tokens"))
        found[row["key"]] = row["problem"] or AlignedTranscript(words, tokens, row["seconds"])
    return found
