"""Words for a search over a tokenizer's tokens: a lexicon, hotwords, and the language model that goes with them."""

from collections.abc import Iterable, Sequence

from torch import nn

from infra.problem import Problem
from models.interface import Decoder
from models.search.translated import Translated
from models.search.words import Words, unspelled
from models.vocabulary import EOS, SPECIALS
from tasks.ngram.binary import Stored
from tasks.ngram.spelling import SPACE, spellings
from tasks.text import normalise
from tasks.tokenizer import Labels, Pieces, Symbols, TextTokenizer

NAMED = 3  # of the words that are wrong


def named(wrong: Sequence[str]) -> str:
    """The first of what is wrong, and how many more there are: for a line that a user reads."""
    return ", ".join(map(repr, wrong[:NAMED])) + (f" and {len(wrong) - NAMED} more" if wrong[NAMED:] else "")


def texts_of(tokenizer: TextTokenizer) -> tuple[str, ...]:
    """What each token adds to a text, with the space it begins with; "" for the special ones."""
    if isinstance(tokenizer, Labels) or tokenizer.first != len(SPECIALS):
        raise Problem("words are searched for with a tokenizer of text that has <s>, </s> and <unk>")
    return ("",) * len(SPECIALS) + tuple(_written(tokenizer))


def _written(tokenizer: Symbols | Pieces) -> list[str]:
    """The same without the special tokens."""
    if isinstance(tokenizer, Symbols):
        return [(tokenizer.separator and " ") + symbol for symbol in tokenizer.symbols]
    return [tokenizer.model.IdToPiece(i).replace(SPACE, " ") for i in range(len(SPECIALS), len(tokenizer))]


def translated(tokenizer: TextTokenizer, model: nn.Module, own: TextTokenizer) -> Translated:
    """A language model whose tokenizer is `own`, in the ids of a recogniser's tokenizer.

    Raises Problem where it does not have all of the recogniser's tokens, or knows no end of a sentence: EOS after each
    line, and where it reads characters the line end itself.
    """
    assert not isinstance(own, Labels), "a language model says text"
    texts, known = texts_of(tokenizer)[len(SPECIALS) :], {t: i for i, t in enumerate(_written(own), start=own.first)}
    if missing := [text for text in texts if text not in known]:
        raise Problem(
            f"the language model has no token {named(missing)}, which the bundle writes: train it on text that is "
            "divided and normalised alike (tokens.kind, tokens.text.*)"
        )
    end = known.get("\n") if isinstance(own, Symbols) and not own.separator else EOS
    if end is None:
        raise Problem(
            "the language model has never read the end of a line, and a sentence must end: train it on a sentence a "
            "line, with tokens.text.spaces=keep and, where punctuation is dropped, the line end in tokens.text.kept"
        )
    return Translated(model, [known[text] for text in texts], end)


def fused(
    tokenizer: TextTokenizer,
    stored: Stored | Translated | None,
    lexicon: Iterable[str] = (),
    hotwords: Iterable[str] = (),
) -> Decoder | None:
    """What a search is to fuse: the language model with the words, the model alone where there are none, or None.

    stored: a neural model in the tokenizer's ids, or an n-gram model of its tokens or of words; without a lexicon these
    words are it, as far as the tokens spell them. Raises Problem for a model of other tokens or of another alphabet,
    and naming words of the lexicon that cannot be spelled.
    """
    ngram = stored if isinstance(stored, Stored) else None
    texts, listed, hot = texts_of(tokenizer), _clean(lexicon, tokenizer), _clean(hotwords, tokenizer)
    if wrong := unspelled([*listed, *hot], texts):
        raise Problem(
            f"the model's tokens cannot spell {named(wrong)}: take such words out of the lexicon and the hotwords"
        )
    if ngram is None or _of_tokens(ngram.spellings, tokenizer):
        model = stored.model if isinstance(stored, Stored) else stored
        return Words(texts, listed, hot, tokens=model) if listed or hot else model
    return Words(texts, listed or _spelled(ngram, texts), hot, ngram=ngram.model, spellings=ngram.spellings)


def _of_tokens(written: Sequence[str], tokenizer: TextTokenizer) -> bool:
    """Whether a language model is of the tokenizer's tokens. Raises Problem for one of others that are no words."""
    known = spellings(tokenizer)
    if tuple(written) == known or not any(SPACE in token for token in written):
        return tuple(written) == known
    one, other = next(
        ((a, b) for a, b in zip(written, known, strict=False) if a != b), (f"{len(written)} tokens", f"{len(known)}")
    )
    raise Problem(
        f"the language model has other tokens than the bundle, {one!r} where it has {other!r}: "
        "train it with the bundle's tokenizer, or on words"
    )


def _spelled(stored: Stored, texts: Sequence[str]) -> tuple[str, ...]:
    """The model's words that the tokens spell: what it has beside them, digits say, cannot be heard anyway."""
    words = stored.spellings[len(SPECIALS) :]
    wrong = set(unspelled(words, texts))
    if 2 * len(wrong) > len(words):
        raise Problem(
            f"the language model has another alphabet than the bundle: {len(wrong)} of its {len(words)} words, such as "
            f"{min(wrong)!r}, cannot be spelled with the bundle's tokens"
        )
    return tuple(word for word in words if word not in wrong)


def _clean(words: Iterable[str], tokenizer: TextTokenizer) -> tuple[str, ...]:
    """The words as the tokenizer has text. Raises Problem for one that is none, or more, then."""
    cleaned = {}
    for word in words:
        text = normalise(word, tokenizer.text)
        if len(text.split()) != 1:
            raise Problem(f"{word!r} is {'no word' if not text.strip() else 'more than one word'}: give one at a time")
        cleaned[text.strip()] = None
    return tuple(cleaned)
