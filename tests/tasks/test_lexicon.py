"""Lexicons and language models for a tokenizer: what fits is searched with, what does not is named in one line."""

import pytest
import torch

from infra.problem import Problem
from models.interface import Beam, Padded
from models.search.ctc_beam import ctc_beam
from models.search.ngram import NGram
from models.search.words import Words
from tasks.lexicon import fused, texts_of
from tasks.ngram.arpa import read_arpa
from tasks.ngram.binary import Stored, model_of
from tasks.ngram.spelling import spellings
from tasks.text import Normalisation
from tasks.tokenizer import Labels, Pieces, Symbols, Tokens, train_pieces

LETTERS = Symbols((" ", "a", "c", "t", "é"), "", Normalisation())
WORDS = Symbols(("a", "cat"), " ", Normalisation())


@pytest.fixture(scope="module")
def pieces():
    texts = ["the cat sat on the mat", "a cat that sat", "the man at the table"] * 30
    return Pieces(train_pieces(iter(texts), Tokens(kind="bpe", vocabulary_size=30)), Normalisation())


def stored(tmp_path, words):
    """A unigram model of these words, the first by far the most probable."""
    rows = [f"{-0.1 - i}\t{word}" for i, word in enumerate([*words, "</s>", "<unk>"])] + ["-99\t<s>"]
    path = tmp_path / "lm.arpa"
    path.write_text("\\data\\\nngram 1=" + str(len(rows)) + "\n\n\\1-grams:\n" + "\n".join(rows) + "\n\n\\end\\\n")
    read = read_arpa(path)
    return Stored(model_of(read.levels), read.spellings)


def test_what_tokens_add_to_a_text(pieces):
    assert texts_of(LETTERS) == ("", "", "", "", " ", "a", "c", "t", "é")
    assert texts_of(WORDS) == ("", "", "", "", " a", " cat")
    for tokenizer, text in ((LETTERS, "tact at"), (WORDS, "cat a cat"), (pieces, "the cat at the mat")):
        assert "".join(texts_of(tokenizer)[i] for i in tokenizer.encode(text)).strip() == text
    with pytest.raises(Problem, match="tokenizer of text"):
        texts_of(Labels(("yes", "no")))
    with pytest.raises(Problem, match="tokenizer of text"):
        texts_of(Symbols(("a",), "", Normalisation(), first=0))


def test_the_model_and_the_words_that_are_asked_for(tmp_path, pieces):
    assert fused(LETTERS, None) is None
    for tokenizer in (LETTERS, WORDS, pieces):
        of_tokens = Stored(stored(tmp_path, [str(i) for i in range(len(tokenizer) - 4)]).model, spellings(tokenizer))
        assert fused(tokenizer, of_tokens) is of_tokens.model
        words = fused(tokenizer, of_tokens, hotwords=["CAT", "cat"])
        assert isinstance(words, Words)
        assert (words.tokens, words.ngram, words.hotwords, words.lexicon) == (of_tokens.model, None, ("cat",), ())
    model = stored(tmp_path, ["cat", "at", "dog2"])
    words = fused(LETTERS, model)
    assert isinstance(words, Words)
    assert isinstance(words.ngram, NGram)
    assert words.lexicon == ("cat", "at"), "what the tokens cannot spell cannot be heard"
    listed = fused(LETTERS, model, lexicon=["Act", "é"])
    assert isinstance(listed, Words)
    assert listed.lexicon == ("act", "é")


def test_a_search_over_pieces_finds_the_words_of_its_model(tmp_path, pieces):
    words = fused(pieces, stored(tmp_path, ["mat", "cat", "the"]))
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
    with pytest.raises(Problem, match=message) as caught:
        fused(LETTERS, None, lexicon, hotwords)
    assert "\n" not in str(caught.value)


def test_a_model_of_other_tokens_or_another_alphabet_is_refused(tmp_path, pieces):
    of_pieces = Stored(stored(tmp_path, ["x"]).model, spellings(pieces))
    with pytest.raises(Problem, match="other tokens than the bundle, '.*' where it has '\u2581'"):
        fused(LETTERS, of_pieces)
    longer = Symbols((*LETTERS.symbols, "z"), "", Normalisation())
    with pytest.raises(Problem, match="'10 tokens' where it has '9'"):
        fused(LETTERS, Stored(of_pieces.model, spellings(longer)))
    with pytest.raises(Problem, match="another alphabet .* 2 of its 3 words, such as 'слово'"):
        fused(LETTERS, stored(tmp_path, ["cat", "слово", "язык"]))
