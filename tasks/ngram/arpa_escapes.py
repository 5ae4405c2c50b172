"""How tokens are written in an ARPA file, where white space parts the words of an n-gram.

A character that cannot stand there is written as its code: a line feed is <U+000A>; the space alone is U+2581, as
SentencePiece has it. Specials are <s>, </s> and <unk>.
"""

from collections.abc import Sequence

from infra.errors import UserError
from models.special_tokens import SPECIALS
from tasks.text.tokenizer import SentencePieceTokenizer, TextTokenizer

SPACE = "\u2581"


def escape_tokens(tokenizer: TextTokenizer) -> tuple[str, ...]:
    """For every id how it is written. Raises UserError where two tokens are written alike."""
    if isinstance(tokenizer, SentencePieceTokenizer):
        pieces = [tokenizer.model.IdToPiece(i) for i in range(len(SPECIALS), len(tokenizer))]
        written = [SPACE.join(map(escape_token, piece.split(SPACE))) for piece in pieces]  # it writes a space as we do
    else:
        if len(tokenizer) != len(SPECIALS) + len(tokenizer.symbols):
            raise UserError("an n-gram model needs a tokenizer with <s>, </s> and <unk>: set tokens.specials=true")
        written = [escape_token(symbol) for symbol in tokenizer.symbols]
    check_tokens(written)
    return (*SPECIALS, *written)


def escape_token(symbol: str) -> str:
    """One symbol without white space or control characters."""
    if symbol == " ":
        return SPACE
    return "".join(c if c != SPACE and c.isprintable() and not c.isspace() else f"<U+{ord(c):04X}>" for c in symbol)


def check_tokens(written: Sequence[str]) -> None:
    """Raises UserError for a token written like a special or like another token."""
    seen = set[str]()
    for word in written:
        if word.lower() in SPECIALS:  # KenLM takes <UNK> for <unk>
            raise UserError(
                f"the word {word!r} is in the vocabulary as a word, but means something else in a language model: "
                "take it out of the text, or set tokens.text.punctuation=drop"
            )
        if word in seen or not word:
            raise UserError(f"two tokens of the vocabulary are written {word!r}: take one of them out of the text")
        seen.add(word)
