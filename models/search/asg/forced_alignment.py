"""Viterbi alignment for the auto segmentation criterion: which steps carry which token of a known text, how surely.

The states of a text are those of models/criteria/asg.py: the silence before it, which may be left out, and each token's
symbol. A step stays or moves to the next state.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from models.criteria.asg import path_states
from models.interface import Hypothesis, Padded


@torch.no_grad()
def add_spans(
    found: list[list[Hypothesis]], emissions: Padded, transitions: Tensor, occupied: Tensor
) -> list[list[Hypothesis]]:
    """The hypotheses of each utterance with their spans and confidence.

    emissions: (B, T, V), zero on the padding. occupied: (B, T, V) log p(pi_t = v | x). Every text has a path.
    """
    owner = torch.tensor([b for b, nbest in enumerate(found) for _ in nbest], device=transitions.device)
    texts = [torch.tensor(h.tokens, dtype=torch.long) for nbest in found for h in nbest]
    target = Padded.stack(texts).to(transitions.device)
    states = path_states(target)
    steps = emissions.lengths.to(owner.device)[owner]
    taken = states[:, None].expand(-1, emissions.data.shape[1], -1)
    path = _best_states(emissions.data[owner].gather(2, taken), states, steps, target.lengths, transitions)
    sure = occupied[owner].gather(2, taken).gather(2, path[..., None]).squeeze(2)
    rows = iter(zip(path.tolist(), sure.tolist(), steps.tolist(), strict=True))
    return [[_read(h, *next(rows)) for h in nbest] for nbest in found]


def _best_states(local: Tensor, states: Tensor, steps: Tensor, ends: Tensor, g: Tensor) -> Tensor:
    """Of scores (N, T, S) the state (N, T) of each row's best path at each step, from state 0 or 1 to `ends`."""
    stay, move = g[states, states], g[F.pad(states, (1, -1)), states]
    best = local[:, 0].clone()
    best[:, 2:] = -torch.inf
    moves = torch.zeros(local.shape, dtype=torch.bool, device=local.device)
    for t in range(1, local.shape[1]):
        stayed, entered = best + stay, F.pad(best[:, :-1], (1, 0), value=-torch.inf) + move
        moves[:, t] = entered > stayed
        best = torch.where((t < steps)[:, None], torch.maximum(stayed, entered) + local[:, t], best)
    state = ends.to(local.device)[:, None]
    path = [state]
    for t in range(local.shape[1] - 1, 0, -1):
        state = state - (moves[:, t].gather(1, state) & (t < steps)[:, None]).long()
        path.append(state)
    return torch.cat(path[::-1], 1)


def _read(hypothesis: Hypothesis, path: list[int], sure: list[float], steps: int) -> Hypothesis:
    """State u + 1 is token u."""
    count = len(hypothesis.tokens)
    first, last, peaks = [steps] * count, [0] * count, [-math.inf] * count
    for t, (state, log_p) in enumerate(zip(path[:steps], sure, strict=False)):
        if state:
            first[state - 1], last[state - 1] = min(first[state - 1], t), t + 1
            peaks[state - 1] = max(peaks[state - 1], log_p)
    spans = tuple(zip(first, last, strict=True))
    confidence = math.exp(min(sum(peaks) / count, 0.0)) if count else math.nan
    return hypothesis._replace(spans=spans, confidence=confidence)
