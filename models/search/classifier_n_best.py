"""The search of a classifier: its labels, most probable first."""

import torch
from torch import Tensor

from models.interface import Beam, Decoder, Hypothesis


@torch.no_grad()
def classifier_n_best(log_probs: Tensor, beam: Beam, lm: Decoder | None = None) -> list[list[Hypothesis]]:
    """For each sequence its `beam.width` best labels, or all there are, best first.

    log_probs: (B, V). A hypothesis is one token, its score log p(label | x) in nats, its confidence p(label | x).
    Raises ValueError for every term of `beam` that ranks sentences, and for a language model: a label has neither.
    """
    for name in beam.beyond():
        raise ValueError(f"a classifier finds one label: beam.{name} has no meaning for it; leave it out")
    if lm is not None:
        raise ValueError("a classifier finds one label: it takes no language model")
    best = log_probs.double().topk(min(beam.width, log_probs.shape[1]), dim=1)
    ranked = zip(best.values.tolist(), best.values.exp().tolist(), best.indices.tolist(), strict=True)
    return [[Hypothesis((label,), score, confidence=p) for score, p, label in zip(*row, strict=True)] for row in ranked]
