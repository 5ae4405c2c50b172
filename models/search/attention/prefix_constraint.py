"""Targets that begin with given tokens: a voice of the search that lets nothing else pass.

log p of a token is 0 where it is the one that is given, or where none is given any more, and -inf elsewhere.
"""

import torch
from torch import Tensor

from models.interface import Beam, Decoder, Hypothesis, Memory, Padded, Step
from models.search.attention.beam import Scorer, fused_voices, search_voices
from models.search.length_limit import length_limits
from models.special_tokens import BLANK, BOS, EOS, UNK


class PrefixConstraint:
    """A `Decoder` over a vocabulary of `size` whose memory is the tokens (B, P) that each text begins with."""

    def __init__(self, size: int) -> None:
        self.size = size

    def encode(self, source: Padded | None) -> Padded:
        assert source is not None, "a constraint needs tokens"
        return source

    def start(self, memory: Memory | None, batch_size: int) -> Tensor:
        """(N,) the tokens written."""
        assert memory is not None, "a constraint needs tokens"
        return torch.zeros(batch_size, dtype=torch.long, device=memory.data.device)

    def step(self, tokens: Tensor, state: Tensor, memory: Memory | None) -> Step:
        assert memory is not None, "a constraint needs tokens"
        rows = torch.arange(len(memory.lengths), device=tokens.device).repeat_interleave(
            len(tokens) // len(memory.data)
        )
        given = state < memory.lengths.to(tokens.device)[rows]
        log_probs = torch.zeros(len(tokens), self.size, device=tokens.device)
        if bool(given.any()):
            log_probs[given] = -torch.inf
            log_probs[given, memory.data[rows[given], state[given]]] = 0
        return Step(log_probs, state + 1)


def prefix_constrained_beam(
    model: Decoder,
    memory: Memory,
    beam: Beam,
    prefixes: Padded,
    lm: Decoder | None = None,
    limits: Tensor | None = None,
) -> list[list[Hypothesis]]:
    """`attention_beam` for texts that begin with tokens (B, P), which the hypotheses hold and which are scored too.

    Raises ValueError for a prefix with BLANK, BOS, EOS or UNK, which no search writes, and for one as long as its
    limit.
    """
    given = prefixes.data[prefixes.mask()]
    if bool(((given == BLANK) | (given == BOS) | (given == EOS) | (given == UNK)).any()):
        raise ValueError("a target begins with tokens that a search writes: not blank, <s>, </s> or <unk>")
    most = length_limits(beam, memory.lengths if limits is None else limits, limits)
    for prefix, limit in zip(prefixes.lengths.tolist(), most, strict=True):
        if prefix >= limit:
            raise ValueError(f"a target of at most {limit} tokens cannot begin with {prefix}")
    voices = fused_voices(model, memory, beam, lm)
    if not most:
        return []
    first = model.step(given.new_full((len(most),), BOS), model.start(memory, len(most)), memory)
    voices.append(Scorer(PrefixConstraint(first.log_probs.shape[1]), prefixes, 1.0))
    return search_voices(voices, beam, most)
