"""Tokens with their output steps to words with their times."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from models.interface import Hypothesis
from tasks.bundles.build_fusion_lm import token_texts
from tasks.text.tokenizer import TextTokenizer


class TimedToken(NamedTuple):
    """A word or a token as it is written, with its seconds. confidence: in [0, 1], 1 where nothing is known of it."""

    text: str
    begin: float
    end: float
    confidence: float = 1.0


class FrameTiming(NamedTuple):
    """How output steps become seconds. offset: of the first one."""

    step_seconds: float
    offset: float = 0.0

    def seconds(self, step: int) -> float:
        return round(self.offset + step * self.step_seconds, 4)


class WordTimestamps:
    """Words of a tokenizer's tokens; spaces are in none."""

    def __init__(self, tokenizer: TextTokenizer, pause: float = math.inf) -> None:
        """pause: so many steps without a token end a word. Raises UserError for labels, which are no text."""
        self.texts, self.pause = token_texts(tokenizer), pause
        self.parts = any(text and not text[0].isspace() for text in self.texts)  # whether words are made of them

    def spoken(self, tokens: Sequence[int], spans: Sequence[tuple[int, int]] = ()) -> list[list[int]]:
        """For each word which of the tokens it is made of, those that are only space left out. spans: their steps."""
        words: list[list[int]] = []
        apart = True
        for place, token in enumerate(tokens):
            text = self.texts[token]
            if not text:
                continue  # of a special token nothing is written
            apart = apart or text[0].isspace()
            if text.strip():
                apart = apart or bool(spans and spans[place][0] - spans[words[-1][-1]][1] >= self.pause)
                words.append([]) if apart else None
                words[-1].append(place)
                apart = text[-1].isspace()
        return words

    def timed(self, found: Hypothesis, clock: FrameTiming, sure: Sequence[float] = ()) -> list[TimedToken]:
        """The words with the time from the first step of each one's tokens to the last, [begin, end).

        sure: of each token its probability; a word's confidence is their geometric mean. Without spans all times are 0.
        """
        spans = found.spans or ((0, 0),) * len(found.tokens)
        words = []
        for places in self.spoken(found.tokens, found.spans):
            text = "".join(self.texts[found.tokens[k]] for k in places).strip()
            begin, end = (clock.seconds(spans[k][side]) for k, side in ((places[0], 0), (places[-1], 1)))
            words.append(TimedToken(text, begin, end, _mean([sure[k] for k in places]) if sure else 1.0))
        return words

    def closed(self, tokens: Sequence[int]) -> bool:
        """Whether the last of the tokens ends its word."""
        texts = [text for token in tokens if (text := self.texts[token])]
        return not self.parts or not texts or texts[-1][-1].isspace()


def _mean(values: Sequence[float]) -> float:
    """Geometric."""
    product = 1.0
    for value in values:
        product *= value
    return product ** (1 / len(values))
