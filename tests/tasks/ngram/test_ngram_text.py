"""Text in, perplexity out: kinds of tokenizers, and bad input in one line each."""

import math
from dataclasses import asdict

import pytest
from slow_ngram import LETTERS, Slow, ids, text_of, tokenizer_of, trained, work_of

from infra.artifact_store import new_draft
from infra.errors import UserError
from models.special_tokens import SPECIALS
from tasks.ngram.arpa_escapes import SPACE, escape_tokens
from tasks.ngram.perplexity import perplexity
from tasks.ngram.train_ngram import NGramConfig, open_ngram, train_ngram
from tasks.text.normalization import AS_WRITTEN, NormalizationConfig
from tasks.text.tokenizer import FILE, MODEL, TokenizerConfig, load_tokenizer, train_sentencepiece


@pytest.mark.parametrize("shards", [[[]], [["", " "], []]])
def test_an_empty_text_is_one_line(artifact_root, shards):
    with pytest.raises(UserError, match="no sentence in it") as caught:
        train_ngram.fn(text_of(*shards), tokenizer_of(["a"], "words"), work_of())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"order": 0}, "order is 1 to 16, not 0"),
        ({"order": 17}, "order is 1 to 16, not 17"),
        ({"prune": (1,)}, "begins with 0"),
        ({"prune": (0, 2, 1)}, "never falls"),
        ({"order": 2, "prune": (0, 0, 1)}, "3 numbers for 2 orders"),
    ],
)
def test_orders_beyond_reason_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        NGramConfig(**options)


@pytest.mark.parametrize("word", ["<s>", "</s>", "<unk>", "<UNK>", "<blank>"])
def test_specials_as_words_are_refused(artifact_root, word):
    with pytest.raises(UserError, match=f"{word}.*means something else"):
        train_ngram.fn(text_of([f"a {word} b"]), tokenizer_of(["a", "b", word], "words"), work_of())


def test_specials_as_characters_are_characters(artifact_root):
    symbols = sorted(set("<s>a/unk"))
    tokenizer = tokenizer_of(symbols)
    model = open_ngram(train_ngram.fn(text_of(["<s>a</s>", "<unk>", "<s>"]), tokenizer, work_of(2))).model
    found = perplexity(model, load_tokenizer(tokenizer), ["<s>a</s>"])
    assert (found.sentences, found.tokens, found.unknown) == (1, len("<s>a</s>") + 1, 0)


def test_two_tokens_written_alike_are_refused(artifact_root):
    with pytest.raises(UserError, match="two tokens.*<U\\+000A>"):
        escape_tokens(load_tokenizer(tokenizer_of(["\n", "<U+000A>"], "words")))


@pytest.mark.parametrize("order", [1, 2, 4])
def test_perplexity_is_the_formula_s(artifact_root, order):
    heard, unheard = ["abba", "cab", "dad?a", "c"], ["abcd", "", "?", "da"]
    model, tokenizer = open_ngram(trained([heard], order)).model, load_tokenizer(tokenizer_of(LETTERS))
    slow = Slow([ids(s) for s in heard], order)
    nats = -sum(slow.log_prob(ids(s)) for s in unheard if s)
    found = perplexity(model, tokenizer, unheard)
    assert (found.sentences, found.tokens, found.unknown) == (3, 4 + 1 + 2 + 3, 1)
    assert found.nats == pytest.approx(nats, abs=1e-5)
    assert found.value == pytest.approx(math.exp(nats / 10), abs=1e-5)
    assert found.bits_per_token == pytest.approx(nats / 10 / math.log(2), abs=1e-5)
    known = nats + math.log(slow.p(3, (1,)))
    assert found.of_known == pytest.approx(math.exp(known / 9), abs=1e-5)
    assert math.isnan(perplexity(model, tokenizer, [""]).value)


def test_sub_words_and_words(artifact_root):
    texts = ["the cat sat on the mat", "a dog sat on the cat", "the dog ran", "a mat ran on"] * 3
    config = TokenizerConfig(kind="bpe", vocabulary_size=30)
    with new_draft("tokenizer") as out:
        out.put(MODEL, train_sentencepiece(texts, config))
        out.put_json(FILE, {"kind": "bpe", "text": {}})
    words = tokenizer_of(sorted(set(" ".join(texts).split())), "words")
    for artifact in (out.result(), words):
        tokenizer = load_tokenizer(artifact)
        model = train_ngram.fn(text_of(texts), artifact, work_of(arpa=True))
        assert set(model.names()) >= {"ngram.bin", "ngram.arpa.gz", "summary.json", *artifact.names()}
        stored = open_ngram(model)
        assert stored.spellings[: len(SPECIALS)] == SPECIALS
        assert len(stored.spellings) == stored.model.size == len(tokenizer)
        found = perplexity(stored.model, tokenizer, texts)
        assert found.tokens == sum(len(tokenizer.encode(t)) + 1 for t in texts)
        assert 1 < found.value < len(tokenizer)


def test_sub_words_with_white_space_in_them_are_spelled_without(artifact_root):
    """A tab is a character of a text that is taken as it stands, and parts the words of an ARPA file."""
    texts = ["the\tcat\u00a0sat", "a\tdog\u3000ran \u2028 on"] * 5
    with new_draft("tokenizer") as out:
        out.put(MODEL, train_sentencepiece(texts, TokenizerConfig(kind="bpe", vocabulary_size=40)))
        out.put_json(FILE, {"kind": "bpe", "text": asdict(AS_WRITTEN)})
    written = escape_tokens(load_tokenizer(out.result()))
    assert all(word.split() == [word] for word in written)
    assert {"<U+0009>", "<U+00A0>", SPACE} <= set(written)


def test_normalization_is_the_tokenizer_s(artifact_root):
    with new_draft("tokenizer") as out:
        out.put_json(FILE, {"kind": "words", "text": {"case": "lower"}, "symbols": ["cab", "dad"]})
    assert NormalizationConfig().case == "lower"
    shouted, said = (train_ngram.fn(text_of([s]), out.result(), work_of()) for s in ("CAB, dad!", "cab dad"))
    assert shouted == said
