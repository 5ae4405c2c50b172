"""A language model is trained, measured and asked to write; its numbers are those of the definition."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from infra.artifact_store import open_draft
from infra.errors import UserError
from models import char_rnn
from models.layers.rnn_stack import Recurrent
from tasks.batches.batch_sampler import BatchingConfig
from tasks.batches.token_chunks import ChunkConfig, split_chunks
from tasks.batches.tokenize_text import fit_text_tokenizer, tokenize_text
from tasks.bundles.model_bundle import check_golden_outputs, load_bundle
from tasks.corpora.corpus_uri import fingerprint, parse_corpus
from tasks.decoding.generate_text import Prompt, generate_text, spell_context
from tasks.ingest.ingest_text import TextIngestConfig, ingest_text
from tasks.scoring.evaluate_language_model import LMScoringConfig, evaluate_language_model
from tasks.text.normalization import AS_WRITTEN
from tasks.text.tokenizer import TokenizerConfig, fit_on_texts, load_tokenizer
from tasks.training.language.train_language_model import LMTrainingConfig, prepare_language_model, train_language_model
from tasks.training.optimizer import FitConfig
from tasks.training.run_training import Workers

TEXT = "le renard et le corbeau se parlent, la fourmi et la cigale aussi; " * 60
SMALL = char_rnn.Config(embedding_size=8, recurrent=Recurrent(cell="gru", hidden_size=24), readout=(16,))


@pytest.fixture
def stream(tmp_path, in_this_process):
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    corpus = parse_corpus(f"text:{path}", "documents")
    text = ingest_text.fn(corpus, fingerprint(corpus), TextIngestConfig())
    tokenizer = fit_text_tokenizer.fn(text, TokenizerConfig(specials=False, text=AS_WRITTEN))
    return tokenize_text.fn(text, tokenizer), tokenizer


def training(epochs=6, **changes):
    how = {"optimizer": "Adam", "optimizer_options": {}, "schedule": "", "learning_rate": 0.02, "best_by": "loss"}
    batching = BatchingConfig(frames_per_batch=10_000, utterances_per_batch=16, sorted_epochs=0)
    options = {"chunks": ChunkConfig(length=20, held_out="anywhere"), "prompt": Prompt(context="la ", length=30)}
    return LMTrainingConfig(
        **({"model": SMALL, "batching": batching, "fit": FitConfig(epochs=epochs, **how)} | options | changes)
    )


def test_it_learns_and_its_numbers_are_those_of_the_definition(stream):
    ids, tokenizer = stream
    work = training()
    bundle = train_language_model.fn(ids, tokenizer, work, Workers(count=0))
    check_golden_outputs(bundle)
    history = bundle.read_json("training.json")["history"]
    assert [row["epoch"] for row in history] == [1, 2, 3, 4, 5, 6]
    assert all(row["sample"].startswith("la ") and len(row["sample"]) == 33 for row in history)
    assert history[-1]["dev_loss"] < 1.5 < history[0]["dev_loss"]

    reading = LMScoringConfig(architecture="char_rnn", chunks=work.chunks, batching=work.batching)
    scores = evaluate_language_model.fn(bundle, ids, reading)
    told = scores.read_json("scores.json")
    _, dev = split_chunks(ids, work.chunks)
    nats, hits, count = 0.0, 0, 0
    model = load_bundle(bundle).model
    for row in range(len(dev.rows)):  # one step after the other, one chunk at a time
        state, chunk = model.start(None, 1), dev.read(row).tolist()
        for token, following in zip(chunk, chunk[1:], strict=False):
            with torch.no_grad():
                log_probs, state, _ = model.step(torch.tensor([token]), state, None)
            nats -= float(log_probs[0, following])
            hits += int(log_probs[0].argmax()) == following
            count += 1
    assert told["tokens"] == told["characters"] == count
    assert told["loss"] == pytest.approx(nats / count, rel=1e-5)
    assert told["accuracy"] == pytest.approx(hits / count)
    assert told["bits_per_character"] == pytest.approx(nats / count / math.log(2), rel=1e-5)
    assert told["perplexity"] == pytest.approx(math.exp(nats / count), rel=1e-5)
    best = min(row["dev_loss"] for row in history)
    assert told["loss"] == pytest.approx(best, rel=1e-4)
    shown = scores.read_json("reading.json")
    assert "".join(token for token, _ in shown[0]) == load_bundle(bundle).tokenizer.decode(dev.read(0)[1:].tolist())


def test_what_is_written_depends_on_the_seed_alone(stream):
    ids, tokenizer = stream
    bundle = load_bundle(train_language_model.fn(ids, tokenizer, training(1), Workers(count=0)))

    def text(seed, **how):
        prompt = Prompt(context="le ", length=40, seed=seed, **how)
        return "".join(generate_text(bundle.model, bundle.tokenizer, prompt, torch.Generator().manual_seed(seed)))

    assert text(1) == text(1) != text(2)
    assert len(text(1)) == 43
    assert text(1, temperature=0.0) == text(2, temperature=0.0)
    with pytest.raises(UserError, match="not in the vocabulary: 'É'"):
        next(generate_text(bundle.model, bundle.tokenizer, Prompt(context="É"), torch.Generator()))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"chunks": ChunkConfig(length=100_000)}, "cannot be divided"),
        ({"prompt": Prompt(context="Ω")}, "^prompt.context: .*not in the vocabulary: 'Ω'; set one of this text"),
        ({"fit": FitConfig(best_by="wer")}, r"fit\.best_by=wer: this run measures loss, error"),
    ],
)
def test_what_cannot_be_trained_is_said_before_it_starts(stream, changes, said):
    with pytest.raises(UserError, match=said):
        prepare_language_model(open_draft("training"), *stream, training(**changes))


def test_a_killed_run_goes_on_with_the_same_updates(stream, monkeypatch):
    from tasks.training import train_loop

    ids, tokenizer = stream
    whole = train_language_model.fn(ids, tokenizer, training(2), Workers(count=0))
    seen, update = [], train_loop.update_weights

    def dies(*arguments):
        seen.append(1)
        if len(seen) == 9:
            raise KeyboardInterrupt
        update(*arguments)

    monkeypatch.setattr(train_loop, "update_weights", dies)
    work = training(2, prompt=Prompt(context="la ", length=30))
    fit = FitConfig(**(vars(work.fit) | {"checkpoint_steps": 3}))
    again = LMTrainingConfig(**(vars(work) | {"fit": fit}))
    with pytest.raises(KeyboardInterrupt):
        train_language_model.fn(ids, tokenizer, again, Workers(count=0))
    resumed = train_language_model.fn(ids, tokenizer, again, Workers(count=0))
    first, second = (load_bundle(b).model.state_dict() for b in (whole, resumed))
    for name, value in first.items():
        np.testing.assert_array_equal(value.numpy(), second[name].numpy())
    total = whole.read_json("training.json")["history"][-1]["step"]
    assert len(seen) == 9 + total - 6  # from the last checkpoint on, after 8 updates


@pytest.mark.parametrize("kind", ["characters", "words", "bpe"])
def test_a_context_of_other_tokens_is_refused_before_it_starts(stream, kind):
    ids, _ = stream
    config = TokenizerConfig(kind=kind, vocabulary_size=18)
    tokenizer = fit_on_texts(["le chat et le chien"] * 30, config, "a text")
    with pytest.raises(UserError, match=r"^prompt\.context: context 'été': not all .*--set 'prompt\.context=\.\.\.'$"):
        prepare_language_model(open_draft("training"), ids, tokenizer, training(prompt=Prompt(context="été")))
    prepare_language_model(open_draft("training"), ids, tokenizer, training(prompt=Prompt(context="été", length=0)))


@pytest.mark.parametrize(("text", "begin"), [("aaaa", "a"), ("b a", " "), ("a\nb\t", "\n")])
def test_no_context_is_a_beginning_that_the_text_has(artifact_root, text, begin):
    tokens = load_tokenizer(fit_on_texts([text], TokenizerConfig(specials=False, text=AS_WRITTEN), "a text"))
    assert spell_context(tokens, "") == tokens.encode(begin)
    model = char_rnn.Config(embedding_size=4, recurrent=Recurrent(hidden_size=4), readout=()).build(*[len(tokens)] * 2)
    assert len("".join(generate_text(model.eval(), tokens, Prompt(length=5), torch.Generator()))) == 5


@pytest.mark.parametrize(
    "wrong", [{"seed": 10**23}, {"seed": -1}, {"length": -1}, {"length": 10**30}, {"temperature": float("nan")}]
)
def test_a_prompt_that_cannot_be_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Prompt(**wrong)


def test_a_pattern_of_nothing_is_one_line(stream):
    with pytest.raises(UserError, match=r"fit\.freeze: 'encoder' is no module or parameter of this model, which has"):
        train_language_model.fn(*stream, training(fit=replace(training().fit, freeze=("encoder",))), Workers(count=0))
