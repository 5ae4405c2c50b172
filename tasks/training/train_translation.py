"""Sentence pairs as tokens to a bundle that holds a translator: the same loop, workers and resumption as for speech."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from infra.artifact_store import Artifact, Draft, open_draft
from infra.errors import UserError, tell_user
from models.families.sequence_to_sequence import SequenceToSequence
from models.interface import Model
from models.special_tokens import UNK
from tasks.batches.batch_sampler import BatchingConfig
from tasks.batches.pair_dataset import BPEDropout, PairDataset
from tasks.corpora.utterance import QUARANTINE
from tasks.ingest.shard_index import read_index
from tasks.steps.parquet_io import to_parquet
from tasks.steps.pipeline_step import step
from tasks.text.tokenizer import SentencePieceTokenizer, load_source_tokenizer, load_tokenizer
from tasks.training.dev_metrics import TranslationMetrics
from tasks.training.finalize_training import finalize_training
from tasks.training.optimizer import FitConfig
from tasks.training.parameter_groups import check_patterns
from tasks.training.run_training import Workers
from tasks.training.train_loop import TrainJob

TOO_LONG = "too long"


@dataclass(frozen=True, kw_only=True)
class TranslationTrainingConfig:
    """What is trained, and how. model: the Config of a file in models/ that maps tokens to tokens. languages: source
    and target, as the corpus calls them. joint: both sides are of one vocabulary. max_tokens: training pairs with a
    longer side are left out. bpe_dropout: the probability that a merge is left out as a training pair is cut anew in
    each epoch. init_from: the bundle that it begins with, whose network it has.
    """

    model: Any
    languages: tuple[str, str]
    joint: bool
    max_tokens: int
    bpe_dropout: float
    batching: BatchingConfig
    fit: FitConfig
    init_from: Artifact | None = None

    def __post_init__(self) -> None:
        """Raises ValueError for what cannot be honored, before anything is read."""
        with torch.device("meta"):
            model: Model = self.model.build(8, 8)
        if model.reads != "tokens":
            raise ValueError(f"the model reads {model.reads}, and a translation is of tokens")
        if getattr(self.model, "joint_vocabulary", False) and not self.joint:
            raise ValueError("model.joint_vocabulary: one embedding for two vocabularies; set tokens.joint=true")
        if self.max_tokens < 1 or not 0 <= self.bpe_dropout < 1:
            raise ValueError("max_tokens is at least 1, bpe_dropout is in [0, 1)")
        if (most := longest_side(model)) is not None and self.max_tokens > most:
            raise ValueError(f"max_tokens={self.max_tokens}: the model takes {most} tokens at most; set that, or fewer")
        if self.fit.best_by not in TranslationMetrics.metrics:
            measured = ", ".join(TranslationMetrics.metrics)
            raise ValueError(f"fit.best_by={self.fit.best_by}: a translator is measured by {measured}")
        check_patterns(model, self.fit)


@step
def train_translation(
    features: Artifact, vocabularies: Artifact, training: TranslationTrainingConfig, workers: Workers
) -> Artifact:
    key = train_translation.key(features, vocabularies, training, workers)
    job, rejects = prepare_translation(open_draft("training", key[:32]), features, vocabularies, training)
    source, target = training.languages
    told = {"features": features.digest, "languages": {"source": source, "target": target}}
    told |= {name: asdict(getattr(training, name)) for name in ("fit", "batching")}
    return finalize_training(key, job, workers, told, None, to_parquet(rejects))


def prepare_translation(
    draft: Draft, features: Artifact, vocabularies: Artifact, training: TranslationTrainingConfig
) -> tuple[TrainJob, pa.Table]:
    """The job, and the training pairs that are too long. Raises UserError beyond the budget, and for an empty split."""
    spelling, fit = load_source_tokenizer(vocabularies), training.fit
    if spelling is None:
        raise UserError(f"{vocabularies}: it has no tokenizer of a source; a translator has one for each side")
    rows, dev = read_index(features, "train"), read_index(features, "dev")
    for split, index in (("training", rows), ("dev", dev)):
        if not len(index):
            raise UserError(f"{features}: the {split} split is empty")
    check_dev(features, dev, training.model)
    longest = np.maximum(rows["frames"].to_numpy(), rows["tokens"].to_numpy())
    long = longest > training.max_tokens
    rejects, rows = too_long(rows.filter(pa.array(long)), longest[long]), rows.filter(pa.array(~long))
    if len(rejects) > fit.error_budget * len(long) or not len(rows):
        raise UserError(
            f"split train: {len(rejects)} of {len(long)} pairs have a side of more than {training.max_tokens} tokens, "
            f"over the budget of {fit.error_budget:.0%}; first {rejects['source'][0]}; raise max_tokens or "
            "fit.error_budget"
        )
    train = PairDataset(features, rows, bpe_dropout(vocabularies, training))
    if training.init_from:
        tell_unknown(train)
    job = TrainJob(
        draft=draft,
        model=training.model,
        sizes=(len(spelling), len(load_tokenizer(vocabularies))),
        tokenizer=vocabularies,
        train=train,
        dev=PairDataset(features, dev),
        batching=training.batching,
        fit=fit,
        measure=TranslationMetrics(),
        init_from=training.init_from,
    )
    return job, rejects


def longest_side(model: Model) -> int | None:
    """Tokens of a source or a target that a network takes at most, without EOS; None for any number."""
    longest = model.longest if isinstance(model, SequenceToSequence) else None
    return None if longest is None else longest - 1


def check_dev(features: Artifact, dev: pa.Table, config: Any) -> None:
    """Raises UserError for a dev pair that a model of this config cannot take: none of these is left out."""
    with torch.device("meta"):
        most = longest_side(config.build(8, 8))
    lengths = np.maximum(dev["frames"].to_numpy(), dev["tokens"].to_numpy())
    if most is not None and (lengths > most).any():
        row = int(lengths.argmax())
        told = f"{dev['source'][row]} has a side of {lengths[row]} tokens, and the model takes {most} at most"
        raise UserError(f"{features}: split dev: {told}; leave such pairs out of the corpus, or take another model")


def tell_unknown(train: PairDataset) -> None:
    """Say how much of the training pairs the vocabularies, which were made of others, do not have."""
    unknown, tokens = np.zeros(2, int), np.zeros(2, int)
    for row in np.argsort(train.shard_numbers, kind="stable").tolist():
        pair = train.read(row)
        unknown += [int((side == UNK).sum()) for side in pair]
        tokens += [len(side) for side in pair]
    if unknown.any():
        sides = zip(("source", "target"), unknown.tolist(), tokens.tolist(), strict=True)
        told = " and ".join(f"{some:,} of {count:,} tokens of the {side}s" for side, some, count in sides)
        tell_user(f"{told} are <unk>: the vocabularies are those of the model that the training starts from")


def bpe_dropout(vocabularies: Artifact, training: TranslationTrainingConfig) -> BPEDropout | None:
    """None for none. Raises UserError for tokens of another kind."""
    if not training.bpe_dropout:
        return None
    source, target = load_source_tokenizer(vocabularies), load_tokenizer(vocabularies)
    if not isinstance(source, SentencePieceTokenizer) or not isinstance(target, SentencePieceTokenizer):
        raise UserError("bpe_dropout leaves out merges of BPE, and these tokens are no pieces; set bpe_dropout=0")
    try:
        _ = source.sampler, target.sampler
    except ValueError as error:
        raise UserError(f"bpe_dropout leaves out merges of BPE, and {error}; set bpe_dropout=0") from error
    return BPEDropout(source, target, training.bpe_dropout, training.max_tokens, training.fit.seed)


def too_long(rows: pa.Table, longest: np.ndarray) -> pa.Table:
    """As rows of a quarantine."""
    told = [f"{tokens} tokens" for tokens in longest.tolist()]
    constant = {"stage": "training", "reason": TOO_LONG, "sha256": ""}
    columns = {name: [value] * len(rows) for name, value in constant.items()}
    columns |= {"source": rows["source"].to_pylist(), "split": rows["split"].to_pylist(), "detail": told}
    return pa.table({name: pa.array(columns[name], pa.string()) for name in QUARANTINE.names})
