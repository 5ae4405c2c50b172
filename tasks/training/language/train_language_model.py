"""A stream of tokens to a bundle that holds a language model: the same loop, workers and resumption as for speech."""

from dataclasses import asdict, dataclass, field
from typing import Any

from infra.artifact_store import Artifact, Draft, open_draft
from infra.errors import UserError
from tasks.batches.batch_sampler import BatchingConfig
from tasks.batches.token_chunks import ChunkConfig, split_chunks
from tasks.decoding.generate_text import Prompt, spell_context
from tasks.steps.pipeline_step import step
from tasks.text.tokenizer import load_tokenizer
from tasks.training.dev_metrics import check_metric
from tasks.training.finalize_training import finalize_training
from tasks.training.language.language_model_dev_metrics import LanguageModelMetrics
from tasks.training.optimizer import FitConfig
from tasks.training.run_training import Workers
from tasks.training.train_loop import TrainJob


@dataclass(frozen=True, kw_only=True)
class LMTrainingConfig:
    """What is trained, and how. model: the Config of a file in models/. prompt: of the sample after each epoch.
    init_from: the bundle that it begins with, whose network it has.
    """

    model: Any
    chunks: ChunkConfig = field(default_factory=ChunkConfig)
    batching: BatchingConfig = field(default_factory=BatchingConfig)
    fit: FitConfig = field(default_factory=FitConfig)
    prompt: Prompt = field(default_factory=Prompt)
    init_from: Artifact | None = None


@step
def train_language_model(
    stream: Artifact, tokenizer: Artifact, training: LMTrainingConfig, workers: Workers
) -> Artifact:
    key = train_language_model.key(stream, tokenizer, training, workers)
    job = prepare_language_model(open_draft("training", key[:32]), stream, tokenizer, training)
    configs = {name: asdict(getattr(training, name)) for name in ("chunks", "batching", "fit", "prompt")}
    return finalize_training(key, job, workers, {"stream": stream.digest} | configs, None)


def prepare_language_model(draft: Draft, stream: Artifact, tokenizer: Artifact, training: LMTrainingConfig) -> TrainJob:
    """The job. Raises UserError for a text too short, a context that cannot be spelled, an unknown metric."""
    chunks = training.chunks
    heard, held_out = split_chunks(stream, chunks)
    tokens = load_tokenizer(tokenizer)
    try:
        if training.prompt.length:
            spell_context(tokens, training.prompt.context)
    except UserError as error:
        raise UserError(f"prompt.context: {error}; set one of this text, --set 'prompt.context=...'") from error
    return TrainJob(
        draft=draft,
        model=training.model,
        sizes=(len(tokens), len(tokens)),
        tokenizer=tokenizer,
        train=heard,
        dev=held_out,
        batching=training.batching,
        fit=training.fit,
        measure=check_metric(LanguageModelMetrics(training.prompt, carried=chunks.carried), training.fit),
        reach=chunks.reach if chunks.carried else 0,
        init_from=training.init_from,
    )
