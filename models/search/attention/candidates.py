"""The best prefixes with one more token, of all that a beam holds: exact, without a sort of the whole vocabulary.

Of each prefix a few tokens can come among the best of all: as many as are kept, and one for each that is scored anew
after its place among the others is known, BLANK, BOS, EOS and UNK.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from models.interface import Beam, Step
from models.special_tokens import BLANK, BOS, EOS, UNK

ANEW = 4  # tokens that are scored apart
CHUNK = 128  # tokens: of a large vocabulary the best of each so many are compared first


def score_candidates(
    steps: Sequence[Step], weights: Sequence[float], scores: Tensor, beam: Beam
) -> tuple[Tensor, Tensor]:
    """Scores (A, K, C) float64 of what K prefixes with scores (A, K) can grow into, and with which tokens (A, K, C).

    steps: of the model and what is fused with it, whose log-probabilities have these weights, the model's 1. Raises
    ValueError unless all of them know as many tokens.
    """
    told, held = steps[0].log_probs, scores + beam.insertion_bonus
    for step in steps[1:]:
        if step.log_probs.shape != told.shape:
            sizes = f"{step.log_probs.shape[1]} tokens, the model {told.shape[1]}"
            raise ValueError(f"the language model or CTC head knows {sizes}: use one tokenizer")
    if len(steps) > 1:
        totals = held[..., None] + told.unflatten(0, scores.shape)
        for step, weight in zip(steps[1:], weights[1:], strict=True):
            totals.add_(step.log_probs.unflatten(0, scores.shape), alpha=weight)
        told, held = totals.flatten(0, 1), torch.zeros_like(held)
    best, tokens = largest(told, beam.width + ANEW)
    special = (tokens == BLANK) | (tokens == BOS) | (tokens == EOS) | (tokens == UNK)
    best = best.masked_fill(special, -torch.inf).unflatten(0, scores.shape)
    ends = told[:, EOS].unflatten(0, scores.shape)
    totals = torch.cat((held[..., None] + best, (held + ends - beam.insertion_bonus)[..., None]), 2)
    return totals, torch.nn.functional.pad(tokens.unflatten(0, scores.shape), (0, 1), value=EOS)


def largest(values: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` largest of each row (N, V), or all there are, and their places; NaN counts as larger than all."""
    rows, size = values.shape
    chunks = size // CHUNK
    if chunks < 4 * count:
        return values.topk(min(count, size), 1)
    whole = values[:, : chunks * CHUNK].unflatten(1, (chunks, CHUNK))
    chosen = whole.amax(2).topk(count, 1).indices  # the largest are in the chunks whose own largest are so
    first = whole.gather(1, chosen[..., None].expand(-1, -1, CHUNK)).flatten(1)
    at, place = torch.cat((first, values[:, chunks * CHUNK :]), 1).topk(count, 1)
    inside = place < count * CHUNK
    chunk = chosen.gather(1, (place // CHUNK).clamp(max=count - 1))
    rest = place - count * CHUNK + chunks * CHUNK
    return at, torch.where(inside, chunk * CHUNK + place % CHUNK, rest)


def choose(candidates: tuple[Tensor, Tensor], beam: Beam) -> tuple[Tensor, Tensor, Tensor]:
    """Of scores and tokens (A, K, C) those to keep: scores, places of their prefixes and tokens, (A, W) each.

    The groups of a beam have their own part of the K prefixes each, or all the same one. Raises ValueError for NaN.
    """
    scores, tokens = candidates
    kept: list[tuple[Tensor, Tensor, Tensor]] = []
    parts = beam.groups if scores.shape[1] > 1 else 1
    size = scores.shape[1] // parts
    for group in range(beam.groups):
        begin = group * size if parts > 1 else 0
        own, said = (x[:, begin : begin + size].flatten(1) for x in (scores, tokens))
        ranked = own
        for before, _, taken in kept:
            same = (said[..., None] == taken[:, None]) & (before > -torch.inf)[:, None]
            ranked = ranked - beam.diversity * same.sum(2)
        best, at = ranked.topk(min(beam.width // beam.groups, ranked.shape[1]), 1)
        if bool(best.isnan().any()):  # which topk puts before all numbers
            raise ValueError("the model's log-probabilities hold NaN")
        origin = at // tokens.shape[2] + begin
        kept.append((own.gather(1, at), origin, said.gather(1, at)))
    found = [torch.cat(parts, 1) for parts in zip(*kept, strict=True)]
    return found[0], found[1], found[2]
