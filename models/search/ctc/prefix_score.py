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

from models.interface import Memory, Padded, Step
from models.special_tokens import BLANK, BOS, EOS


class PrefixState(NamedTuple):
    last: Tensor  # (N,) the prefix' last token, BOS for the empty one
    either: Tensor  # (N, T + 1) log (n_0 + b_0) .. log (n_T + b_T)
    blank: Tensor  # (N, T + 1) log b_0 .. log b_T
    mass: Tensor  # (N,) log psi


class CTCPrefixScorer:
    """A `Decoder` whose sources are emissions, log-probabilities (B, T, V). It computes in float64.

    A prefix that no path reads, and what follows it, has log-probability -inf; so have BLANK and BOS.
    """

    def encode(self, source: Padded | None) -> Padded:
        """log y and y side by side (B, T, 2 V), what is in the padding being impossible."""
        assert source is not None, "a CTC prefix needs emissions"
        log_y = source.data.double().masked_fill(~source.mask()[..., None], -torch.inf)
        return Padded(torch.cat((log_y, log_y.exp()), -1), source.lengths)

    def start(self, memory: Memory | None, batch_size: int) -> PrefixState:
        """Before BOS is read. N is a multiple of the memory's rows."""
        assert memory is not None, "a CTC prefix needs emissions"
        silent = memory.data[..., BLANK].cumsum(1).repeat_interleave(batch_size // len(memory.lengths), 0)
        blank = torch.nn.functional.pad(silent, (1, 0))
        return PrefixState(
            torch.full_like(blank[:, 0], BOS, dtype=torch.long), blank, blank, torch.zeros_like(blank[:, 0])
        )

    def step(self, tokens: Tensor, state: PrefixState, memory: Memory | None) -> Step:
        """Read `tokens` (N,), BOS first; the log-probabilities (N, V) of the next."""
        assert memory is not None, "a CTC prefix needs emissions"
        each = len(tokens) // len(memory.lengths)
        log_y, y = memory.data.chunk(2, -1)
        own = log_y.gather(2, tokens.view(-1, 1, each).expand(-1, log_y.shape[1], -1)).transpose(1, 2).flatten(0, 1)
        if not bool((tokens == BOS).all()):
            state = _grown(tokens, state, own, log_y[..., BLANK].repeat_interleave(each, 0))
        total = _sums(state.either, y)  # as if no token were the last one
        again = torch.logsumexp(state.blank[:, :-1] + own, 1)
        total = total.scatter(1, tokens[:, None], again[:, None])
        ends = memory.lengths.to(tokens.device).repeat_interleave(each)[:, None]
        total[:, EOS] = state.either.gather(1, ends).squeeze(1)
        total[:, [BLANK, BOS]] = -torch.inf
        known = torch.where(state.mass[:, None] > -torch.inf, total - state.mass[:, None], -torch.inf)
        return Step(known, state)


def _grown(tokens: Tensor, state: PrefixState, own: Tensor, silent: Tensor) -> PrefixState:
    """The state of g c from that of g, for tokens c (N,) and log y(c) and log y(BLANK) (N, T) of each."""
    begun = torch.where((tokens == state.last)[:, None], state.blank, state.either)[:, :-1] + own
    symbol = _scan(own, begun)
    blank = _scan(silent, symbol[:, :-1] + silent)
    return PrefixState(tokens, torch.logaddexp(symbol, blank), blank, torch.logsumexp(begun, 1))


def _scan(factor: Tensor, term: Tensor) -> Tensor:
    """x_t = x_{t-1} factor_t + term_t from x_0 = 0, in logarithms: factors and terms (N, T) to x (N, T + 1)."""
    x = [torch.full_like(term[:, 0], -torch.inf)]
    for by, plus in zip(factor.unbind(1), term.unbind(1), strict=True):
        x.append(torch.logaddexp(x[-1] + by, plus))
    return torch.stack(x, 1)


def _sums(reached: Tensor, y: Tensor) -> Tensor:
    """log sum_t exp(reached_{t-1}) y_t of reached (B K, T + 1) and y (B, T, V): (B K, V)."""
    rows = reached[:, :-1].unflatten(0, (len(y), -1))  # (B, K, T)
    most = rows.amax(2, keepdim=True).clamp(min=torch.finfo(rows.dtype).min)
    return (((rows - most).exp() @ y).log() + most).flatten(0, 1)
