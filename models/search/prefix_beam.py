"""CTC search: the best path for width 1."""

import torch

from models.interface import Beam, Decoder, Hypothesis, Padded
from models.vocabulary import BLANK


@torch.no_grad()
def prefix_beam(emissions: Padded, beam: Beam, lm: Decoder | None = None) -> list[list[Hypothesis]]:
    del lm
    best = emissions.data.max(-1)
    found: list[list[Hypothesis]] = []
    for path, scores, length in zip(best.indices, best.values, emissions.lengths.tolist(), strict=True):
        collapsed = torch.unique_consecutive(path[:length])
        tokens = tuple(collapsed[collapsed != BLANK].tolist())[: beam.max_length]
        found.append([Hypothesis(tokens, float(scores[:length].sum()))])
    return found
