"""Translations of a split: the same as one by one, log p of references against a sum of steps, attention of words."""

import pytest
import torch
from digit_translator import CONFIG, digit_features, digit_translator, numbers, reversed_number

from infra.errors import UserError
from models.interface import Batch, Beam, Padded
from models.search.attention.teacher_forced_attention import batch_attention, teacher_forced_attention
from tasks.batches.batch_sampler import BatchingConfig
from tasks.bundles.model_bundle import load_bundle
from tasks.decoding.decode_speech import DecodingConfig
from tasks.decoding.decode_translation import END, decode_translation, split_words
from tasks.decoding.translate import TranslationConfig, Translator
from tasks.steps.parquet_parts import read_parts
from tasks.text.normalization import NormalizationConfig
from tasks.text.tokenizer import SentencePieceTokenizer, SymbolTokenizer, TokenizerConfig, train_sentencepiece

TEXTS = numbers(30, seed=5)
KEPT = NormalizationConfig(case="keep", punctuation="keep")


def decoded(beam, **batching):
    bundle, features = digit_translator(), digit_features(TEXTS)
    how = DecodingConfig(architecture="transformer", split="test", batching=BatchingConfig(**batching), beam=beam)
    return load_bundle(bundle), read_parts(decode_translation.fn(bundle, features, how))


def test_rows_are_those_of_the_translator(in_this_process):
    bundle, rows = decoded(Beam(width=3), utterances_per_batch=7)
    found = Translator(bundle, TranslationConfig(beam=Beam(width=3))).translate(TEXTS)
    for row, one, text in zip(rows, found, TEXTS, strict=True):
        assert (row["text"], row["source_text"], row["reference"]) == (one.text, text, reversed_number(text))
        assert [h["text"] for h in row["hypotheses"]] == [text for text, _ in one.n_best]
        assert [h["score"] for h in row["hypotheses"]] == pytest.approx([s for _, s in one.n_best], abs=1e-4)
        assert (row["truncated"], row["unknown"]) == (False, 0)
    assert [row["source"] for row in rows[:2]] == ["numbers.txt:1", "numbers.txt:2"]


def test_the_log_probability_of_a_reference_is_the_score_of_the_text_that_is_it(in_this_process):
    """Of a greedy search that finds the reference, the score is log p of it."""
    _, rows = decoded(Beam(width=1))
    right = [row for row in rows if row["text"] == row["reference"]]
    assert len(right) > 25
    for row in right:
        assert row["reference_log_prob"] == pytest.approx(row["score"], abs=1e-4)
        assert row["reference_tokens"] == len(row["reference"].split()) + 1


def test_attention_is_paid_by_each_word_to_the_words_of_the_source(in_this_process):
    bundle, rows = decoded(Beam(width=2))
    for row in rows[:5]:
        assert row["source_words"] == [*row["source_text"].split(), END]
        assert row["words"] == [*row["text"].split(), END]
        ids, said = bundle.spelling.encode(row["source_text"]), bundle.tokenizer.encode(row["text"])
        alone = teacher_forced_attention(bundle.model, Padded.stack([torch.tensor(ids)]), said)
        torch.testing.assert_close(torch.tensor(row["attention"]), alone, atol=1e-5, rtol=0)
        assert [sum(paid) for paid in row["attention"]] == pytest.approx([1] * len(row["words"]), abs=1e-5)


def test_a_batch_pays_the_attention_of_its_pairs_alone():
    torch.manual_seed(0)
    model = CONFIG.build(14, 14).double().eval()
    sources = Padded.stack([torch.tensor([4, 5, 6]), torch.tensor([7]), torch.tensor([8, 9])])
    said = Padded.stack([torch.tensor([5]), torch.tensor([6, 7, 8, 9]), torch.tensor([], dtype=torch.long)])
    for i, paid in enumerate(batch_attention(model, sources, said)):
        source = Padded.stack([sources.data[i, : sources.lengths[i]]])
        alone = teacher_forced_attention(model, source, said.data[i, : said.lengths[i]].tolist())
        torch.testing.assert_close(paid, alone, atol=1e-12, rtol=0)


def test_no_translation_of_a_recognizer(in_this_process):
    from untrained import CTC, bundle_of

    how = DecodingConfig(architecture="deep_speech_2", split="test", batching=BatchingConfig(), beam=Beam(width=1))
    with pytest.raises(UserError, match="no translator"):
        decode_translation.fn(bundle_of(CTC), digit_features(TEXTS), how)


def test_a_reference_longer_than_the_positions_has_no_log_probability():
    from models import conv_s2s
    from tasks.decoding.decode_translation import _reference_log_probs

    torch.manual_seed(0)
    model = conv_s2s.Config(embedding_size=8, encoder=((3, 8),), decoder=((3, 8),), positions=6, dropout=0.0)
    model = model.build(9, 9).eval()
    source, targets = torch.tensor([4, 5]), [torch.tensor([4, 5, 6, 7, 8]), torch.tensor([4] * 6), torch.tensor([5])]
    batch = Batch(("a", "b", "c"), Padded.stack([source] * 3), Padded.stack(targets))
    first, none, last = _reference_log_probs(model, batch)
    alone = model.score(Batch(("c",), Padded.stack([source]), Padded.stack(targets[2:])))
    assert none is None
    assert first < 0
    assert last == pytest.approx(float(alone), abs=1e-5)


@pytest.mark.parametrize("kind", ["bpe", "characters", "words"])
def test_tokens_are_of_the_words_that_they_spell(kind):
    texts = ["ein Haus, zwei Häuser", "das Haus am See", "zwei Seen", "Häuser am See, das ist es"] * 3
    if kind == "bpe":
        config = TokenizerConfig(kind="bpe", vocabulary_size=40, text=KEPT)
        tokenizer = SentencePieceTokenizer(train_sentencepiece(texts, config), KEPT)
    elif kind == "characters":
        tokenizer = SymbolTokenizer(tuple(sorted(set("".join(texts)))), "", KEPT)
    else:
        tokenizer = SymbolTokenizer(tuple(sorted(set(" ".join(texts).split()))), " ", KEPT)
    for text in texts[:4]:
        ids = tokenizer.encode(text)
        words = split_words(ids, tokenizer)
        assert [word for word, _ in words] == text.split()
        assert sorted(place for _, places in words for place in places) == list(range(len(ids)))


def test_an_unknown_token_is_a_word_of_its_own():
    tokenizer = SymbolTokenizer(("a", "b"), " ", KEPT)
    assert split_words([4, 3, 3, 5], tokenizer) == [("a", [0]), ("<unk>", [1]), ("<unk>", [2]), ("b", [3])]
