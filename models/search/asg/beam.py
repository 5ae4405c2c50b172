"""Search for the auto segmentation criterion (Collobert et al. 2016, https://arxiv.org/abs/1609.03193, section 2.5).

    m_t(y) = f_t(e) + logadd( m_{t-1}(y) + g(e, e),  m_{t-1}(y') + g(e', e) )        e: the symbol that y ends in

y' is y without its last token. What a prefix ends in is certain: its last token, or REPEAT where that token doubles
the one before (models/criteria/asg.py). So a prefix has one mass, and each symbol but e makes another prefix of it.
Prefixes that meet again are one: they are known by their node in a trie. The paper's decoder takes the best path where
this takes their sum. Width 1 is the Viterbi path.
"""

import torch
from torch import Tensor

from models.criteria.asg import REPEAT, path_occupancy, read_path
from models.interface import Beam, Decoder, Hypothesis, Padded
from models.search.asg.forced_alignment import add_spans
from models.search.language.lexicon_and_hotwords import LexiconAndHotwords
from models.search.language.shallow_fusion import ShallowFusion
from models.search.length_limit import mark_truncated, most_tokens
from models.special_tokens import BLANK

NOBODY, NOWHERE = -3, -2  # the node and the parent of a place without a prefix


@torch.no_grad()
def asg_beam(emissions: Padded, transitions: Tensor, beam: Beam, lm: Decoder | None = None) -> list[list[Hypothesis]]:
    """For each utterance its hypotheses, best first, `beam.width` of them at most.

    emissions: scores (B, T, V). transitions: (V, V). score: log p(y|x), of the paths that were kept, plus
    lm_weight * log p_lm(y, EOS) and insertion_bonus * |y|; for width 1 log p(path|x), and a text ends after max_length
    tokens. lm: a model of the emissions' tokens whose state has one size or is a `GrowingState`. confidence: the
    geometric mean of the highest p(symbol at a step | x) on each token's span. Raises ValueError for a term this search
    does not have.
    """
    _refuse(beam, lm)
    if not len(emissions.lengths):
        return []
    scores = emissions.data.double().masked_fill(~emissions.mask()[..., None], 0)
    emissions, g = Padded(scores, emissions.lengths), transitions.double()
    if not scores.shape[1]:
        return [[Hypothesis((), 0.0)] for _ in emissions.lengths]
    occupied, every = path_occupancy(emissions, g)
    if beam.width == 1:
        found = [[best] for best in _best_paths(emissions, g, every.tolist(), most_tokens(beam))]
    else:
        found = _search(emissions, g, every, beam, lm)
    return mark_truncated(add_spans(found, emissions, g, occupied), [most_tokens(beam)] * len(found))


def _refuse(beam: Beam, lm: Decoder | None) -> None:
    for name in beam.beyond("lm_weight", "insertion_bonus"):
        raise ValueError(f"asg_beam has no {name}: leave beam.{name} out")
    if isinstance(lm, LexiconAndHotwords):
        raise ValueError("asg_beam knows no words: give it a language model of tokens, without lexicon and hotwords")
    if beam.lm_weight and lm is None:
        raise ValueError(f"beam.lm_weight is {beam.lm_weight}, but there is no language model: give one or set it to 0")
    if beam.width == 1 and (beam.lm_weight or beam.insertion_bonus):
        raise ValueError("beam.width 1 is the best path, without lm_weight and insertion_bonus: use 2 or more")


def _best_paths(emissions: Padded, g: Tensor, every: list[float], max_length: int) -> list[Hypothesis]:
    """The Viterbi path of each utterance as a text."""
    scores, steps = emissions.data, emissions.lengths.to(g.device)
    best, moves = scores[:, 0], []
    for t in range(1, scores.shape[1]):
        entered, origin = (best[..., None] + g).max(1)
        best = torch.where((t < steps)[:, None], entered + scores[:, t], best)
        moves.append(origin)
    total, state = best.max(1)
    path = [state]
    for t in range(scores.shape[1] - 1, 0, -1):
        state = torch.where(t < steps, moves[t - 1].gather(1, state[:, None]).squeeze(1), state)
        path.append(state)
    paths, found = torch.stack(path[::-1], 1).tolist(), []
    for row, length, score, of_all in zip(paths, emissions.lengths.tolist(), total.tolist(), every, strict=True):
        tokens = read_path(row[:length])[0][:max_length]
        found.append(Hypothesis(tokens, score - of_all if length else 0.0))
    return found


class _Trie:
    """The prefixes of one utterance. Node 0 is the empty one."""

    def __init__(self) -> None:
        self.parents, self.tokens = [-1], [BLANK]
        self.known: dict[tuple[int, int], int] = {}

    def node(self, parent: int, token: int) -> int:
        """That of a prefix with one more token."""
        node = self.known.setdefault((parent, token), len(self.parents))
        if node == len(self.parents):
            self.parents.append(parent)
            self.tokens.append(token)
        return node

    def text(self, node: int) -> tuple[int, ...]:
        tokens: list[int] = []
        while node > 0:
            tokens.append(self.tokens[node])
            node = self.parents[node]
        return tuple(tokens[::-1])


class _Prefixes:
    """The (B, W) live prefixes of a search, each utterance's own; a place without one has mass -inf."""

    def __init__(self, scores: Tensor, width: int) -> None:
        shape, device = (len(scores), width), scores.device
        self.tries = [_Trie() for _ in scores]
        self.mass = torch.full(shape, -torch.inf, dtype=scores.dtype, device=device)
        self.mass[:, 0] = 0
        self.node = torch.full(shape, NOBODY, device=device)
        self.node[:, 0] = 0
        self.parent = torch.full(shape, NOWHERE, device=device)
        self.symbol, self.token, self.length = (torch.zeros(shape, dtype=torch.long, device=device) for _ in range(3))

    def masses(self, scores: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
        """After a step with scores (B, V): of each prefix as it is (B, W), and of each with one more symbol (B, W, V).

        A prefix with a symbol more that is live itself has its mass there.
        """
        arriving = self.mass[..., None] + g[self.symbol] + scores[:, None]
        stay = arriving.gather(2, self.symbol[..., None]).squeeze(2)
        arriving.scatter_(2, self.symbol[..., None], -torch.inf)
        meets, place = (self.parent[..., None] == self.node[:, None]).max(2)
        rows = torch.arange(len(scores), device=scores.device)[:, None].expand_as(place)
        from_parent = arriving[rows, place, self.symbol].masked_fill(~meets, -torch.inf)
        arriving[rows[meets], place[meets], self.symbol[meets]] = -torch.inf
        return torch.logaddexp(stay, from_parent), arriving

    def select(self, origin: Tensor, symbol: Tensor, grows: Tensor, mass: Tensor) -> Tensor:
        """Place w becomes the prefix of place `origin` (B, W), which `grows` by a symbol or not; the tokens added."""
        node, last = self.node.gather(1, origin), self.token.gather(1, origin)
        added = torch.where(grows, torch.where(symbol == REPEAT, last, symbol), BLANK)
        made = node.tolist()
        for trie, row, grown, tokens in zip(self.tries, made, grows.tolist(), added.tolist(), strict=True):
            for w, token in enumerate(tokens):
                if grown[w]:
                    row[w] = trie.node(row[w], token)
        lost = mass == -torch.inf
        self.parent = torch.where(grows, node, self.parent.gather(1, origin)).masked_fill(lost, NOWHERE)
        self.node = torch.tensor(made, device=node.device).masked_fill(lost, NOBODY)
        self.symbol = torch.where(grows, symbol, self.symbol.gather(1, origin))
        self.token = torch.where(grows, added, last)
        self.length = self.length.gather(1, origin) + grows
        self.mass = mass
        return added


def _search(emissions: Padded, g: Tensor, every: Tensor, beam: Beam, lm: Decoder | None) -> list[list[Hypothesis]]:
    scores, steps = emissions.data, emissions.lengths.to(g.device)
    (batch, time, size), width = scores.shape, beam.width
    live, fused = _Prefixes(scores, width), ShallowFusion(lm, beam, scores)
    tokens = torch.arange(size, device=g.device).expand(batch, -1)
    places = torch.arange(width, device=g.device)
    for t in range(time):
        stay, arriving = live.masses(scores[:, t], g if t else torch.zeros_like(g))
        arriving = arriving.masked_fill((live.length >= most_tokens(beam))[..., None], -torch.inf)
        gains = fused.grown(tokens)
        gains = torch.cat((gains.gather(2, live.token[..., None]), gains[..., 1:]), 2)  # what REPEAT says
        ranked = torch.cat((stay + fused.held, (arriving + gains).flatten(1)), 1)
        _, chosen = ranked.topk(width, 1)
        mass = torch.cat((stay, arriving.flatten(1)), 1).gather(1, chosen)
        going = (t < steps)[:, None]
        grown = chosen - width
        grows = (grown >= 0) & going & (mass > -torch.inf)
        origin = torch.where(going, torch.where(grown >= 0, grown.div(size, rounding_mode="floor"), chosen), places)
        added = live.select(origin, grown.clamp(min=0) % size, grows, torch.where(going, mass, live.mass))
        fused.select(origin, added)
    total = live.mass - every[:, None] * (steps > 0)[:, None] + fused.final()
    rows = zip(live.tries, live.node.tolist(), total.tolist(), strict=True)
    return [
        sorted((Hypothesis(trie.text(n), s) for n, s in zip(nodes, of, strict=True) if n >= 0), key=lambda h: -h.score)
        for trie, nodes, of in rows
    ]
