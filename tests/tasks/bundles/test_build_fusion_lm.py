"""Lexicons and language models for a tokenizer: what fits is searched with, what does not is named in one line."""

import pytest
import torch

from infra.errors import UserError
from models.interface import Beam, Padded
from models.search.ctc.beam import ctc_beam
from models.search.language.lexicon_and_hotwords import LexiconAndHotwords
from models.search.language.ngram_lm import NGram
from tasks.bundles.build_fusion_lm import build_fusion_lm, summarize_fit, token_texts
from tasks.ngram.arpa_escapes import escape_tokens
from tasks.ngram.arpa_file import read_arpa
from tasks.ngram.binary_file import StoredNGram, build_model
from tasks.text.normalization import NormalizationConfig
from tasks.text.tokenizer import (
    LabelVocabulary,
    SentencePieceTokenizer,
    SymbolTokenizer,
    TokenizerConfig,
    train_sentencepiece,
)

LETTERS = SymbolTokenizer((" ", "a", "c", "t", "é"), "", NormalizationConfig())
WORDS = SymbolTokenizer(("a", "cat"), " ", NormalizationConfig())


@pytest.fixture(scope="module")
def pieces():
    texts = ["the cat sat on the mat", "a cat that sat", "the man at the table"] * 30
    return SentencePieceTokenizer(
        train_sentencepiece(iter(texts), TokenizerConfig(kind="bpe", vocabulary_size=30)), NormalizationConfig()
    )


def stored(tmp_path, words):
    """A unigram model of these words, the first by far the most probable."""
    rows = [f"{-0.1 - i}\t{word}" for i, word in enumerate([*words, "</s>", "<unk>"])] + ["-99\t<s>"]
    path = tmp_path / "lm.arpa"
    path.write_text("\\data\\\nngram 1=" + str(len(rows)) + "\n\n\\1-grams:\n" + "\n".join(rows) + "\n\n\\end\\\n")
    read = read_arpa(path)
    return StoredNGram(build_model(read.levels), read.spellings)


def test_what_tokens_add_to_a_text(pieces):
    assert token_texts(LETTERS) == ("", "", "", "", " ", "a", "c", "t", "é")
    assert token_texts(WORDS) == ("", "", "", "", " a", " cat")
    for tokenizer, text in ((LETTERS, "tact at"), (WORDS, "cat a cat"), (pieces, "the cat at the mat")):
        assert "".join(token_texts(tokenizer)[i] for i in tokenizer.encode(text)).strip() == text
    with pytest.raises(UserError, match="tokenizer of text"):
        token_texts(LabelVocabulary(("yes", "no")))
    with pytest.raises(UserError, match="tokenizer of text"):
        token_texts(SymbolTokenizer(("a",), "", NormalizationConfig(), first=0))


def test_the_model_and_the_words_that_are_asked_for(tmp_path, pieces):
    assert build_fusion_lm(LETTERS, None) is None
    for tokenizer in (LETTERS, WORDS, pieces):
        of_tokens = StoredNGram(
            stored(tmp_path, [str(i) for i in range(len(tokenizer) - 4)]).model, escape_tokens(tokenizer)
        )
        assert build_fusion_lm(tokenizer, of_tokens) is of_tokens.model
        words = build_fusion_lm(tokenizer, of_tokens, hotwords=["CAT", "cat"])
        assert isinstance(words, LexiconAndHotwords)
        assert (words.tokens, words.ngram, words.hotwords, words.lexicon) == (of_tokens.model, None, ("cat",), ())
    model = stored(tmp_path, ["cat", "at", "dog2"])
    words = build_fusion_lm(LETTERS, model)
    assert isinstance(words, LexiconAndHotwords)
    assert isinstance(words.ngram, NGram)
    assert words.lexicon == ("cat", "at"), "what the tokens cannot spell cannot be heard"
    listed = build_fusion_lm(LETTERS, model, lexicon=["Act", "é"])
    assert isinstance(listed, LexiconAndHotwords)
    assert listed.lexicon == ("act", "é")


def test_a_search_over_pieces_finds_the_words_of_its_model(tmp_path, pieces):
    words = build_fusion_lm(pieces, stored(tmp_path, ["mat", "cat", "the"]))
    heard = pieces.encode("the cat")
    torch.manual_seed(0)
    scores = torch.randn(2 * len(heard), len(pieces), dtype=torch.float64)
    scores[torch.arange(0, 2 * len(heard), 2), torch.tensor(heard)] += 6
    scores[1::2, 0] += 6
    emissions = Padded.stack([scores.log_softmax(-1)])
    (nbest,) = ctc_beam(emissions, Beam(width=50, lexicon_only=True), words)
    assert pieces.decode(nbest[0].tokens) == "the cat"
    assert {word for h in nbest for word in pieces.decode(h.tokens).split()} <= {"mat", "cat", "the"}
    (nbest,) = ctc_beam(emissions, Beam(width=50, lexicon_only=True, lm_weight=20.0), words)
    assert set(pieces.decode(nbest[0].tokens).split()) <= {"mat"}, "a strong model has its way"


@pytest.mark.parametrize(
    ("lexicon", "hotwords", "message"),
    [
        (["cat", "dog"], [], "cannot spell 'dog': take"),
        (["d", "e", "f", "g"], [], "'d', 'e', 'f' and 1 more"),
        (["cat"], ["dog"], "'dog'"),
        (["a cat"], [], "'a cat' is more than one word"),
        ([], ["?!"], "'\\?!' is no word"),
    ],
)
def test_words_that_cannot_be_are_named(lexicon, hotwords, message):
    with pytest.raises(UserError, match=message) as caught:
        build_fusion_lm(LETTERS, None, lexicon, hotwords)
    assert "\n" not in str(caught.value)


def test_a_model_of_other_tokens_or_another_alphabet_is_refused(tmp_path, pieces):
    of_pieces = StoredNGram(stored(tmp_path, ["x"]).model, escape_tokens(pieces))
    with pytest.raises(UserError, match="other tokens than the bundle, '.*' where it has '\u2581'"):
        build_fusion_lm(LETTERS, of_pieces)
    longer = SymbolTokenizer((*LETTERS.symbols, "z"), "", NormalizationConfig())
    with pytest.raises(UserError, match="'10 tokens' where it has '9'"):
        build_fusion_lm(LETTERS, StoredNGram(of_pieces.model, escape_tokens(longer)))
    with pytest.raises(UserError, match="another alphabet .* 2 of its 3 words, such as 'слово'"):
        build_fusion_lm(LETTERS, stored(tmp_path, ["cat", "слово", "язык"]))


def test_what_of_a_model_cannot_be_heard_is_said(tmp_path):
    assert summarize_fit(stored(tmp_path, ["cat", "At"]), LETTERS) == ""
    told = summarize_fit(stored(tmp_path, ["cat", "Cat", "CAT", "at-at", "dog"]), LETTERS)
    assert told.startswith("2 of 3 words cannot be written with the model's tokens: 'at-at', 'dog'; 2 words are others")
    lacking = stored(tmp_path, ["cat"])
    lacking.model.levels[0].log10[3] = -torch.inf
    assert summarize_fit(lacking, LETTERS) == "it has no <unk>: only its own words can be heard"
    of_tokens = StoredNGram(lacking.model, escape_tokens(LETTERS))
    assert summarize_fit(of_tokens, LETTERS) == ""


def test_a_model_of_another_case_is_searched_alike(tmp_path):
    """As an earlier bundle holds it, too: its words are folded as it is loaded."""
    torch.manual_seed(1)
    emissions = Padded.stack([(2 * torch.randn(30, len(LETTERS), dtype=torch.float64)).log_softmax(-1)])
    beam, found = Beam(width=20, lm_weight=2.0), []
    for words in (["cat", "at", "act", "tact"], ["Cat", "AT", "act", "Tact,"]):
        fused = build_fusion_lm(LETTERS, stored(tmp_path, words), hotwords=["TAT"])
        assert (fused.lexicon, fused.hotwords) == (("cat", "at", "act", "tact"), ("tat",))
        found.append(ctc_beam(emissions, beam, fused))
    assert found[0] == found[1]
