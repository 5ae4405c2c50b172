"""Where an autoregressive decoder looks while it reads a known sequence."""

from collections.abc import Sequence

import torch
from torch import Tensor

from models.interface import Decoder, Padded
from models.special_tokens import BOS


@torch.no_grad()
def teacher_forced_attention(model: Decoder, source: Padded, tokens: Sequence[int]) -> Tensor | None:
    """The attention (U + 1, T') to the memory of one source (1, T, D), for each token and the one after them, EOS.

    Each step reads the token before it, as in training. None for a decoder without memory or attention.
    """
    memory = model.encode(source)
    if memory is None:
        return None
    state, rows = model.start(memory, 1), list[Tensor]()
    for token in (BOS, *tokens):
        step = model.step(torch.tensor([token], device=source.data.device), state, memory)
        if step.attention is None:
            return None
        rows.append(step.attention[0, : int(memory.lengths[0])])
        state = step.state
    return torch.stack(rows)
