"""A stream of tokens to a bundle that holds a language model: the same loop, workers and resumption as for speech."""

from dataclasses import asdict, dataclass, field
from typing import Any

from infra.store import Artifact, Draft, open_draft
from tasks.loop import Job
from tasks.measures import Prediction, checked
from tasks.optimise import Fit
from tasks.plan import Batching
from tasks.sampling import Prompt
from tasks.step import step
from tasks.stream import Chunking, divided
from tasks.tokenizer import load_tokenizer
from tasks.trained import trained
from tasks.training_run import Workers


@dataclass(frozen=True, kw_only=True)
class LanguageTraining:
    """What is trained, and how. model: the Config of a file in models/. prompt: of the sample after each epoch."""

    model: Any
    chunks: Chunking = field(default_factory=Chunking)
    batching: Batching = field(default_factory=Batching)
    fit: Fit = field(default_factory=Fit)
    prompt: Prompt = field(default_factory=Prompt)


@step
def train_language_model(
    stream: Artifact, tokenizer: Artifact, training: LanguageTraining, workers: Workers
) -> Artifact:
    key = train_language_model.key(stream, tokenizer, training, workers)
    job = prepare(open_draft("training", key[:32]), stream, tokenizer, training)
    configs = {name: asdict(getattr(training, name)) for name in ("chunks", "batching", "fit", "prompt")}
    return trained(key, job, workers, {"stream": stream.digest} | configs, sound=None)


def prepare(draft: Draft, stream: Artifact, tokenizer: Artifact, training: LanguageTraining) -> Job:
    """The job. Raises Problem for a text too short, a context that cannot be spelled, an unknown metric."""
    chunks = training.chunks
    heard, held_out = divided(stream, chunks)
    tokens = load_tokenizer(tokenizer)
    tokens.encode(training.prompt.context)  # a context that cannot be spelled is told before training
    return Job(
        draft=draft,
        model=training.model,
        sizes=(len(tokens), len(tokens)),
        tokenizer=tokenizer,
        train=heard,
        dev=held_out,
        batching=training.batching,
        fit=training.fit,
        measure=checked(Prediction(training.prompt, carried=chunks.carried), training.fit),
        reach=chunks.reach if chunks.carried else 0,
    )
