"""Time-synchronous beam search for a transducer, in which alignments of one prefix are summed.

score(y) = log sum over alignments a of y that the beam has kept: p(a | x)
           + lm_weight log p_lm(y EOS) + insertion_bonus |y|

A frame begins with the `width` best prefixes. They end it with blank, or grow by a token first, up to `symbols` of
them; after each token the `width` best of an utterance go on. What ended the frame with the same tokens is one prefix
again, its probabilities summed; the `width` best of these begin the next frame. That is the search of Graves 2012
(https://arxiv.org/abs/1211.3711, section 2.5) but for the order: there the best prefix of all grows first, here all of
a batch grow together, a token at a time. Width 1 takes the best symbol each time (models/search/transducer/greedy.py).

Prefixes are told apart by a number of 64 bits that is made of their tokens: two different ones have the same number
once in 2^64.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from models.interface import Beam, Decoder, Hypothesis, Padded, Transducer
from models.search.length_limit import mark_truncated, most_tokens
from models.search.transducer.greedy import GreedySearch, hypothesis
from models.search.transducer.predictor_cache import PredictorCache
from models.special_tokens import BLANK, EOS

SYMBOLS = 4  # of a frame
MULTIPLIER = 0x5851F42D4C957F2D


class ActivePrefixes(NamedTuple):
    """Prefixes (B, W); a place without one has mass -inf."""

    mass: Tensor  # log p of the alignments summed
    fused: Tensor  # what the language model and the bonus add so far
    key: Tensor  # made of the tokens
    length: Tensor
    peak: Tensor  # log p of the best alignment
    sure: Tensor  # of its tokens, summed
    node: Tensor  # of its last token in the history, -1 for none
    row: Tensor  # in `PredictorCache`

    @property
    def score(self) -> Tensor:
        return self.mass + self.fused

    @property
    def there(self) -> Tensor:
        return self.mass > -torch.inf

    def take(self, places: Tensor) -> "ActivePrefixes":
        """Those at places (B, W')."""
        return ActivePrefixes(*(x.gather(1, places) for x in self))

    def first(self, count: int) -> "ActivePrefixes":
        """Of the first utterances."""
        return ActivePrefixes(*(x[:count] for x in self))


@torch.no_grad()
def transducer_beam(
    model: Transducer, source: Padded, beam: Beam, lm: Decoder | None = None, *, symbols: int = SYMBOLS
) -> list[list[Hypothesis]]:
    """For each utterance its hypotheses, best first, `beam.width` of them at most.

    source: (B, T, D). spans and confidence are those of the best alignment. lm: a model of the model's tokens
    whose states have one size, or grow as `GrowingState` does. Raises ValueError for a term this search does not have
    or has nothing to work on, and for NaN.
    """
    check_beam(beam, lm)
    if not len(source.lengths):
        return []
    frames = model.encode(source)
    broken = (frames.data.isnan().any(2) & frames.mask()).any(1)
    if broken.any():
        raise ValueError(f"utterance {int(broken.int().argmax()) + 1} of {len(broken)} holds NaN")
    order = frames.lengths.argsort(descending=True, stable=True).to(frames.data.device)
    search = start_search(model, len(order), beam, lm, symbols)
    for t in range(int(frames.lengths.max())):
        search.advance(frames.data[order[: int((frames.lengths > t).sum())], t])
    found = search.found()
    return [found[place] for place in order.argsort().tolist()]


def start_search(
    model: Transducer, batch: int, beam: Beam, lm: Decoder | None, symbols: int
) -> "GreedySearch | BeamSearch":
    """A search of so many utterances, to which encoded frames are fed."""
    if beam.width == 1:
        return GreedySearch(model, batch, most_tokens(beam), symbols)
    return BeamSearch(model, batch, beam, lm if beam.lm_weight else None, symbols)


def check_beam(beam: Beam, lm: Decoder | None) -> None:
    for name in beam.beyond("lm_weight", "insertion_bonus"):
        raise ValueError(f"transducer_beam has no {name}: leave beam.{name} out")
    if beam.lm_weight < 0:
        raise ValueError(f"beam.lm_weight is {beam.lm_weight}, but a search cannot take a language model away")
    if beam.lm_weight and lm is None:
        raise ValueError(f"beam.lm_weight is {beam.lm_weight}, but there is no language model: give one or set it to 0")
    if beam.width == 1 and (beam.lm_weight or beam.insertion_bonus):
        raise ValueError("beam.width 1 takes the best symbol, without lm_weight and insertion_bonus: use 2 or more")


class BeamSearch:
    """A beam search that frames are fed to, one of each utterance at a time."""

    def __init__(self, model: Transducer, batch: int, beam: Beam, lm: Decoder | None, symbols: int) -> None:
        self.model, self.beam, self.symbols, self.step = model, beam, symbols, 0
        most = batch * beam.width * (symbols + 1)  # prefixes of one frame
        self.prefixes = PredictorCache(model, lm, batch, batch + 3 * most)
        device = self.prefixes.said.join.device
        rows = torch.arange(batch, device=device)[:, None].expand(-1, beam.width)
        zero = torch.zeros((batch, beam.width), dtype=torch.float64, device=device)
        mass = torch.full_like(zero, -torch.inf)
        mass[:, 0] = 0
        self.live = ActivePrefixes(mass, zero, rows * 0, rows * 0, mass, zero, rows * 0 - 1, rows)
        self.recent = [self.live]  # prefixes of the last frame: many of them come again
        self.history: list[tuple[Tensor, Tensor]] = []  # of nodes the node before and the token
        self.steps: list[tuple[int, int]] = []  # of an entry there, how many nodes and the step
        self.nodes = 0
        self.codes = torch.empty(0, dtype=torch.long, device=device)

    def advance(self, frames: Tensor) -> None:
        """The next frame (n, J) of the first n utterances; the others have ended."""
        count, ended = len(frames), None
        if self.prefixes.left < self.symbols * count * self.beam.width:
            self._forget()
        level, seen, self.recent = self.live.first(count), [x.first(count) for x in self.recent], []
        for emitted in range(self.symbols + 1):
            self.recent.append(level)
            log_p = self._join(frames, level)
            blank = log_p[..., BLANK]
            done = level._replace(mass=level.mass + blank, peak=level.peak + blank)
            ended = done if ended is None else merge_prefixes(ended, done)
            grown = self._grown(level, log_p, ended, self.symbols - emitted) if emitted < self.symbols else None
            if grown is None:
                break
            level = self._known(*grown, [*seen, *self.recent])
        assert ended is not None
        self.live = ActivePrefixes(*(torch.cat((new, old[count:])) for new, old in zip(ended, self.live, strict=True)))
        self.step += 1

    def _join(self, frames: Tensor, level: ActivePrefixes) -> Tensor:
        """(n, W, V) log-probabilities after the prefixes of a level; -inf where there is none."""
        count, width = level.mass.shape
        place = level.there.flatten().nonzero().squeeze(1)
        prefixes = self.prefixes.said.join.index_select(0, level.row.flatten()[place])
        log_p = self.model.join(frames.index_select(0, place // width), prefixes).double()
        every = log_p.new_full((count * width, log_p.shape[1]), -torch.inf).index_copy(0, place, log_p)
        return every.view(count, width, -1)

    def _grown(
        self, level: ActivePrefixes, log_p: Tensor, ended: ActivePrefixes, left: int
    ) -> tuple[ActivePrefixes, Tensor] | None:
        """The best prefixes with one more token, which (n, W) it is; they still have the rows of those before.

        Only those that may yet come among the best that ended this frame, with `left` tokens to go; None without any.
        """
        beam, (_, width, size) = self.beam, log_p.shape
        gain = self._gain(level, log_p)
        scores = level.score[..., None] + log_p + gain
        scores[..., BLANK] = -torch.inf
        scores.masked_fill_((level.length >= most_tokens(beam))[..., None], -torch.inf)
        least = ended.score.min(1).values - max(0.0, beam.insertion_bonus) * (left - 1)
        scores.masked_fill_(scores < least[:, None, None], -torch.inf)
        if not bool((scores > -torch.inf).any()):
            return None
        best, chosen = scores.flatten(1).topk(width, dim=1)
        token, before = chosen % size, level.take(chosen // size)
        added = log_p.flatten(1).gather(1, chosen)
        node = self.nodes + torch.arange(token.numel(), device=token.device).view_as(token)
        self.history.append((before.node.flatten(), token.flatten()))
        self.steps.append((token.numel(), self.step))
        self.nodes += token.numel()
        mass = (before.mass + added).masked_fill(best == -torch.inf, -torch.inf)
        fused, key = before.fused + gain.flatten(1).gather(1, chosen), before.key * MULTIPLIER + self.codes[token]
        alike = (before.length + 1, before.peak + added, before.sure + added)
        return ActivePrefixes(mass, fused, key, *alike, node, before.row), token

    def _gain(self, level: ActivePrefixes, log_p: Tensor) -> Tensor:
        """(n, W, V) what each token adds to `fused`."""
        if not len(self.codes):
            self.codes = hash_codes(log_p.shape[2]).to(log_p.device)
        lm = self.prefixes.said.lm_log_probs
        if lm is None:
            return torch.full_like(log_p, self.beam.insertion_bonus)
        if lm.shape[1] != log_p.shape[2]:
            sizes = f"{lm.shape[1]} tokens, the transducer {log_p.shape[2]}"
            raise ValueError(f"the language model knows {sizes}: use one tokenizer")
        return self.beam.lm_weight * lm[level.row].double() + self.beam.insertion_bonus

    def _known(self, grown: ActivePrefixes, token: Tensor, seen: list[ActivePrefixes]) -> ActivePrefixes:
        """The same with their own rows: new ones where no prefix that was seen is the same."""
        keys, rows, there = (torch.cat(x, 1) for x in zip(*((x.key, x.row, x.there) for x in seen), strict=True))
        same = (grown.key[..., None] == keys[:, None]) & there[:, None]  # (n, W, K)
        known, which = same.max(2)
        row = torch.where(known, rows.gather(1, which), grown.row).flatten()
        new = (grown.there & ~known).flatten().nonzero().squeeze(1)
        if len(new):
            row = row.index_copy(0, new, self.prefixes.grow(row[new], token.flatten()[new]))
        return grown._replace(row=row.view_as(token))

    def _forget(self) -> None:
        """Keep the rows that are still likely to be needed."""
        held = [self.live, *self.recent]
        numbers = self.prefixes.keep(torch.cat([x.row[x.there] for x in held]))
        self.live, *self.recent = (x._replace(row=numbers[x.row]) for x in held)

    def found(self) -> list[list[Hypothesis]]:
        """The hypotheses of each utterance so far, best first."""
        live, lm = self.live, self.prefixes.said.lm_log_probs
        if lm is not None:
            live = live._replace(fused=live.fused + self.beam.lm_weight * lm[live.row, EOS].double())
        live = live.take(live.score.argsort(dim=1, descending=True, stable=True))
        parent, token = ([n for entry in self.history for n in entry[k].tolist()] for k in (0, 1))
        step = [step for count, step in self.steps for _ in range(count)]
        nbest: list[list[Hypothesis]] = []
        for row in zip(live.score.tolist(), live.sure.tolist(), live.node.tolist(), strict=True):
            nbest.append([])
            for score, sure, node in zip(*row, strict=True):
                written: list[tuple[int, int]] = []
                while node >= 0:
                    written.append((token[node], step[node]))
                    node = parent[node]
                if score > -torch.inf:
                    nbest[-1].append(hypothesis(written[::-1], score, sure))
        return mark_truncated(nbest, [most_tokens(self.beam)] * len(nbest))


def merge_prefixes(one: ActivePrefixes, other: ActivePrefixes) -> ActivePrefixes:
    """The W best of prefixes (B, W) and others (B, W), where the same prefix may be among both."""
    both = ActivePrefixes(*(torch.cat(x, 1) for x in zip(one, other, strict=True)))
    there = both.there
    same = (both.key[:, :, None] == both.key[:, None]) & there[:, None] & there[..., None]  # (B, 2 W, 2 W)
    mass = torch.where(same, both.mass[:, None], -torch.inf).logsumexp(2)
    better = both.peak[:, None] > both.peak[..., None]
    places = torch.arange(same.shape[1], device=mass.device)
    better |= (both.peak[:, None] == both.peak[..., None]) & (places < places[:, None])
    mass = mass.masked_fill((same & better).any(2), -torch.inf)  # only the one with the best alignment stays
    both = both._replace(mass=mass)
    return both.take(both.score.topk(one.mass.shape[1], dim=1).indices)


def hash_codes(size: int) -> Tensor:
    """(V,) random numbers that prefixes are made into one number with."""
    return torch.randint(-(2**63), 2**63 - 1, (size,), generator=torch.Generator().manual_seed(0))
