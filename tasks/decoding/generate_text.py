"""Text that a language model writes after a context, as it is written."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import torch

from infra.errors import UserError
from models.interface import Padded
from models.search.language.text_generator import SamplingConfig, TextGenerator, generate_tokens
from models.special_tokens import BLANK, BOS, EOS, UNK
from tasks.text.tokenizer import SentencePieceTokenizer, TextTokenizer

SEEN = 8  # tokens that are decoded with each new one


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """context: what the text begins with, "" for BOS, or where there is none a line break, or where that is none either
    the first of the characters. length: tokens to write, 0 for none.
    temperature, top_k, top_p: see models/search/language/text_generator.py. seed: the same gives the same text.
    """

    context: str = ""
    length: int = 200
    temperature: float = 0.8
    top_k: int = 0
    top_p: float = 1.0
    seed: int = 1

    def __post_init__(self) -> None:
        SamplingConfig(temperature=self.temperature, top_k=self.top_k, top_p=self.top_p)
        if not 0 <= self.length <= sys.maxsize:
            raise ValueError(f"length is at least 0, not {self.length}")
        if not 0 <= self.seed < 1 << 63:
            raise ValueError(f"seed is 0 or more and below 2^63, not {self.seed}")


def spell_context(tokens: TextTokenizer, context: str) -> list[int]:
    """The ids that a model reads before it writes. Raises UserError for a context that cannot be spelled."""
    if tokens.first:
        line = tokens.encode(context)
        if UNK in line:
            raise UserError(f"context {context!r}: not all of it is in the model's vocabulary")
        return [BOS, *line]
    assert not isinstance(tokens, SentencePieceTokenizer)
    begin = "\n" if "\n" in tokens.symbols else tokens.symbols[0]
    return tokens.encode(context or begin)


def generate_text(
    model: TextGenerator, tokens: TextTokenizer, prompt: Prompt, generator: torch.Generator
) -> Iterator[str]:
    """The context, then piece by piece what follows it. Raises UserError for a context that cannot be spelled."""
    special, line = tokens.first > 0, spell_context(tokens, prompt.context)
    ids = torch.tensor([line], device=generator.device)
    line = line[special:]
    forbidden = (BLANK, BOS, UNK) if special else ()
    how = SamplingConfig(temperature=prompt.temperature, top_k=prompt.top_k, top_p=prompt.top_p, forbidden=forbidden)
    drawn = generate_tokens(model, Padded(ids, torch.tensor([ids.shape[1]])), how, generator)
    yield prompt.context
    for step in islice(drawn, prompt.length):
        if special and int(step) == EOS:
            line = []
            yield "\n"
            continue
        line = line[-SEEN:]
        shown = tokens.decode(line)  # how a word or a piece is spaced depends on what stands before it
        line.append(int(step))
        yield tokens.decode(line)[len(shown) :]
