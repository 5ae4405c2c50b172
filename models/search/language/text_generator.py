"""Text drawn from a language model, token by token.

p_i = softmax(log p / temperature)_i over the top_k most probable tokens, and of those over the smallest set whose
probability reaches top_p (nucleus sampling: Holtzman et al. 2020, https://arxiv.org/abs/1904.09751, section 3.1)
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from models.interface import Memory, Padded, State, Step
from models.search.state_pytree import select_rows


class TextGenerator(Protocol):
    """What is asked of a model that writes: a `LanguageModel` has it, and an n-gram."""

    def predict(self, tokens: Padded, state: State | None) -> tuple[Padded, State]: ...
    def step(self, tokens: Tensor, state: State, memory: Memory | None) -> Step: ...


@dataclass(frozen=True, kw_only=True)
class SamplingConfig:
    """temperature: below 1 sharpens, above 1 flattens, 0 takes the most probable token. top_k: 0 for all tokens.

    forbidden: ids that are never drawn, such as special tokens.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    forbidden: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "forbidden", tuple(self.forbidden))
        if not 0 <= self.temperature < math.inf:
            raise ValueError(f"temperature is a number, 0 (the most probable token) or more, not {self.temperature}")
        if self.top_k < 0 or not 0 < self.top_p <= 1:
            raise ValueError(f"top_k is not negative, top_p above 0 and at most 1: {self.top_k}, {self.top_p}")


def generate_tokens(
    model: TextGenerator, context: Padded, how: SamplingConfig, generator: torch.Generator
) -> Iterator[Tensor]:
    """After each context (B, T), tokens as the model was trained to read them, endless text: ids (B,) a step.

    The generator, on the model's device, decides: the same seed gives the same text. Which row ends where (EOS) is
    for the caller to say. Raises ValueError for a context without any token.
    """
    if not len(context.lengths) or int(context.lengths.min()) < 1:
        raise ValueError("a context has one token or more")
    return _drawn(model, context, how, generator)


def _drawn(model: TextGenerator, context: Padded, how: SamplingConfig, generator: torch.Generator) -> Iterator[Tensor]:
    with torch.inference_mode():  # left while the caller holds a token: `yield` is outside of it
        seen, state = model.predict(context, None)
        rows = torch.arange(len(context.lengths), device=seen.data.device)
        log_probs = seen.data[rows, context.lengths.to(rows.device) - 1]
        state = select_rows(state, rows)
        tokens = sample_token(log_probs, how, generator)
    while True:
        yield tokens
        with torch.inference_mode():
            log_probs, state, _ = model.step(tokens, state, None)
            tokens = sample_token(log_probs, how, generator)


def sample_token(log_probs: Tensor, how: SamplingConfig, generator: torch.Generator) -> Tensor:
    """One token (B,) for each distribution (B, V)."""
    if how.forbidden:
        log_probs = log_probs.clone()
        log_probs[:, list(how.forbidden)] = -torch.inf
    if how.temperature == 0:
        return log_probs.argmax(-1)
    best = log_probs.max(-1, keepdim=True).values.double()  # what is left of others as the temperature falls is 0
    scores, ids = ((log_probs.double() - best) / how.temperature).to(log_probs.dtype), None
    if 0 < how.top_k < scores.shape[1] or how.top_p < 1:
        scores, ids = scores.topk(min(how.top_k or scores.shape[1], scores.shape[1]), dim=-1)  # in falling order
    probs = scores.softmax(-1)
    if how.top_p < 1:
        before = probs.cumsum(-1) - probs  # the first token has 0 before it, and so always stays
        probs = probs.masked_fill(before >= how.top_p, 0)
    # torch.multinomial without its checks: the largest of p / Exp(1) falls on i with probability p_i
    chosen = (probs / torch.empty_like(probs).exponential_(generator=generator)).argmax(-1, keepdim=True)
    return (chosen if ids is None else ids.gather(1, chosen)).squeeze(1)
