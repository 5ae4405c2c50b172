"""Shallow fusion: what a language model and the insertion bonus add to the score of each live prefix.

    fused(y) = lm_weight * log p_lm(y) + insertion_bonus * |y|

Only prefixes that grew in a step of the search are stepped in the language model.
"""

import torch
from torch import Tensor

from models.interface import Beam, Decoder, Step
from models.search import state_pytree as states
from models.special_tokens import BLANK, BOS, EOS


class ShallowFusion:
    """The fusion terms of the (B, W) live prefixes of one search; all empty at first.

    held: (B, W) fused(y) without EOS. The language model's ids are the emissions' ids, and its state has
    one size whatever it has read (recurrent networks, n-grams), or is a `GrowingState` (Transformers): a ValueError
    says when either does not hold.
    """

    def __init__(self, lm: Decoder | None, beam: Beam, emissions: Tensor) -> None:
        batch, size, device = len(emissions), emissions.shape[-1], emissions.device
        self.weight, self.bonus = beam.lm_weight, beam.insertion_bonus
        self.held = torch.zeros((batch, beam.width), dtype=emissions.dtype, device=device)
        self.lm = lm if beam.lm_weight else None
        self.step: Step | None = None
        if self.lm is not None:
            rows = self.held.numel()
            start = torch.full((rows,), BOS, dtype=torch.long, device=device)
            self.step = self.lm.step(start, self.lm.start(None, rows), None)
            if self.step.log_probs.shape[1] != size:
                known = self.step.log_probs.shape[1]
                raise ValueError(f"the language model knows {known} tokens, the emissions {size}: use one tokenizer")

    def grown(self, tokens: Tensor) -> Tensor:
        """(B, W, K) fused(y c) for the tokens c (B, K) of each utterance."""
        held = self.held[..., None] + self.bonus
        if self.step is None:
            return held.expand(-1, -1, tokens.shape[1])
        return held + self.weight * self._log_probs().gather(2, tokens[:, None].expand(-1, self.held.shape[1], -1))

    def final(self) -> Tensor:
        """(B, W) fused(y) of whole sentences: log p_lm(y) includes EOS."""
        return self.held if self.step is None else self.held + self.weight * self._log_probs()[..., EOS]

    def select(self, origin: Tensor, added: Tensor) -> None:
        """Place w of each utterance becomes the prefix of place `origin` (B, W), with `added` unless BLANK."""
        batch, width = origin.shape
        gains = added != BLANK
        self.held = self.held.gather(1, origin) + gains.to(self.held.dtype) * self.bonus
        if self.lm is None or self.step is None:
            return
        rows = (origin + width * torch.arange(batch, device=origin.device)[:, None]).flatten()
        log_probs = self.step.log_probs.index_select(0, rows)
        state = states.select_rows(self.step.state, rows)
        news = gains.flatten().nonzero().squeeze(1)
        tokens = added.flatten().index_select(0, news)
        gain = log_probs.index_select(0, news).gather(1, tokens[:, None]).squeeze(1).to(self.held.dtype)
        self.held = self.held.flatten().index_add(0, news, self.weight * gain).view(batch, width)
        if len(news):
            new = self.lm.step(tokens, states.select_rows(state, news), None)
            log_probs = log_probs.index_copy(0, news, new.log_probs)
            state = states.replace_rows(state, news, new.state)
        self.step = Step(log_probs, state)

    def _log_probs(self) -> Tensor:
        assert self.step is not None
        return self.step.log_probs.view(*self.held.shape, -1).to(self.held.dtype)
