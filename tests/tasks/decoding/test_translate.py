"""Translations: right, in their order, the same alone and in a batch, and what is lost is told."""

import math
from dataclasses import replace

import pytest
import torch
from digit_translator import digit_translator, numbers, reversed_number
from untrained import CTC, bundle_of

from infra.errors import UserError
from models import conv_s2s
from models.interface import Batch, Beam, Hypothesis, Padded
from tasks.batches.batch_sampler import BatchingConfig
from tasks.bundles.model_bundle import load_bundle
from tasks.decoding.translate import NOTHING, TranslationConfig, Translator, distinct_texts, most_source_tokens


@pytest.fixture
def bundle(artifact_root):
    return load_bundle(digit_translator())


def translator(bundle, **how):
    return Translator(bundle, TranslationConfig(**({"beam": Beam(width=3)} | how)))


def test_texts_are_translated_in_their_order(bundle):
    texts = numbers(60)
    found = translator(bundle, batching=BatchingConfig(utterances_per_batch=7)).translate(texts)
    assert [one.text for one in found] == [reversed_number(text) for text in texts]
    assert not any(one.truncated or one.unknown for one in found)


def test_a_batch_is_its_texts_alone(bundle):
    texts, alone = numbers(12, seed=3), translator(bundle)
    for one, text in zip(translator(bundle).translate(texts), texts, strict=True):
        (single,) = alone.translate([text])
        assert single.text == one.text
        assert single.score == pytest.approx(one.score, abs=1e-4)
        assert [text for text, _ in single.n_best] == [text for text, _ in one.n_best]


@torch.no_grad()
def test_the_score_of_a_greedy_translation_is_its_log_probability(bundle):
    (found,) = translator(bundle, beam=Beam(width=1)).translate(["one two"])
    ids = torch.tensor([[4, 5]])
    memory = bundle.model.encode(bundle.source(ids[0].numpy()))
    log_probs, state = 0.0, bundle.model.start(memory, 1)
    for read, said in zip([1, 5, 4], [5, 4, 2], strict=True):  # BOS zwei eins EOS
        step = bundle.model.step(torch.tensor([read]), state, memory)
        log_probs, state = log_probs + float(step.log_probs[0, said]), step.state
    assert found.score == pytest.approx(log_probs, abs=1e-4)
    assert found.n_best == ((found.text, found.score),)


def test_what_begins_a_translation_is_part_of_its_score(bundle):
    one = translator(bundle, beam=Beam(width=3))
    free, begun, other = one.translate(["one two"] * 3, ["", "zwei", "drei"])
    assert (free.text, begun.text) == ("zwei eins", "zwei eins")
    assert begun.score == pytest.approx(free.score, abs=1e-4)
    assert other.text.split()[0] == "drei"
    assert other.score == pytest.approx(one.score(["one two"], [other.text])[0], abs=1e-3)
    with pytest.raises(UserError, match="2 texts and 1 prefixes"):
        one.translate(["one", "two"], ["zwei"])


def test_a_prefix_that_leaves_no_room_is_told_with_what_helps(bundle):
    """No beam.max_length makes a translation longer than the model's own limit, 3 T + 10."""
    long, source = " ".join(["neun"] * 13), ["one two", "one"]
    for beam, prefix, says in [
        (Beam(), long, "13 tokens, and a translation of its source 13 at most: give a shorter one"),
        (Beam(max_length=99), long, "13 at most: give a shorter one"),
        (Beam(max_length=2), "zwei eins", "the prefix 'zwei eins' has 2 tokens, .* 2 at most: raise beam.max_length"),
    ]:
        with pytest.raises(UserError, match=says):
            translator(bundle, beam=beam).translate(source, ["", prefix])
    (found,) = translator(bundle, beam=Beam(max_length=99)).translate(source[1:], [long[:-5]])
    assert found.text.startswith(long[:-5])


def test_the_n_best_are_texts_that_differ_best_first(bundle):
    (found,) = translator(bundle, beam=Beam(width=8)).translate(["one two three"])
    scores = [score for _, score in found.n_best]
    assert len({text for text, _ in found.n_best}) == len(found.n_best) > 1
    assert scores == sorted(scores, reverse=True)
    assert found.n_best[0] == (found.text, found.score)


def test_an_empty_text_is_an_empty_translation(bundle):
    found = translator(bundle).translate(["", "one", " \t "])
    assert [one.text for one in found] == ["", "eins", ""]
    assert found[0] == found[2] == NOTHING
    assert translator(bundle).translate([]) == []


def test_what_the_vocabulary_lacks_is_counted(bundle):
    known, unknown, two = translator(bundle).translate(["one two", "one zebra", "a zebra"])
    assert (known.unknown, unknown.unknown >= 1, two.unknown >= 2) == (0, True, True)


def test_an_unknown_token_that_is_written_is_counted(bundle, monkeypatch):
    monkeypatch.setattr(bundle.model, "search", lambda *_: [[Hypothesis((4, 3, 5), -1.0)]])
    (found,) = translator(bundle).translate(["one"])
    assert (found.text, found.unknown) == ("eins zwei", 1)


def test_a_source_that_is_too_long_is_cut_and_said_to_be(bundle):
    short, cut = translator(bundle, max_source_tokens=2).translate(["one two", "one two three"])
    assert (short.text, short.truncated) == ("zwei eins", False)
    assert (cut.text, cut.truncated) == ("zwei eins", True)


@pytest.mark.parametrize(("text", "says"), [
    (b"one", "text 2: give it as str, not bytes"),
    (None, "text 2: give it as str, not NoneType"),
    ("a \ud800", "text 2: half of a character stands alone"),
])  # fmt: skip
def test_what_is_no_text_is_refused_by_its_number(bundle, text, says):
    translator = Translator(bundle)
    with pytest.raises(UserError, match=says):
        translator.translate(["one", text])
    with pytest.raises(UserError, match=says.replace("text", "target")):
        translator.score(["one", "one"], ["eins", text])


def test_a_text_as_long_as_the_search_allows_is_truncated(bundle):
    one, three = translator(bundle, beam=Beam(width=1, max_length=2)).translate(["one", "one two three"])
    assert (one.truncated, three.truncated) == (False, True)
    assert len(three.text.split()) == 2


def test_a_model_with_positions_is_given_no_more():
    model = conv_s2s.Config(embedding_size=8, encoder=((3, 8),), decoder=((3, 8),), positions=6).build(8, 8)
    assert [most_source_tokens(model, n) for n in (3, 1024)] == [3, 5]


def test_token_sequences_that_are_written_alike_are_one_text(bundle):
    nbest = [Hypothesis((4, 5), -1.0), Hypothesis((4, 3, 5), -1.5), Hypothesis((5,), -2.0)]
    assert distinct_texts(nbest, bundle.tokenizer) == (("eins zwei", -1.0), ("zwei", -2.0))


def test_what_cannot_be_used_is_refused_before_a_text_is_read(bundle):
    with pytest.raises(UserError, match="no language model"):
        translator(bundle, beam=Beam(lm_weight=0.5))
    with pytest.raises(UserError, match="no ctc_weight|no CTC head"):
        translator(bundle, beam=Beam(ctc_weight=0.5))
    with pytest.raises(UserError, match="no translator"):
        Translator(load_bundle(bundle_of(CTC)))
    with pytest.raises(UserError, match="no translator"):
        Translator(replace(bundle, spelling=None))
    with pytest.raises(ValueError, match="max_source_tokens"):
        TranslationConfig(beam=Beam(), max_source_tokens=0)


def test_the_beam_of_the_bundle_is_used_where_none_is_given(bundle):
    assert Translator(bundle).config.beam == bundle.beam
    assert not math.isnan(Translator(bundle).translate(["two"])[0].score)


@torch.no_grad()
def test_pairs_are_scored_as_the_model_scores_them(bundle):
    sources = ["one two", "", "three four five six", "seven"]
    targets = ["zwei eins", "eins", "", "sieben sieben sieben acht"]
    found = translator(bundle, batching=BatchingConfig(utterances_per_batch=2)).score(sources, targets)
    for source, target, score in zip(sources, targets, found, strict=True):
        pair = (
            Padded.stack([torch.tensor(by.encode(text), dtype=torch.long)])
            for by, text in ((bundle.spelling, source), (bundle.tokenizer, target))
        )
        assert score == pytest.approx(float(bundle.model.score(Batch(("",), *pair))), abs=1e-4)
    with pytest.raises(UserError, match="pair 2: 3 tokens"):
        translator(bundle, max_source_tokens=2).score(["one", "one"], ["eins", "eins eins eins"])
    with pytest.raises(UserError, match="1 sources and 2 targets"):
        translator(bundle).score(["one"], ["eins", "zwei"])
    assert translator(bundle).score([], []) == []
