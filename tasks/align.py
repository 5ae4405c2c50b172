"""When the words of a known transcript were said: the best CTC alignment of its tokens, for one recording or a split.

Of a split, a part is written for each shard (tasks/parts.py). What cannot be aligned has no words, and says why.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow as pa
import torch

from infra.problem import Problem
from infra.store import Artifact, Draft, open_draft
from models.criteria.ctc import steps_needed
from models.interface import Emitter, Hypothesis, Padded
from models.search.alignment import align
from models.vocabulary import UNK
from tasks.audio import decode
from tasks.bundle import Bundle, load_bundle
from tasks.featurize import index_of, shards_of
from tasks.lexicon import named
from tasks.live import clockwork, finite, stored_frames
from tasks.parallel import Job
from tasks.parts import make_parts, put_part, rows_of_parts
from tasks.recording import Recording
from tasks.shards import read_sample
from tasks.step import step
from tasks.text import normalise
from tasks.word_times import Timed, Words

MOST_CELLS = 1 << 27  # steps times states of the tokens, some 10 bytes each

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


class Aligned(NamedTuple):
    """tokens: all of them, spaces too. seconds: of the recording."""

    words: list[Timed]
    tokens: list[Timed]
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Aligning:
    """architecture: the model's file in models/, whose code is part of the task's key."""

    architecture: str
    split: str

    @property
    def code(self) -> tuple[str, ...]:
        return (f"models.{self.architecture}",)


class Aligner:
    """A bundle whose model emits what CTC aligns."""

    def __init__(self, bundle: Bundle, name: str) -> None:
        """Raises Problem for a model that emits no such thing. name: of the bundle, for the message."""
        of_ctc = getattr(bundle.model.config, "criterion", "ctc") == "ctc"
        if not isinstance(bundle.model, Emitter) or not of_ctc:
            raise Problem(f"{name}: alignment asks for a CTC model's emissions, and this model has none; give another")
        self.bundle, self.words, self.emitter = bundle, Words(bundle.tokenizer), bundle.model

    @torch.inference_mode()
    def __call__(self, recording: Recording, transcript: str) -> Aligned:
        """Raises Problem in one line for a transcript that is empty, that cannot be spelled, or does not fit."""
        frames = stored_frames(recording.samples, recording.rate, self.bundle)
        ids = self._spelled(transcript)
        emissions = self.emitter.emit(self.bundle.source(frames))
        finite(emissions.data[0].exp().numpy())
        target = Padded.stack([torch.tensor(ids)])
        self._check_fit(int(emissions.lengths), target, recording.seconds)
        found = align(emissions, target)[0]
        if not found.spans:
            raise Problem("the model holds this transcript for impossible: no alignment has a probability above 0")
        return self._timed(Hypothesis(tuple(ids), found.score, found.spans), emissions.data[0], recording)

    def _spelled(self, transcript: str) -> list[int]:
        tokenizer = self.bundle.tokenizer
        text = normalise(transcript, tokenizer.text)
        ids = tokenizer.encode(transcript)
        if not text.strip() or not ids:
            raise Problem("the transcript is empty" + (" once it is normalised" if transcript.strip() else ""))
        if UNK in ids:
            wrong = list(dict.fromkeys(word for word in text.split() if UNK in tokenizer.encode(word)))
            raise Problem(f"the model's tokens cannot spell {named(wrong)}: write such words in its alphabet")
        return ids

    def _check_fit(self, steps: int, target: Padded, seconds: float) -> None:
        needed, size = int(steps_needed(target)), target.data.shape[1]
        if needed > steps:
            told = f"{size} tokens need {needed} steps, {seconds:.2f} s have {steps}"
            raise Problem(f"the transcript is too long for the audio: {told}")
        if steps * (2 * size + 1) > MOST_CELLS:
            raise Problem(f"{seconds:.0f} s with {size} tokens are too much to align at once: cut the recording")

    def _timed(self, found: Hypothesis, log_probs: torch.Tensor, recording: Recording) -> Aligned:
        """log_probs: (T, V). A token's confidence is its highest probability on its span."""
        clock = clockwork(self.bundle)
        pairs = list(zip(found.tokens, found.spans, strict=True))
        sure = [float(log_probs[begin:end, token].max().exp()) for token, (begin, end) in pairs]
        times = [(clock.seconds(begin), clock.seconds(end)) for _, (begin, end) in pairs]
        tokens = [Timed(self.words.texts[t], *at, p) for t, at, p in zip(found.tokens, times, sure, strict=True)]
        seconds = round(recording.seconds, 4)
        return Aligned(
            _within(self.words.timed(found, clock, sure), seconds), _within(tokens, seconds), max(seconds, 0.0)
        )


def _within(timed: Sequence[Timed], seconds: float) -> list[Timed]:
    """The last step of a model may reach beyond the end of the recording."""
    return [t._replace(begin=min(t.begin, seconds), end=min(t.end, seconds)) for t in timed]


@step
def align_split(bundle: Artifact, shards: Artifact, aligning: Aligning) -> Artifact:
    """The transcripts of one split with their times."""
    Aligner(load_bundle(bundle), bundle.uri)
    out = open_draft("alignments", align_split.key(bundle, shards, aligning)[:32])
    arguments = (bundle, shards, aligning.split, out)
    return make_parts(out, shards_of(shards, aligning.split), f"align {aligning.split}", ShardAligner, arguments)


class ShardAligner:
    """An actor: the bundle in memory, one shard a call."""

    def __init__(self, bundle: Artifact, shards: Artifact, split: str, out: Draft) -> None:
        torch.set_num_threads(1)  # an actor has one core
        self.aligner, self.shards, self.split, self.out = Aligner(load_bundle(bundle), bundle.uri), shards, split, out

    def __call__(self, job: Job) -> Job:
        name = job["shard"]
        with self.shards.file(name).open("rb") as file:
            rows = []
            for row in index_of(self.shards, self.split, name).to_pylist():
                file.seek(row["offset"])
                rows.append(self._row(row, file.read(row["size"])))
        put_part(self.out, name, rows, ALIGNMENTS)
        return {"utterances": len(rows)}

    def _row(self, row: dict[str, Any], region: bytes) -> dict[str, Any]:
        told = {name: row[name] for name in ("key", "source", "seconds")}
        sample = read_sample(region)
        try:
            found = self.aligner(Recording(*decode(sample.data, sample.extension)), row["text"])
        except Problem as problem:
            return told | {"words": [], "tokens": [], "problem": str(problem)}
        times = {name: [timed._asdict() for timed in getattr(found, name)] for name in ("words", "tokens")}
        return told | times | {"problem": ""}


def read_alignments(alignments: Artifact) -> dict[str, Aligned | str]:
    """By key, in order: the alignment, or why there is none."""
    found: dict[str, Aligned | str] = {}
    for row in rows_of_parts(alignments):
        words, tokens = ([Timed(**timed) for timed in row[name]] for name in ("words", "tokens"))
        found[row["key"]] = row["problem"] or Aligned(words, tokens, row["seconds"])
    return found
