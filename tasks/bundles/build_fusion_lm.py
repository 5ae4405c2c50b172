"""Words for a search over a tokenizer's tokens: a lexicon, hotwords, and the language model that goes with them."""

import math
from collections.abc import Iterable, Sequence

from torch import nn

from infra.errors import UserError
from models.interface import Decoder
from models.search.language.lexicon_and_hotwords import LexiconAndHotwords, find_unspelled
from models.search.language.vocab_mapped_lm import VocabMappedLM
from models.special_tokens import EOS, SPECIALS, UNK
from tasks.ngram.arpa_escapes import SPACE, escape_tokens
from tasks.ngram.binary_file import StoredNGram
from tasks.ngram.fold_vocabulary import fold_vocabulary
from tasks.text.normalization import normalize_text
from tasks.text.tokenizer import LabelVocabulary, SentencePieceTokenizer, SymbolTokenizer, TextTokenizer

NAMED = 3  # of the words that are wrong


def summarize_words(wrong: Sequence[str]) -> str:
    """The first of what is wrong, and how many more there are: for a line that a user reads."""
    return ", ".join(map(repr, wrong[:NAMED])) + (f" and {len(wrong) - NAMED} more" if wrong[NAMED:] else "")


def token_texts(tokenizer: TextTokenizer) -> tuple[str, ...]:
    """What each token adds to a text, with the space it begins with; "" for the special ones."""
    if isinstance(tokenizer, LabelVocabulary) or tokenizer.first != len(SPECIALS):
        raise UserError("words are searched for with a tokenizer of text that has <s>, </s> and <unk>")
    return ("",) * len(SPECIALS) + tuple(_written(tokenizer))


def _written(tokenizer: SymbolTokenizer | SentencePieceTokenizer) -> list[str]:
    """The same without the special tokens."""
    if isinstance(tokenizer, SymbolTokenizer):
        return [(tokenizer.separator and " ") + symbol for symbol in tokenizer.symbols]
    return [tokenizer.model.IdToPiece(i).replace(SPACE, " ") for i in range(len(SPECIALS), len(tokenizer))]


def map_vocabulary(tokenizer: TextTokenizer, model: nn.Module, own: TextTokenizer) -> VocabMappedLM:
    """A language model whose tokenizer is `own`, in the ids of a recognizer's tokenizer.

    Raises UserError where it does not have all of the recognizer's tokens, or knows no end of a sentence: EOS after
    each line, and where it reads characters the line end itself.
    """
    assert not isinstance(own, LabelVocabulary), "a language model says text"
    texts, known = token_texts(tokenizer)[len(SPECIALS) :], {t: i for i, t in enumerate(_written(own), start=own.first)}
    if missing := [text for text in texts if text not in known]:
        raise UserError(
            f"the language model has no token {summarize_words(missing)}, which the bundle writes: train it on text "
            "that is divided and normalized alike (tokens.kind, tokens.text.*)"
        )
    end = known.get("\n") if isinstance(own, SymbolTokenizer) and not own.separator else EOS
    if end is None:
        raise UserError(
            "the language model has never read the end of a line, and a sentence must end: train it on a sentence a "
            "line, with tokens.text.spaces=keep and, where punctuation is dropped, the line end in tokens.text.kept"
        )
    return VocabMappedLM(model, [known[text] for text in texts], end)


def build_fusion_lm(
    tokenizer: TextTokenizer,
    stored: StoredNGram | VocabMappedLM | None,
    lexicon: Iterable[str] = (),
    hotwords: Iterable[str] = (),
) -> Decoder | None:
    """What a search is to fuse: the language model with the words, the model alone where there are none, or None.

    stored: a neural model in the tokenizer's ids, or an n-gram model of its tokens or of words; without a lexicon these
    words are it, as far as the tokens spell them. Raises UserError for a model of other tokens or of another alphabet,
    and naming words of the lexicon that cannot be spelled.
    """
    ngram = fit_to_tokenizer(stored, tokenizer) if isinstance(stored, StoredNGram) else None
    texts, listed, hot = token_texts(tokenizer), _clean(lexicon, tokenizer), _clean(hotwords, tokenizer)
    if wrong := find_unspelled([*listed, *hot], texts):
        raise UserError(
            f"the model's tokens cannot spell {summarize_words(wrong)}: "
            "take such words out of the lexicon and the hotwords"
        )
    if ngram is None or _of_tokens(ngram.spellings, tokenizer):
        model = ngram.model if ngram else stored
        assert not isinstance(model, StoredNGram)
        return LexiconAndHotwords(texts, listed, hot, tokens=model) if listed or hot else model
    return LexiconAndHotwords(
        texts, listed or _spelled(ngram, texts), hot, ngram=ngram.model, spellings=ngram.spellings
    )


def fit_to_tokenizer(stored: StoredNGram, tokenizer: TextTokenizer) -> StoredNGram:
    """A model of words with its words written as the tokenizer has text; a model of the tokenizer's tokens as it is."""
    return stored if _of_tokens(stored.spellings, tokenizer) else fold_vocabulary(stored, tokenizer.text)


def summarize_fit(stored: StoredNGram, tokenizer: TextTokenizer) -> str:
    """What of a language model cannot be heard, in a line; "" where all can."""
    if _of_tokens(stored.spellings, tokenizer):
        return ""
    folded, said = fold_vocabulary(stored, tokenizer.text), []
    words = folded.spellings[len(SPECIALS) :]
    if wrong := find_unspelled(words, token_texts(tokenizer)):
        said.append(
            f"{len(wrong)} of {len(words)} words cannot be written with the model's tokens: {summarize_words(wrong)}"
        )
    if merged := len(stored.spellings) - len(folded.spellings):
        said.append(f"{merged} words are others in other letters, and are one with them")
    if not math.isfinite(float(stored.model.levels[0].log10[UNK])):
        said.append("it has no <unk>: only its own words can be heard")
    return "; ".join(said)


def _of_tokens(written: Sequence[str], tokenizer: TextTokenizer) -> bool:
    """Whether a language model is of the tokenizer's tokens. Raises UserError for one of others that are no words."""
    known = escape_tokens(tokenizer)
    if tuple(written) == known or not any(SPACE in token for token in written):
        return tuple(written) == known
    one, other = next(
        ((a, b) for a, b in zip(written, known, strict=False) if a != b), (f"{len(written)} tokens", f"{len(known)}")
    )
    raise UserError(
        f"the language model has other tokens than the bundle, {one!r} where it has {other!r}: "
        "train it with the bundle's tokenizer, or on words"
    )


def _spelled(stored: StoredNGram, texts: Sequence[str]) -> tuple[str, ...]:
    """The model's words that the tokens spell: what it has beside them, digits say, cannot be heard anyway."""
    words = stored.spellings[len(SPECIALS) :]
    wrong = set(find_unspelled(words, texts))
    if 2 * len(wrong) > len(words):
        raise UserError(
            f"the language model has another alphabet than the bundle: {len(wrong)} of its {len(words)} words, such as "
            f"{min(wrong)!r}, cannot be spelled with the bundle's tokens"
        )
    return tuple(word for word in words if word not in wrong)


def _clean(words: Iterable[str], tokenizer: TextTokenizer) -> tuple[str, ...]:
    """The words as the tokenizer has text. Raises UserError for one that is none, or more, then."""
    cleaned = {}
    for word in words:
        text = normalize_text(word, tokenizer.text)
        if len(text.split()) != 1:
            raise UserError(
                f"{word!r} is {'no word' if not text.strip() else 'more than one word'}: give one at a time"
            )
        cleaned[text.strip()] = None
    return tuple(cleaned)
