"""Where an autoregressive decoder looks while it reads a known sequence."""

from collections.abc import Sequence

import torch
from torch import Tensor

from models.criteria.token_cross_entropy import prepend_bos
from models.interface import Decoder, Padded


def teacher_forced_attention(model: Decoder, source: Padded, tokens: Sequence[int]) -> Tensor | None:
    """The attention (U + 1, T') to the memory of one source (1, T, D), for each token and the one after them, EOS.

    Each step reads the token before it, as in training. None for a decoder without memory or attention.
    """
    target = Padded.stack([torch.tensor(tokens, dtype=torch.long)]).to(source.data.device)
    paid = batch_attention(model, source, target)
    return paid[0] if paid else None


@torch.no_grad()
def batch_attention(model: Decoder, source: Padded, target: Padded) -> list[Tensor] | None:
    """The same of each source and its tokens (B, U)."""
    memory, read = model.encode(source), prepend_bos(target)
    if memory is None or not len(target.lengths):
        return None
    state, rows = model.start(memory, len(target.lengths)), list[Tensor]()
    for tokens in read.data.unbind(1):
        step = model.step(tokens, state, memory)
        if step.attention is None:
            return None
        rows.append(step.attention)
        state = step.state
    paid, lengths = torch.stack(rows, 1), zip(read.lengths.tolist(), memory.lengths.tolist(), strict=True)
    return [one[:u, :t] for one, (u, t) in zip(paid, lengths, strict=True)]
