"""Beam search for the most probable continuations y of texts that a language model has read.

score(y) = log p(y EOS | source) / ((5 + |y|) / 6)^length_norm + insertion_bonus |y|

A continuation ends with EOS, or without it after max_length tokens. In every step the `width` best of all live
prefixes with one more token are kept; those that end leave the beam (Sutskever et al. 2014, section 3.2,
https://arxiv.org/abs/1409.3215). The prefixes of a whole batch grow together.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from models.interface import Beam, Decoder, Hypothesis, LanguageModel, Padded, State
from models.search.state_tree import select_rows
from models.special_tokens import EOS


class ActiveContinuations(NamedTuple):
    """The prefixes still growing; a place without one scores -inf."""

    scores: Tensor  # (B, W) log p of the tokens
    tokens: Tensor  # (B, W, u)
    state: State  # leaves (B W, ...)
    log_probs: Tensor  # (B, W, V) of what comes next


@torch.no_grad()
def continuation_beam(model: LanguageModel, source: Padded, beam: Beam, lm: Decoder | None) -> list[list[Hypothesis]]:
    """For each source, tokens (B, T) as the model was trained to read them, its continuations, best first.

    Width 1 takes the most probable token each time. Raises ValueError for a term this search does not have and for
    a source without any token.
    """
    if beam.coverage or beam.lm_weight or lm is not None:
        raise ValueError("continuation has no coverage and no lm_weight: it searches a language model; set both to 0")
    for name in beam.beyond("length_norm", "insertion_bonus"):
        raise ValueError(f"continuation has no {name}: leave beam.{name} out")
    if not len(source.lengths):
        return []
    if int(source.lengths.min()) < 1:
        raise ValueError("a language model continues what it has read: each source has one token or more (BOS)")
    live = _read(model, source, beam.width)
    ended: list[list[Hypothesis]] = [[] for _ in source.lengths]
    for length in range(beam.max_length):
        live = _grow(model, live, beam, ended)
        if all(_settled(nbest, row, length + 1, beam) for nbest, row in zip(ended, live.scores, strict=True)):
            break
    else:
        for nbest, tokens, scores in zip(ended, live.tokens.tolist(), live.scores.tolist(), strict=True):
            nbest += [
                _hypothesis(y, score, beam) for y, score in zip(tokens, scores, strict=True) if score > -torch.inf
            ]
    return [sorted(nbest, key=lambda h: -h.score)[: beam.width] for nbest in ended]


def _read(model: LanguageModel, source: Padded, width: int) -> ActiveContinuations:
    """The sources read at once; in each row one live prefix, the empty one."""
    seen, state = model.predict(source, None)
    batch, device = len(source.lengths), seen.data.device
    rows = torch.arange(batch, device=device)
    last = seen.data[rows, source.lengths.to(device) - 1]
    scores = torch.full((batch, width), -torch.inf, dtype=last.dtype, device=device)
    scores[:, 0] = 0
    tokens = torch.zeros((batch, width, 0), dtype=torch.long, device=device)
    state = select_rows(state, rows.repeat_interleave(width))
    return ActiveContinuations(scores, tokens, state, last[:, None].expand(-1, width, -1))


def _grow(
    model: LanguageModel, live: ActiveContinuations, beam: Beam, ended: list[list[Hypothesis]]
) -> ActiveContinuations:
    """One more token for the best prefixes; those that it ends are added to `ended`."""
    batch, width, size = live.log_probs.shape
    scores, best = (live.scores[..., None] + live.log_probs).flatten(1).topk(min(width, width * size), dim=1)
    origin, added = best // size, best % size
    tokens = torch.cat(
        (live.tokens.gather(1, origin[..., None].expand(-1, -1, live.tokens.shape[2])), added[..., None]), 2
    )
    done = (added == EOS) & (scores > -torch.inf)
    for b, w in done.nonzero().tolist():
        ended[b].append(_hypothesis(tokens[b, w, :-1].tolist(), float(scores[b, w]), beam))
    rows = (origin + width * torch.arange(batch, device=origin.device)[:, None]).flatten()
    step = model.step(added.flatten(), select_rows(live.state, rows), None)
    log_probs = step.log_probs.view(batch, width, size)
    return ActiveContinuations(scores.masked_fill(done, -torch.inf), tokens, step.state, log_probs)


def _hypothesis(tokens: list[int], log_prob: float, beam: Beam) -> Hypothesis:
    norm = ((5 + len(tokens)) / 6) ** beam.length_norm
    return Hypothesis(tuple(tokens), log_prob / norm + beam.insertion_bonus * len(tokens))


def _settled(nbest: list[Hypothesis], live: Tensor, length: int, beam: Beam) -> bool:
    """Whether nothing live, of `length` tokens, can still come among the best `width`."""
    best = float(live.max())
    if best == -torch.inf:
        return True
    if len(nbest) < beam.width:
        return False
    ceiling = best / ((5 + beam.max_length) / 6) ** beam.length_norm  # log-probabilities only fall
    ceiling += max(beam.insertion_bonus * length, beam.insertion_bonus * beam.max_length)
    return sorted(h.score for h in nbest)[-beam.width] >= ceiling
