"""CTC search: prefix beam search with language model fusion, and the best path for width 1.

Graves 2008, section 7.4.2; Hannun et al. 2014, https://arxiv.org/abs/1408.2873, algorithm 1. Each live prefix y
holds two masses over the alignments seen so far that collapse to it:

    b_t(y) = (b + l)_{t-1}(y) p_t(blank)                                      those that end in blank
    l_t(y) = l_{t-1}(y) p_t(y_last) + m_{t-1}(y') p_t(y_last)                 those that end in its last token
             where y = y' y_last and m(y') = b(y') if y' ends in y_last too, else (b + l)(y')

The prefixes of a whole batch grow together as tensors (B, W). A prefix is named by a 64-bit hash of its
tokens, so one that left the beam and came back is recognised as the parent of those that stayed.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from models.interface import Beam, Decoder, Hypothesis, Padded
from models.search.alignment import align
from models.search.fusion import Fusion
from models.vocabulary import BLANK

LOG_ZERO = -torch.inf


@torch.no_grad()
def prefix_beam(emissions: Padded, beam: Beam, lm: Decoder | None = None) -> list[list[Hypothesis]]:
    """For each utterance its hypotheses, best first, `beam.width` of them at most.

    emissions: log-probabilities (B, T, V). score: log of the summed probability of the alignments kept,
    plus lm_weight * log p_lm(y, EOS) and insertion_bonus * |y|. Width 1 is the greedy best path: its score is
    that of this one alignment, and tokens beyond max_length are read as blanks.
    Raises ValueError for a term this search does not have, and for fusion terms at width 1.
    """
    _refuse(beam, lm)
    greedy = beam.width == 1
    return _aligned(emissions, _best_path(emissions, beam.max_length) if greedy else _Search(emissions, beam, lm).run())


def _refuse(beam: Beam, lm: Decoder | None) -> None:
    if beam.coverage or beam.length_norm:
        raise ValueError("prefix_beam has no coverage and no length_norm: a CTC model has no attention; set both to 0")
    if beam.lm_weight and lm is None:
        raise ValueError(f"beam.lm_weight is {beam.lm_weight}, but there is no language model: give one or set it to 0")
    if beam.width == 1 and (beam.lm_weight or beam.insertion_bonus):
        raise ValueError(
            "beam.width 1 is the best path, without lm_weight and insertion_bonus: use a width of 2 or more"
        )


Ranked = list[list[tuple[tuple[int, ...], float]]]  # for each utterance (tokens, score), best first


def _best_path(emissions: Padded, max_length: int) -> Ranked:
    ranked: Ranked = []
    rows = zip(emissions.data, emissions.data.argmax(-1), emissions.lengths.tolist(), strict=True)
    for log_probs, best, length in rows:
        path = best[:length]
        begins = path != torch.nn.functional.pad(path, (1, 0), value=BLANK)[:length]
        begins &= path != BLANK
        path = path.masked_fill(begins.cumsum(0) > max_length, BLANK)
        score = log_probs[:length].double().gather(1, path[:, None]).sum()
        ranked.append([(tuple(path[begins & (path != BLANK)].tolist()), float(score))])
    return ranked


def _aligned(emissions: Padded, ranked: Ranked) -> list[list[Hypothesis]]:
    """Spans and confidence by the best alignment of each hypothesis."""
    width = max((len(nbest) for nbest in ranked), default=0)
    filled = [[torch.tensor(y, dtype=torch.long) for y, _ in nbest] for nbest in ranked]
    rows = [y for nbest in filled for y in nbest + [torch.zeros(0, dtype=torch.long)] * (width - len(nbest))]
    if not rows:
        return [[] for _ in ranked]
    paths = align(emissions, Padded.stack(rows))
    return [
        [
            Hypothesis(y, score, path.spans, path.confidence)
            for (y, score), path in zip(nbest, paths[b * width :], strict=False)
        ]
        for b, nbest in enumerate(ranked)
    ]


class Prefixes(NamedTuple):
    """The live prefixes of each utterance, every field (B, W). In a dead place both masses are zero."""

    blank: Tensor  # log mass of the alignments that end in blank
    label: Tensor  # log mass of those that end in the last token
    last: Tensor  # BLANK for the empty prefix
    length: Tensor
    name: Tensor  # hash of the tokens
    parent: Tensor  # hash of the tokens without the last

    @property
    def mass(self) -> Tensor:
        return torch.logaddexp(self.blank, self.label)


class _Search:
    """One search: the emissions prepared for it, and what it remembers to read the tokens back."""

    def __init__(self, emissions: Padded, beam: Beam, lm: Decoder | None) -> None:
        log_probs = emissions.data.double()
        past = ~emissions.mask()[..., None]
        log_probs = log_probs.masked_fill(past, LOG_ZERO)
        log_probs[..., BLANK].masked_fill_(past[..., 0], 0)  # past its end an utterance says blank, surely
        self.log_probs, self.beam = log_probs, beam
        # without a language model only the W + 1 best tokens of a step can lead into the beam
        grown = log_probs.shape[-1] - 1 if lm and beam.lm_weight else min(beam.width + 1, log_probs.shape[-1] - 1)
        self.tokens = log_probs[..., 1:].topk(grown, dim=-1, sorted=False).indices + 1  # (B, T, K), BLANK is 0
        self.fusion = Fusion(lm, beam, log_probs[:, 0] if log_probs.shape[1] else log_probs.sum(1))
        self.history: list[tuple[Tensor, Tensor]] = []

    def run(self) -> Ranked:
        live = self._empty()
        for t in range(self.log_probs.shape[1]):
            live = self._advance(live, self.log_probs[:, t], self.tokens[:, t])
        scores, order = (live.mass + self.fusion.final()).sort(dim=1, descending=True, stable=True)
        tokens = self._read_back(order)
        return [
            [
                (tuple(y[y != BLANK].tolist()), score)
                for y, score in zip(ys, row.tolist(), strict=True)
                if score > LOG_ZERO
            ]
            for ys, row in zip(tokens.cpu(), scores.cpu(), strict=True)
        ]

    def _empty(self) -> Prefixes:
        dead = self.log_probs.new_full((len(self.log_probs), self.beam.width), LOG_ZERO)
        zero = torch.zeros_like(dead, dtype=torch.long)
        blank = dead.clone()
        blank[:, 0] = 0
        return Prefixes(blank, dead, zero, zero, zero, zero + NOWHERE)

    def _advance(self, live: Prefixes, frame: Tensor, tokens: Tensor) -> Prefixes:
        """One step: frame (B, V), its candidate tokens (B, K)."""
        batch, width = live.last.shape
        mass = live.mass
        own = frame.gather(1, live.last)  # (B, W)
        is_child = live.parent[:, :, None] == live.name[:, None, :]  # (B, W of children, W of parents)
        repeats = live.last[:, :, None] == live.last[:, None, :]
        from_parent = torch.where(repeats, live.blank[:, None, :], mass[:, None, :])
        from_parent = from_parent.masked_fill(~is_child, LOG_ZERO).amax(2)
        label = torch.logaddexp(live.label, from_parent) + own
        label = label.masked_fill(live.last == BLANK, LOG_ZERO)
        blank = mass + frame[:, BLANK, None]

        same = tokens[:, None, :] == live.last[:, :, None]  # (B, W, K)
        grown = torch.where(same, live.blank[..., None], mass[..., None]) + frame.gather(1, tokens)[:, None, :]
        taken = torch.einsum("bqp,bqk->bpk", is_child.double(), same.double()) > 0
        grown = grown.masked_fill(taken | (live.length >= self.beam.max_length)[..., None], LOG_ZERO)

        stay = torch.logaddexp(blank, label) + self.fusion.held
        scores = torch.cat((stay, (grown + self.fusion.grown(tokens)).flatten(1)), 1)
        best = scores.topk(width, dim=1)  # (B, W)
        chosen = self._select(live._replace(blank=blank, label=label), grown, tokens, best.indices)
        # a candidate of no mass may be named like a live prefix: it must not come to life as its double
        return chosen._replace(parent=chosen.parent.masked_fill(best.values == LOG_ZERO, NOWHERE))

    def _select(self, live: Prefixes, grown: Tensor, tokens: Tensor, chosen: Tensor) -> Prefixes:
        """The chosen of (W that stay, W K that grow) as the next prefixes."""
        width, choices = live.last.shape[1], tokens.shape[1]
        extends = chosen >= width
        place = (chosen - width).clamp(min=0)
        origin = torch.where(extends, place // choices, chosen)
        added = torch.where(extends, tokens.gather(1, place % choices), BLANK)
        self.history.append((origin, added))
        self.fusion.select(origin, added)
        old = Prefixes(*(field.gather(1, origin) for field in live))
        return Prefixes(
            blank=old.blank.masked_fill(extends, LOG_ZERO),
            label=torch.where(extends, grown.flatten(1).gather(1, place), old.label),
            last=torch.where(extends, added, old.last),
            length=old.length + extends,
            name=torch.where(extends, _name(old.name, added), old.name),
            parent=torch.where(extends, old.name, old.parent),
        )

    def _read_back(self, order: Tensor) -> Tensor:
        """(B, W, T) the token each prefix of `order` gained at each step, BLANK where it gained none."""
        steps: list[Tensor] = []
        for origin, added in reversed(self.history):
            steps.append(added.gather(1, order))
            order = origin.gather(1, order)
        if not steps:
            return torch.zeros((*order.shape, 0), dtype=torch.long, device=order.device)
        return torch.stack(steps[::-1], -1)


NOWHERE = -(2**62)  # the parent of the empty prefix and of dead places


def _name(prefix: Tensor, token: Tensor) -> Tensor:
    """The hash of prefix and token: a step of splitmix64, whose products wrap around."""
    z = prefix + (token + 1) * -7046029254386353131
    z = (z ^ ((z >> 30) & 0x3FFFFFFFF)) * -4658895280553007687
    z = (z ^ ((z >> 27) & 0x1FFFFFFFFF)) * -7723592293110705685
    return z ^ ((z >> 31) & 0x1FFFFFFFF)
