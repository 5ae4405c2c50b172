"""How probable a language model finds a text, token by token.

log p(y) = sum_t log p(y_t | the end of a line, y_1 .. y_{t-1})

A text is one line or more. A model of words or pieces, and every n-gram model, has a token for the end of a line, which
each line is counted with. To a model of characters an end is the line feed: it is read before the text, and counted
where the text has one. A model of characters that has none reads nothing before the first, which is then not counted.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch

from infra.errors import UserError
from models.interface import Padded
from models.search.language.text_generator import TextGenerator
from models.special_tokens import EOS
from tasks.text.tokenizer import SymbolTokenizer, TextTokenizer

PIECE = 512  # tokens that are read at once, with the state carried on

LINE_FEED = "\n"


class TokenScore(NamedTuple):
    """text: of the token, a line feed for the end of a line. log_prob: in nats."""

    text: str
    log_prob: float


@dataclass(frozen=True)
class TextScore:
    """tokens: those that are counted."""

    tokens: tuple[TokenScore, ...]

    @property
    def log_prob(self) -> float:
        """Of the text, in nats."""
        return math.fsum(token.log_prob for token in self.tokens)

    @property
    def perplexity(self) -> float:
        """exp of the nats a token; nan without tokens."""
        return math.exp(-self.log_prob / len(self.tokens)) if self.tokens else math.nan


@torch.inference_mode()
def score_text(model: TextGenerator, tokenizer: TextTokenizer, text: str, *, ends: bool) -> TextScore:
    """ends: whether the model has a token for the end of a line. Raises UserError for a text of which nothing is left,
    and for characters that the model has no token for where none stands for them.
    """
    lines = [ids for line in text.splitlines() if (ids := tokenizer.encode(line))]
    ids = [token for line in lines for token in [*line, EOS]] if ends else tokenizer.encode(text)
    if not ids:
        raise UserError(f"{text[:40]!r}: nothing is left of this text once it is normalized")
    before = [EOS] if ends else _line_feed(tokenizer)
    read, state, scores = torch.tensor([*before, *ids]), None, list[float]()
    for at in range(0, len(read) - 1, PIECE):
        given, expected = read[at : at + PIECE][: len(read) - 1 - at], read[at + 1 : at + 1 + PIECE]
        log_probs, state = model.predict(Padded.stack([given]), state)
        scores += log_probs.data[0].double().gather(1, expected[:, None])[:, 0].tolist()
    counted = ids[len(ids) - len(scores) :]
    texts = (LINE_FEED if ends and token == EOS else tokenizer.decode([token]) for token in counted)
    return TextScore(tuple(map(TokenScore, texts, scores)))


def has_line_ends(tokenizer: TextTokenizer) -> bool:
    """Whether a neural model that reads a stream of these tokens has one for the end of a line, as
    tasks/batches/tokenize_text.py writes it.
    """
    return not (isinstance(tokenizer, SymbolTokenizer) and not tokenizer.separator)


def _line_feed(tokenizer: TextTokenizer) -> list[int]:
    assert isinstance(tokenizer, SymbolTokenizer), "characters"
    return [tokenizer.first + tokenizer.symbols.index(LINE_FEED)] if LINE_FEED in tokenizer.symbols else []
