"""Beam search over autoregressive decoders: a batch of sources x at once, their prefixes y side by side.

score(y) = log p(y EOS|x) / ((5 + |y|) / 6)^length_norm + coverage * cp(x, y)
           + lm_weight * log p_lm(y EOS) + ctc_weight * log p_ctc(y|x) + insertion_bonus * |y|
cp(x, y) = sum_t log min(sum_u a_ut, 1), a_ut the attention of step u, that of EOS too, to step t of the memory

Wu et al. 2016, https://arxiv.org/abs/1609.08144, section 7 and equation 14; CTC: Hori, Watanabe & Hershey 2017,
https://aclanthology.org/P17-1048, section 3.2. In every step the `width` best of all live prefixes with one more token
are kept, by their score without length norm and coverage; those that EOS ends leave the beam (Sutskever et al. 2014,
https://arxiv.org/abs/1409.3215, section 3.2). A source is done, and costs no more time, as soon as nothing live can
come among its best `width`.

groups G > 1: each of them is a beam of width / G, and keeps in every step what is best after

    diversity * how many prefixes of the groups before it took the same token in this step

is taken off; the scores themselves have no such term (Vijayakumar et al. 2018, https://arxiv.org/abs/1610.02424,
algorithm 1 with Hamming diversity). A source is done when all its groups are; texts that several found count once.

mbr_scale > 0: what was found is told in the order of minimum Bayes risk instead (minimum_bayes_risk.py).
"""

import math
from bisect import insort
from collections import defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from models.interface import Beam, Decoder, Hypothesis, Memory, Padded, State, Step
from models.search.attention.candidates import choose, score_candidates
from models.search.attention.minimum_bayes_risk import sort_by_gain
from models.search.ctc.prefix_score import CTCPrefixScorer
from models.search.length_limit import length_limits, mark_truncated
from models.search.state_pytree import select_rows, tree_leaves
from models.special_tokens import BOS, EOS

TERMS = ("length_norm", "coverage", "lm_weight", "insertion_bonus", "ctc_weight", "groups", "diversity", "mbr_scale")
UNSEEN = 1e-9  # the least attention that a step of the memory is taken to have, so that cp stays finite


class Scorer(NamedTuple):
    """A decoder and the weight of its log-probability. The first voice is the model itself."""

    decoder: Decoder
    memory: Memory | None
    weight: float


class ActiveHypotheses(NamedTuple):
    """The K prefixes of each of the A sources that are not done; a place without one scores -inf."""

    tokens: Tensor  # (A, K, u), the token read before the first, BOS or the last of a text that goes on
    scores: Tensor  # (A, K) all that is scored but length norm and coverage
    log_probs: Tensor  # (A, K) of the model
    states: State  # a state a voice, leaves (A K, ...)
    covered: Tensor  # (A, K, T) attention summed over the steps; T is 0 where coverage is not scored
    peaks: Tensor  # (A, K, u - 1) the step of the memory that each token attended to most; none without attention


@dataclass(frozen=True)
class AttentionSearch:
    """One search. limits: the most tokens of each source. ended: the best of each source and group that have ended."""

    beam: Beam
    limits: list[int]
    ended: dict[tuple[int, int], list[Hypothesis]] = field(default_factory=lambda: defaultdict(list))

    def found(self, row: int) -> list[Hypothesis]:
        """Of all groups, best first, each text once; the empty one where there is none."""
        every = [h for group in range(self.beam.groups) for h in self.ended[row, group]]
        texts: dict[tuple[int, ...], Hypothesis] = {}
        for hypothesis in sorted(every, key=lambda h: -h.score):
            texts.setdefault(hypothesis.tokens, hypothesis)
        found = list(texts.values()) or [Hypothesis((), -math.inf, (), 0.0)]
        return sort_by_gain(found, self.beam.mbr_scale) if self.beam.mbr_scale else found


@torch.no_grad()
def attention_beam(
    model: Decoder,
    memory: Memory,
    beam: Beam,
    lm: Decoder | None = None,
    emissions: Padded | None = None,
    limits: Tensor | None = None,
) -> list[list[Hypothesis]]:
    """For each source its hypotheses, best first, `beam.width` of them at most; width 1 is greedy.

    memory: what model.encode gives of B sources. emissions: CTC's log-probabilities (B, T', V), for ctc_weight. limits:
    (B,) the most tokens of each, by default as many as its memory has steps (ESPnet's maxlenratio 1); beam.max_length
    may say less. A prefix that long is scored as it is, without EOS. BLANK, BOS and UNK, which say nothing to a reader,
    are never written.

    spans: for each token the one step of the memory that it attended to most, or the latest that a token before it
    did: attention may look back, times may not. None without attention. confidence: the geometric mean of the model's
    probabilities of the tokens and EOS. Stopping loses nothing as long as no log-probability is above 0. Where no text
    is possible, the empty one with score -inf is all there is.
    Raises ValueError for a term that this search does not have or has nothing to work on, and for NaN.
    """
    voices = fused_voices(model, memory, beam, lm, emissions)
    return search_voices(voices, beam, length_limits(beam, memory.lengths if limits is None else limits, limits))


def fused_voices(
    model: Decoder, memory: Memory, beam: Beam, lm: Decoder | None = None, emissions: Padded | None = None
) -> list[Scorer]:
    """What `attention_beam` listens to. Raises ValueError as it does."""
    _refuse(beam, lm, emissions)
    voices = [Scorer(model, memory, 1.0)]
    if lm is not None and beam.lm_weight:
        voices.append(Scorer(lm, None, beam.lm_weight))
    if emissions is not None and beam.ctc_weight:
        ctc = CTCPrefixScorer()
        voices.append(Scorer(ctc, ctc.encode(emissions), beam.ctc_weight))
    return voices


def search_voices(voices: list[Scorer], beam: Beam, limits: list[int]) -> list[list[Hypothesis]]:
    """The best texts by the voices' weighted sum, the first of which has a memory. limits: the most tokens of each."""
    if not limits:
        return []
    device = tree_leaves(voices[0].memory)[0].device
    read = torch.full((len(limits),), BOS, device=device)
    live = empty_prefixes(read, tuple(voice.decoder.start(voice.memory, len(limits)) for voice in voices))
    return beam_search(voices, live, AttentionSearch(beam, limits))


def _refuse(beam: Beam, lm: Decoder | None, emissions: Padded | None) -> None:
    for name in beam.beyond(*TERMS):
        raise ValueError(f"attention_beam has no {name}: leave beam.{name} out")
    for name in ("coverage", "lm_weight", "ctc_weight"):
        if getattr(beam, name) < 0:
            raise ValueError(f"beam.{name} is {getattr(beam, name)}, and cannot be negative: the search would not end")
    if beam.lm_weight and lm is None:
        raise ValueError(f"beam.lm_weight is {beam.lm_weight}, but there is no language model: give one or set it to 0")
    if beam.ctc_weight and emissions is None:
        raise ValueError(f"beam.ctc_weight is {beam.ctc_weight}, but the model has no CTC head: set it to 0")


def empty_prefixes(read: Tensor, states: tuple[State, ...]) -> ActiveHypotheses:
    """The empty prefix of each source. read: (B,) the token before it. states: a voice each, before that token."""
    scores = torch.zeros((len(read), 1), dtype=torch.float64, device=read.device)
    tokens = read[:, None, None]
    return ActiveHypotheses(tokens, scores, scores, states, scores.new_zeros(len(read), 1, 0), tokens[..., :0])


def beam_search(voices: list[Scorer], live: ActiveHypotheses, search: AttentionSearch) -> list[list[Hypothesis]]:
    """For each source the best that its prefixes in `live` grow into."""
    rows = list(range(len(search.limits)))
    while rows:
        before, (live, parents) = live.scores.numel(), _grow(voices, live, rows, search)
        going = [i for i, open_ in enumerate(_open(live, rows, search)) if open_]
        if len(going) < len(rows):
            rows = [rows[i] for i in going]
            kept = torch.tensor(going, dtype=torch.long, device=parents.device)
            states, live = live.states, select_rows(live._replace(states=None), kept)
            live, parents = live._replace(states=states), parents.index_select(0, kept)
            voices = [voice._replace(memory=select_rows(voice.memory, kept)) for voice in voices]
        if not torch.equal(
            parents.flatten(), torch.arange(before, device=parents.device)
        ):  # as a greedy search has them
            live = live._replace(states=select_rows(live.states, parents.flatten()))
    return mark_truncated([search.found(row) for row in range(len(search.limits))], search.limits)


def _grow(
    voices: list[Scorer], live: ActiveHypotheses, rows: list[int], search: AttentionSearch
) -> tuple[ActiveHypotheses, Tensor]:
    """One more token for the best prefixes; those that it ends, and those of full length, go to `search.ended`.

    The states are those after the prefixes without it; (A, W) which of these rows each of the new ones has.
    """
    count, width = live.scores.shape
    last = live.tokens[..., -1].flatten()
    steps = [v.decoder.step(last, s, v.memory) for v, s in zip(voices, live.states, strict=True)]
    weights = [voice.weight for voice in voices]
    scores, origin, added = choose(score_candidates(steps, weights, live.scores, search.beam), search.beam)
    parents = origin + width * torch.arange(count, device=origin.device)[:, None]
    own = steps[0].log_probs[parents, added]
    covered, peak = _attended(steps[0], live, voices[0], search.beam, origin)
    grown = ActiveHypotheses(
        tokens=torch.cat((_of(live.tokens, origin), added[..., None]), 2),
        scores=scores,
        log_probs=live.log_probs.gather(1, origin) + own,
        states=tuple(step.state for step in steps),
        covered=covered,
        peaks=torch.cat((_of(live.peaks, origin), peak), 2),
    )
    full = torch.tensor([search.limits[row] for row in rows], device=scores.device) < grown.tokens.shape[2]
    done = (scores > -torch.inf) & ((added == EOS) | full[:, None])
    _end(grown, done, rows, search)
    return grown._replace(scores=scores.masked_fill(done, -torch.inf)), parents


def _attended(step: Step, live: ActiveHypotheses, voice: Scorer, beam: Beam, origin: Tensor) -> tuple[Tensor, Tensor]:
    """The attention (A, K, T) summed for the grown prefixes, and the step (A, K, 1) that each attended to most."""
    if step.attention is None:
        if beam.coverage:
            raise ValueError(f"beam.coverage is {beam.coverage}, but the model gives no attention: set it to 0")
        return _of(live.covered, origin), _of(live.peaks, origin)
    paid = step.attention.view(*live.scores.shape, -1)
    covered = live.covered
    if beam.coverage:
        covered = (covered if covered.shape[2] else _padding(voice.memory, paid)) + paid
    return _of(covered, origin), paid.argmax(-1).gather(1, origin)[..., None]


def _padding(memory: Memory | None, paid: Tensor) -> Tensor:
    """(A, 1, T) as if all steps beyond each source's own had been seen, and no other, for attention (A, K, T)."""
    assert memory is not None, "attention is paid to a memory"
    steps = torch.arange(paid.shape[2], device=paid.device)
    return (steps >= memory.lengths.to(paid.device)[:, None])[:, None].double()


def _of(x: Tensor, origin: Tensor) -> Tensor:
    """x (A, K, ...) at the places `origin` (A, W)."""
    return x.gather(1, origin[..., None].expand(-1, -1, x.shape[2]))


def _end(live: ActiveHypotheses, done: Tensor, rows: list[int], search: AttentionSearch) -> None:
    """The prefixes that are `done` (A, K), as hypotheses of their sources."""
    i, k = done.nonzero().unbind(1)
    if not len(i):
        return
    beam, peaks, places = search.beam, live.peaks[i, k], done.shape[1] // search.beam.groups
    latest = peaks.cummax(1).values if peaks.shape[1] else peaks
    cp = live.covered[i, k].clamp(UNSEEN, 1).log().sum(1)
    numbers = (k // places, live.tokens[i, k, 1:], latest, live.scores[i, k], live.log_probs[i, k], cp)
    ended = zip(i.tolist(), *(n.tolist() for n in numbers), strict=True)
    for at, group, written, steps, score, log_prob, cover in ended:
        y = written[:-1] if written[-1] == EOS else written
        score += log_prob * (_norm(len(y), beam) - 1) + beam.coverage * cover
        spans = tuple((t, t + 1) for t in steps[: len(y)])
        nbest = search.ended[rows[at], group]
        insort(nbest, Hypothesis(tuple(y), score, spans, math.exp(log_prob / len(written))), key=lambda h: -h.score)
        del nbest[beam.width // beam.groups :]


def _norm(length: int, beam: Beam) -> float:
    """What the log-probability of so many tokens is multiplied by."""
    return ((5 + length) / 6) ** -beam.length_norm


def _open(live: ActiveHypotheses, rows: list[int], search: AttentionSearch) -> list[bool]:
    """For each source that is not done whether something live can still come among the best of its group."""
    beam, length = search.beam, live.tokens.shape[2] - 1
    most = [search.limits[row] for row in rows]
    now = _norm(length, beam)
    norms = [min(now, _norm(n, beam)) for n in most]  # log-probabilities only fall
    hopes = [max(0.0, beam.insertion_bonus * (n - length)) for n in most]
    norm, hope = live.scores.new_tensor([norms, hopes])
    best = live.scores + live.log_probs * (norm[:, None] - 1)
    best = best.masked_fill(live.scores == -torch.inf, -torch.inf).unflatten(1, (beam.groups, -1)).amax(2)

    def open_(row: int, group: int, ceiling: float) -> bool:
        nbest = search.ended[row, group]
        return ceiling > (nbest[-1].score if len(nbest) == beam.width // beam.groups else -torch.inf)

    ceilings = (best + hope[:, None]).tolist()
    return [any(open_(row, *of) for of in enumerate(groups)) for row, groups in zip(rows, ceilings, strict=True)]
