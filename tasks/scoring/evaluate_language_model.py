"""A language model on chunks of a stream: loss, perplexity, bits per character, accuracy, how sure where."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from infra.artifact_store import Artifact, new_draft
from models.interface import LanguageModel
from tasks.batches.batch_sampler import BatchingConfig
from tasks.batches.token_chunks import ChunkConfig, ChunkDataset, select_chunks
from tasks.bundles.model_bundle import Bundle, load_bundle, load_in_actor
from tasks.decoding.lm_log_probs import StreamChunks, lm_log_probs
from tasks.steps.pipeline_step import step
from tasks.steps.ray_jobs import Job, run_jobs
from tasks.text.data_digest import digest_references

CHUNKS_A_JOB, TOKENS_A_JOB = 2000, 120_000  # at least: between two jobs no state is carried
SHOWN_CHUNKS = 24  # of which the page shows each character with its probability


@dataclass(frozen=True, kw_only=True)
class LMScoringConfig:
    """What is measured. architecture: the model's file in models/, whose code is part of the task's key. split: "dev"
    of the text that the model was trained on, "test" all of another.
    """

    architecture: str
    chunks: ChunkConfig
    batching: BatchingConfig
    split: str = "dev"

    @property
    def code(self) -> tuple[str, ...]:
        return (f"models.{self.architecture}",)


@step
def evaluate_language_model(bundle: Artifact, stream: Artifact, reading: LMScoringConfig) -> Artifact:
    """`scores.json` with the numbers, and `reading.json`: some chunks with the probability of each token."""
    chunks = select_chunks(stream, reading.chunks, reading.split)
    size = max(CHUNKS_A_JOB, TOKENS_A_JOB // chunks.length)
    jobs: list[Job] = [{"first": at, "last": at + size} for at in range(0, len(chunks.rows), size)]
    sums = np.zeros(4)
    for found in run_jobs(LMScorer, jobs, "evaluate", (bundle, stream, reading)):
        sums += json.loads(found["sums"])
    with new_draft("scores") as out:
        read = [(stream.digest, f"{reading.split} {reading.chunks}")]  # nats a token are of these tokens alone
        out.put_json("scores.json", summarize_scores(*sums) | {"data": digest_references(read)})
        out.put_json("reading.json", _shown(load_bundle(bundle), chunks))
    return out.result()


class LMScorer:
    """An actor: the bundle in memory, a stretch of the chunks a call."""

    def __init__(self, bundle: Artifact, stream: Artifact, reading: LMScoringConfig) -> None:
        self.bundle, self.device = load_in_actor(bundle)
        self.reading, self.chunks = reading, select_chunks(stream, reading.chunks, reading.split)

    @torch.inference_mode()
    def __call__(self, job: Job) -> Job:
        rows = np.arange(job["first"], min(job["last"], len(self.chunks.rows)))
        sums = np.zeros(4)
        passage = StreamChunks(self.chunks, self.reading.batching, self.device, carried=self.reading.chunks.carried)
        for log_probs, target in lm_log_probs(_model(self.bundle), passage, rows):
            told = log_probs.gather(-1, target[..., None]).double().sum()
            text = self.bundle.tokenizer.decode(target.flatten().tolist())
            sums += -float(told), float((log_probs.argmax(-1) == target).sum()), target.numel(), len(text)
        return {"sums": json.dumps(sums.tolist())}


def _model(bundle: Bundle) -> LanguageModel:
    assert isinstance(bundle.model, LanguageModel)
    return bundle.model


def summarize_scores(nats: float, hits: float, tokens: float, characters: float) -> dict[str, Any]:
    """What the sums mean. Bits per character count the characters that the tokens stand for."""
    loss = nats / tokens
    return {
        "loss": loss,
        "perplexity": float(np.exp(loss)),
        "bits_per_token": loss / np.log(2),
        "bits_per_character": nats / np.log(2) / max(characters, 1),
        "accuracy": hits / tokens,
        "tokens": int(tokens),
        "characters": int(characters),
    }


@torch.inference_mode()
def _shown(bundle: Bundle, chunks: ChunkDataset) -> list[list[tuple[str, float]]]:
    """The first chunks that follow one another, token by token with the probability each had."""
    chosen = np.arange(min(SHOWN_CHUNKS, len(chunks.rows)))
    batch = chunks.batch(chosen, None)
    log_probs, _ = _model(bundle).predict(batch.given, None)
    told = log_probs.data.gather(-1, batch.target.data[..., None]).squeeze(-1).exp()
    decode = bundle.tokenizer.decode
    rows = zip(batch.target.data.tolist(), told.tolist(), strict=True)
    return [[(decode([i]), round(p, 4)) for i, p in zip(ids, probs, strict=True)] for ids, probs in rows]
