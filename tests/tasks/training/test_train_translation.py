"""Sentence pairs become a translator; what the loop tells it, how its rate goes, and what BLEU picks."""

from dataclasses import replace
from functools import partial

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import torch
from digit_pairs import digit_pairs, write_digit_corpus
from sacrebleu.metrics.bleu import BLEU

from infra.artifact_store import open_draft
from infra.errors import UserError
from models import bahdanau, conv_s2s, transformer
from models.criteria.token_cross_entropy import prepend_bos
from models.interface import Beam
from models.layers.decoder.professor_forcing import ProfessorForcing
from models.layers.decoder.scheduled_sampling import Sampling
from models.special_tokens import UNK
from tasks.batches.batch_sampler import BatchingConfig, plan_batches
from tasks.bundles.fit_translation_vocabularies import AS_PRINTED, TranslationTokensConfig, fit_translation_vocabularies
from tasks.bundles.model_bundle import bundle_tokenizer, check_golden_outputs, is_translator, load_bundle
from tasks.corpora.corpus_uri import Corpus, IngestConfig, fingerprint
from tasks.decoding.translate import Translator
from tasks.features.extract_features import extract_features
from tasks.ingest.ingest_corpus import ingest_corpus
from tasks.steps.in_process import run_in_process
from tasks.text.tokenizer import TokenizerConfig, load_source_tokenizer, load_tokenizer
from tasks.training.dev_metrics import bleu_of_matches, count_matches
from tasks.training.optimizer import FitConfig, cool_down, is_better, make_schedule, warm_up
from tasks.training.run_training import Workers
from tasks.training.train_loop import WorkerRank, measure_dev
from tasks.training.train_translation import TranslationTrainingConfig, prepare_translation, train_translation

SMALL = transformer.Config(
    size=16, heads=2, feed_forward_size=32, encoder_layers=1, decoder_layers=1, dropout=0.1, joint_vocabulary=True
)
FORCED = bahdanau.Config(
    embedding_size=8,
    hidden_size=16,
    attention_size=8,
    maxout_size=8,
    professor_forcing=ProfessorForcing(weight=1.0, hidden_size=8),
)
TINY_CONV = {"embedding_size": 8, "encoder": ((3, 8),), "decoder": ((3, 8),)}
PIECES = TokenizerConfig(kind="bpe", vocabulary_size=60, text=AS_PRINTED)
OPTIONS = IngestConfig(source_language="xa", target_language="xb")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Features and vocabularies of 120 pairs; the store is the module's."""
    folder = tmp_path_factory.mktemp("digits")
    with pytest.MonkeyPatch.context() as patch, run_in_process():
        patch.setenv("SCRIPTORIUM_ARTIFACTS", str(folder / "artifacts"))
        write_digit_corpus(folder / "corpus", {"train": 100, "dev": 10})
        corpus = Corpus(kind="parallel", uri=str(folder / "corpus"), verb="pairs")
        shards = ingest_corpus(corpus, fingerprint(corpus), OPTIONS, ("train", "dev"))
        one = TranslationTokensConfig(source=PIECES, target=PIECES, joint=True)
        vocabularies = fit_translation_vocabularies(shards, one)
        yield extract_features(shards, vocabularies, None, 0.05), vocabularies


def training(epochs=2, **changes):
    fit = FitConfig(
        epochs=epochs,
        optimizer="Adam",
        optimizer_options={},
        learning_rate=0.01,
        schedule="InverseSqrt",
        schedule_options={},
        schedule_every="step",
        warmup_steps=4,
        loss_normalization="token",
        best_by="loss",
    )
    batching = BatchingConfig(frames_per_batch=200, utterances_per_batch=64, sorted_epochs=0)
    same = {"languages": ("xa", "xb"), "joint": True, "max_tokens": 50, "bpe_dropout": 0.0, "init_from": None}
    return TranslationTrainingConfig(**{"model": SMALL, "fit": fit, "batching": batching, **same, **changes})


@pytest.mark.parametrize(("model", "factors"), [
    (replace(SMALL, sampling=Sampling(rate=0.5, decay="linear", slope=0.05)), {}),
    (FORCED, {"discriminator": 0.1}),
], ids=["scheduled sampling", "professor forcing"])  # fmt: skip
def test_a_killed_run_goes_on_as_if_it_had_not_been(data, monkeypatch, model, factors):
    """With BPE dropout: the same weights, the model told the same number of updates."""
    from models.families import sequence_to_sequence
    from tasks.training import train_loop

    told, set_updates = [], sequence_to_sequence.SequenceToSequence.set_updates
    monkeypatch.setattr(
        sequence_to_sequence.SequenceToSequence,
        "set_updates",
        lambda model, updates: (told.append(updates), set_updates(model, updates)),
    )
    plan = training(model=model, fit=replace(training().fit, rate_factors=factors), bpe_dropout=0.2)
    whole = train_translation.fn(*data, plan, Workers(count=0))
    updates = whole.read_json("training.json")["history"][-1]["step"]
    assert told == list(range(updates))
    assert updates > 8
    seen, update = [], train_loop.update_weights

    def dies(*arguments):
        seen.append(1)
        if len(seen) == 8:
            raise KeyboardInterrupt
        update(*arguments)

    monkeypatch.setattr(train_loop, "update_weights", dies)
    again = replace(plan, fit=replace(plan.fit, checkpoint_steps=3))
    with pytest.raises(KeyboardInterrupt):
        train_translation.fn(*data, again, Workers(count=0))
    told.clear()
    resumed = train_translation.fn(*data, again, Workers(count=0))
    assert told == list(range(6, updates))
    first, second = (load_bundle(b).model.state_dict() for b in (whole, resumed))
    for name, value in first.items():
        np.testing.assert_array_equal(value.numpy(), second[name].numpy())


@pytest.fixture(scope="module")
def bundle(data):
    return train_translation.fn(*data, training(1), Workers(count=0))


def test_the_bundle_is_a_translator_of_its_languages(data, bundle):
    features, vocabularies = data
    check_golden_outputs(bundle)
    assert is_translator(bundle)
    assert bundle_tokenizer(bundle) == vocabularies
    told = bundle.read_json("training.json")
    assert told["languages"] == {"source": "xa", "target": "xb"}
    assert told["features"] == features.digest


@pytest.fixture(scope="module")
def other_pairs(data, bundle, tmp_path_factory):
    """Features of pairs with letters that the bundle's vocabularies do not have, and all that these say of them."""
    folder = tmp_path_factory.mktemp("others")
    pairs = [(f"{source} zw\u00f6lf", f"\u2469 {target}") for source, target in digit_pairs(40, seed=9)]
    for split, some in {"train": pairs[:30], "dev": pairs[30:]}.items():
        for side, language in enumerate(("xa", "xb")):
            (folder / f"{split}.{language}").write_text("".join(f"{pair[side]}\n" for pair in some))
    corpus = Corpus(kind="parallel", uri=str(folder), verb="pairs")
    shards = ingest_corpus(corpus, fingerprint(corpus), OPTIONS, ("train", "dev"))
    return extract_features(shards, bundle_tokenizer(bundle), None, 0.05), pairs


def test_a_model_from_another_says_at_first_what_that_says(data, bundle, other_pairs, capfd):
    """Of other pairs, whose unknown letters are counted: the loss of an epoch that changes nothing, and the words."""
    features, pairs = other_pairs
    still = replace(training().fit, epochs=1, learning_rate=1e-30, precision="float32")
    plan = training(fit=still, init_from=bundle)
    begun = train_translation.fn(features, data[1], plan, Workers(count=0))
    told = begun.read_json("training.json")
    assert told["init_from"] == bundle.digest
    first, second = (load_bundle(one) for one in (bundle, begun))
    job, _ = prepare_translation(open_draft("training"), features, data[1], replace(plan, init_from=None))
    with torch.no_grad():
        assert told["history"][0]["dev_loss"] == measure_dev(job, first.model, WorkerRank())["dev_loss"]
    sources = [source for source, _ in pairs]
    assert Translator(first).translate(sources) == Translator(second).translate(sources)
    assert bundle_tokenizer(begun) == data[1]
    cut = [[t.encode(text) for text in side] for t, side in zip(
        (load_source_tokenizer(data[1]), load_tokenizer(data[1])), zip(*pairs[:30], strict=True), strict=True
    )]  # fmt: skip
    source, target = (f"{sum(ids.count(UNK) for ids in side):,} of {sum(map(len, side)):,}" for side in cut)
    assert not source.startswith("0 ")
    assert f"{source} tokens of the sources and {target} tokens of the targets are <unk>" in capfd.readouterr().err


def test_a_model_from_another_learns_but_for_what_is_frozen_or_slow(data, bundle, other_pairs):
    fit = replace(training().fit, epochs=1, freeze=("encoder",), rate_factors={"decoder": 1e-30})
    plan = training(model=replace(SMALL, dropout=0.3), fit=fit, init_from=bundle)
    begun = train_translation.fn(other_pairs[0], data[1], plan, Workers(count=0))
    before, after = (load_bundle(one).model.state_dict() for one in (bundle, begun))
    same = {name.partition(".")[0] for name in before if torch.equal(before[name], after[name])}
    assert same == {"encoder", "decoder"}
    assert not torch.equal(before["embedding.weight"], after["embedding.weight"])
    assert load_bundle(begun).model.config.dropout == 0.3


@torch.no_grad()
def test_dev_loss_is_the_mean_of_what_the_model_says_and_bleu_that_of_sacrebleu(data):
    job, _ = prepare_translation(open_draft("training"), *data, training(fit=replace(training().fit, best_by="bleu")))
    torch.manual_seed(0)
    model = job.model.build(*job.sizes).eval()
    row = measure_dev(job, model, WorkerRank())
    rows = np.arange(len(job.dev.index))
    batch, tokens = job.dev.batch(rows, None), load_tokenizer(job.tokenizer)
    nats = sum(
        -torch.log_softmax(model.predict(model.encode(one.given), prepend_bos(one.target)), -1)[0]
        .gather(1, torch.cat((one.target.data[0], torch.tensor([2])))[:, None])
        .sum()
        for one in (job.dev.batch(rows[[i]], None) for i in range(len(rows)))
    )
    assert row["dev_loss"] == pytest.approx(float(nats) / float((batch.target.lengths + 1).sum()), rel=1e-5)
    said = [tokens.decode(nbest[0].tokens) for nbest in model.search(batch.given, Beam(width=1))]
    references = job.dev.index["text"].to_pylist()
    assert row["dev_bleu"] == pytest.approx(BLEU().corpus_score(said, [references]).score)


def test_bleu_of_parts_is_that_of_the_whole():
    references = [target for _, target in digit_pairs(40, seed=3, longest=12)]
    said = [
        " ".join(sorted(reference.split(), key=lambda d: (len(d), d))[: 3 + i % 9])
        for i, reference in enumerate(references)
    ]
    said[:20] = references[:20]
    parts = [count_matches(said[i : i + 7], references[i : i + 7]) for i in range(0, 40, 7)]
    whole = BLEU(force=True).corpus_score(said, [references]).score
    assert 10 < whole < 100
    assert bleu_of_matches(np.sum(parts, 0)) == pytest.approx(whole)


@pytest.mark.parametrize(("metric", "value", "best", "better"), [
    ("bleu", 2.0, 1.0, True), ("bleu", 1.0, 2.0, False), ("loss", 1.0, 2.0, True), ("wer", 2.0, 1.0, False),
    ("bleu", 1.0, 1.0, False),
])  # fmt: skip
def test_what_is_better(metric, value, best, better):
    assert is_better(metric, value, best) is better


def test_the_largest_bleu_picks_the_weights(data, monkeypatch):
    from tasks.training import train_loop

    scores = iter([3.0, 9.0, 5.0])
    monkeypatch.setattr(train_loop, "measure_dev", lambda *_: {"dev_loss": 1.0, "dev_bleu": next(scores)})
    plan = training(3, fit=replace(training(3).fit, best_by="bleu"))
    bundle = train_translation.fn(*data, plan, Workers(count=0))
    assert bundle.read_json("training.json")["best"]["epoch"] == 2


def rates_of(fit, updates):
    """The rate of each update."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=fit.learning_rate)
    schedule, found = make_schedule(optimizer, fit, updates), []
    for number in range(updates):
        before = [group["lr"] for group in optimizer.param_groups]
        warm_up(optimizer, fit, number)
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        cool_down(optimizer, before)
        schedule.step()
    return np.array(found)


@pytest.mark.parametrize(("size", "warmup"), [(512, 40), (64, 1), (1024, 100)])
def test_inverse_square_root_is_equation_3(size, warmup):
    """Vaswani et al. 2017: d^-0.5 min(n^-0.5, n w^-1.5)."""
    fit = replace(training().fit, learning_rate=(size * warmup) ** -0.5, warmup_steps=warmup)
    n = np.arange(1, 301)
    np.testing.assert_allclose(rates_of(fit, 300), size**-0.5 * np.minimum(n**-0.5, n * warmup**-1.5), rtol=1e-12)


def test_half_epochs():
    """Sutskever et al. 2014: 0.7, halved every half epoch after five; 20 updates an epoch."""
    fit = FitConfig(
        epochs=8, learning_rate=0.7, schedule="HalfEpochs", schedule_options={}, schedule_every="step", best_by="loss"
    )
    found = rates_of(fit, 160)
    expected = [0.7] * 100 + [0.7 / 2**k for k in range(1, 7) for _ in range(10)]
    np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize(("change", "says"), [
    ({"schedule_every": "epoch"}, "counts updates"),
    ({"warmup_steps": 0}, "warmup_steps"),
    ({"schedule": "InverseSquare"}, "nor of InverseSqrt, HalfEpochs"),
])  # fmt: skip
def test_schedules_that_cannot_be(change, says):
    with pytest.raises(ValueError, match=says):
        replace(training().fit, **change)


def test_a_batch_has_so_many_tokens_on_its_longer_side(data):
    job, _ = prepare_translation(open_draft("training"), *data, training())
    batches = plan_batches(job.train.frames, job.train.shard_numbers, job.batching, 0, 3)
    assert sorted(np.concatenate(batches)) == list(range(100))
    for rows in batches:
        batch = job.train.batch(rows, 0)
        longest = max(batch.given.data.shape[1], batch.target.data.shape[1]) + 1
        assert len(rows) * longest <= 200
        assert int(job.train.tokens[rows].sum()) == int(batch.target.lengths.sum()) + len(rows)


def test_pairs_that_are_too_long_are_set_aside_or_refused(data):
    longest = np.maximum(
        *(
            prepare_translation(open_draft("training"), *data, training())[0].train.index[n].to_numpy()
            for n in ("frames", "tokens")
        )
    )
    most = int(np.sort(longest)[-4]) - 1
    fit = replace(training().fit, error_budget=0.5)
    job, rejects = prepare_translation(open_draft("training"), *data, training(max_tokens=most, fit=fit))
    assert len(rejects) == (longest > most).sum() > 0
    assert len(job.train.index) == (longest <= most).sum()
    assert set(rejects["reason"].to_pylist()) == {"too long"}
    with pytest.raises(UserError, match=f"have a side of more than {most} tokens, over the budget of 0%"):
        prepare_translation(
            open_draft("training"), *data, training(max_tokens=most, fit=replace(fit, error_budget=0.0))
        )


def test_texts_that_are_longer_than_the_model_s_positions_are_told_before_it_starts(data):
    """An architecture that has an embedding for each position takes no more."""
    draft, config = open_draft("training", "positions"), partial(conv_s2s.Config, **TINY_CONV)
    lengths = pc.max(pq.read_table(data[0].file("index.parquet"), filters=[("split", "==", "dev")])["tokens"]).as_py()
    with pytest.raises(ValueError, match="max_tokens=10: the model takes 9 tokens at most"):
        training(model=config(positions=10), max_tokens=10)
    with pytest.raises(UserError, match="has a side of [0-9]+ tokens, and the model takes 2 at most"):
        prepare_translation(draft, *data, training(model=config(positions=3), max_tokens=2))
    fits = training(model=config(positions=lengths + 20), max_tokens=lengths + 19)
    assert len(prepare_translation(draft, *data, fits)[0].dev.index) == 10


def test_bpe_dropout_cuts_the_same_text_in_other_ways(data):
    """By seed, epoch and pairs; never in what is measured."""
    job, _ = prepare_translation(open_draft("training"), *data, training(bpe_dropout=0.3))
    plain, _ = prepare_translation(open_draft("training"), *data, training())
    rows, tokenizers = np.arange(40), (load_source_tokenizer(data[1]), load_tokenizer(data[1]))
    first, again, later = (job.train.batch(rows, epoch) for epoch in (0, 0, 1))
    stored = plain.train.batch(rows, 0)
    assert torch.equal(first.given.data, again.given.data)
    assert torch.equal(first.target.data, again.target.data)
    assert first.given.data.shape != later.given.data.shape or not torch.equal(first.given.data, later.given.data)
    assert int(first.given.lengths.sum()) > int(stored.given.lengths.sum())
    for side, tokenizer in zip(("given", "target"), tokenizers, strict=True):
        for one, other in zip(getattr(first, side).data.tolist(), getattr(stored, side).data.tolist(), strict=True):
            assert tokenizer.decode(one) == tokenizer.decode(other)
    assert torch.equal(job.train.batch(rows, None).given.data, stored.given.data)
    assert int(first.given.lengths.max()) <= 50


@pytest.mark.parametrize(("change", "says"), [
    ({"joint": False}, "tokens.joint=true"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"bpe_dropout": 1.0}, "bpe_dropout"),
])  # fmt: skip
def test_what_cannot_be_trained_is_said_before_it_starts(change, says):
    with pytest.raises(ValueError, match=says):
        training(**change)
