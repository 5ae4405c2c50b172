"""Where an autoregressive decoder looks while it reads known sequences."""

from collections.abc import Sequence

import torch
from torch import Tensor

from models.interface import Decoder, Padded
from models.special_tokens import BOS, EOS


def teacher_forced_attention(model: Decoder, source: Padded, tokens: Sequence[int]) -> Tensor | None:
    """The attention (U + 1, T') to the memory of one source (1, T, D), for each token and the one after them, EOS."""
    return teacher_forced_attentions(model, source, [tokens])[0]


@torch.no_grad()
def teacher_forced_attentions(model: Decoder, source: Padded, targets: Sequence[Sequence[int]]) -> list[Tensor | None]:
    """The same of each source of a batch (B, T, D) and its target: (U + 1, T') each.

    Each step reads the token before it, as in training. None for a decoder without memory or attention.
    """
    memory = model.encode(source)
    if memory is None:
        return [None] * len(targets)
    state, rows = model.start(memory, len(targets)), list[Tensor]()
    read = Padded.stack([torch.tensor([BOS, *tokens]) for tokens in targets], EOS).data.to(source.data.device)
    for tokens in read.unbind(1):
        step = model.step(tokens, state, memory)
        if step.attention is None:
            return [None] * len(targets)
        rows.append(step.attention)
        state = step.state
    looked = torch.stack(rows, 1)  # (B, U + 1, T')
    sizes = zip(targets, memory.lengths.tolist(), strict=True)
    return [looked[i, : len(tokens) + 1, :length] for i, (tokens, length) in enumerate(sizes)]
