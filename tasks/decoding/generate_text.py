"""Text that a language model writes after a context, as it is written."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import torch

from infra.errors import UserError
from models.interface import Padded
from models.search.language.text_generator import SamplingConfig, TextGenerator, generate_tokens
from models.special_tokens import BLANK, BOS, EOS, UNK
from tasks.text.tokenizer import TextTokenizer

SEEN = 8  # tokens that are decoded with each new one


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """context: what the text begins with, "" for a line break (or BOS). length: tokens to write, 0 for none.
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
        if self.length < 0:
            raise ValueError(f"length is at least 0, not {self.length}")


def generate_text(
    model: TextGenerator, tokens: TextTokenizer, prompt: Prompt, generator: torch.Generator
) -> Iterator[str]:
    """The context, then piece by piece what follows it. Raises UserError for a context that cannot be spelled."""
    special = tokens.first > 0
    line = tokens.encode(prompt.context or ("" if special else "\n"))
    if special and UNK in line:
        raise UserError(f"context {prompt.context!r}: not all of it is in the model's vocabulary")
    ids = torch.tensor([[BOS] * special + line], device=generator.device)
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
