"""CTC as an autoregressive model: p(c | g) of the next token c after a prefix g, from frame-wise emissions.

psi(g)   = sum of p(y | x) over all y that begin with g                          psi() = 1
p(c | g) = psi(g c) / psi(g)              p(EOS | g) = p(g | x) / psi(g)
psi(g c) = sum_t phi_{t-1}(g, c) y_t(c)          the paths on which the last token of g c begins at t
phi_t(g, c) = b_t(g) + (n_t(g) unless c is the last token of g)
n_t(g c) = (n_{t-1}(g c) + phi_{t-1}(g, c)) y_t(c)        b_t(g) = (b_{t-1}(g) + n_{t-1}(g)) y_t(BLANK)

n_t and b_t: the probability that the first t frames read g and end in its last token, or in BLANK (Graves 2008,
section 7.4.2; Hori, Watanabe & Hershey 2017, https://aclanthology.org/P17-1048, section 3.2). All in logarithms.
The product over a text and EOS is exactly the probability whose negative logarithm is the CTC loss.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from models.interface import Padded, Step
from models.vocabulary import BLANK, BOS, EOS


class Prefix(NamedTuple):
    last: Tensor  # (N,) the prefix' last token, BOS for the empty one
    symbol: Tensor  # (N, T + 1) log n_0 .. log n_T
    blank: Tensor  # (N, T + 1) log b_0 .. log b_T
    mass: Tensor  # (N,) log psi


class CTCPrefix:
    """A `Decoder` whose memory are emissions, log-probabilities (B, T, V). It computes in float64.

    A prefix that no path reads, and what follows it, has log-probability -inf; so have BLANK and BOS.
    """

    def encode(self, source: Padded | None) -> Padded | None:
        return source

    def start(self, memory: Padded | None, batch_size: int) -> Prefix:
        """Before BOS is read. N is a multiple of the memory's rows."""
        assert memory is not None, "a CTC prefix needs emissions"
        silent = memory.data[..., BLANK].double().cumsum(1)
        blank = torch.nn.functional.pad(silent, (1, 0)).repeat_interleave(batch_size // len(silent), 0)
        never = torch.full_like(blank, -torch.inf)
        return Prefix(torch.full_like(blank[:, 0], BOS, dtype=torch.long), never, blank, torch.zeros_like(blank[:, 0]))

    def step(self, tokens: Tensor, state: Prefix, memory: Padded | None) -> Step:
        """Read `tokens` (N,), BOS first; the log-probabilities (N, V) of the next."""
        assert memory is not None, "a CTC prefix needs emissions"
        each = len(tokens) // len(memory.lengths)
        emitted = memory.data.double().masked_fill(~memory.mask()[..., None], -torch.inf)  # (B, T, V)
        if not bool((tokens == BOS).all()):
            state = self._grown(tokens, state, emitted.repeat_interleave(each, 0))
        either = torch.logaddexp(state.symbol, state.blank)
        total = _sums(either, emitted)  # as if no token were the last one
        repeated = emitted.repeat_interleave(each, 0).gather(2, _columns(state.last, emitted.shape[1])).squeeze(2)
        again = torch.logsumexp(state.blank[:, :-1] + repeated, 1)
        total = total.scatter(1, state.last[:, None], again[:, None])
        ends = memory.lengths.to(tokens.device).repeat_interleave(each)[:, None]
        total[:, EOS] = either.gather(1, ends).squeeze(1)
        total[:, [BLANK, BOS]] = -torch.inf
        known = torch.where(state.mass[:, None] > -torch.inf, total - state.mass[:, None], -torch.inf)
        return Step(known, state)

    def _grown(self, tokens: Tensor, state: Prefix, emitted: Tensor) -> Prefix:
        """The state of g c from that of g, for tokens c (N,) and the emissions (N, T, V) of each."""
        own = emitted.gather(2, _columns(tokens, emitted.shape[1])).squeeze(2)
        reached = torch.where((tokens == state.last)[:, None], state.blank, torch.logaddexp(state.blank, state.symbol))[
            :, :-1
        ]
        begun = reached + own  # (N, T) the token begins at t
        symbol, blank = torch.full_like(own[:, 0], -torch.inf), torch.full_like(own[:, 0], -torch.inf)
        symbols, blanks = [symbol], [blank]
        for t in range(emitted.shape[1]):
            blank = torch.logaddexp(blank, symbol) + emitted[:, t, BLANK]
            symbol = torch.logaddexp(symbol + own[:, t], begun[:, t])
            symbols.append(symbol)
            blanks.append(blank)
        return Prefix(tokens, torch.stack(symbols, 1), torch.stack(blanks, 1), torch.logsumexp(begun, 1))


def _columns(tokens: Tensor, steps: int) -> Tensor:
    return tokens[:, None, None].expand(-1, steps, 1)


def _sums(reached: Tensor, emitted: Tensor) -> Tensor:
    """log sum_t exp(reached_{t-1} + emitted_t) of reached (B K, T + 1) and emitted (B, T, V): (B K, V)."""
    rows = reached[:, :-1].view(len(emitted), -1, emitted.shape[1], 1)  # (B, K, T, 1)
    return torch.logsumexp(rows + emitted[:, None], 2).flatten(0, 1)
