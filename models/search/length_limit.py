"""How many tokens a search may write, and which texts have come to that.

A search over frames (CTC, ASG, transducer) ends with them, and needs no limit. One that writes until EOS may wait for
it for ever, so its limit follows from the source's length T where `Beam.max_length` says none:

    attention       a token a step of the memory, or what the model says is more than anybody speaks or translates
    continuation    T + MORE_TOKENS
"""

import sys
from collections.abc import Sequence

from torch import Tensor

from models.interface import Beam, Hypothesis

MORE_TOKENS = 200  # fairseq's max_len_b


def most_tokens(beam: Beam) -> int:
    """max_length, or a number that no text reaches."""
    return beam.max_length or sys.maxsize


def length_limits(beam: Beam, usual: Tensor, ceilings: Tensor | None = None) -> list[int]:
    """For each source the most tokens of a search that needs a limit: max_length, and where there is none `usual` (B,).

    ceilings: (B,) that no max_length goes beyond.
    """
    limits = [beam.max_length] * len(usual) if beam.max_length else usual.clamp(min=1).tolist()
    most = limits if ceilings is None else ceilings.clamp(min=1).tolist()
    return [min(pair) for pair in zip(limits, most, strict=True)]


def mark_truncated(nbests: list[list[Hypothesis]], limits: Sequence[int]) -> list[list[Hypothesis]]:
    """The hypotheses of each source, `truncated` where they have as many tokens as its limit."""
    return [
        [found._replace(truncated=True) if len(found.tokens) >= limit else found for found in nbest]
        for nbest, limit in zip(nbests, limits, strict=True)
    ]
