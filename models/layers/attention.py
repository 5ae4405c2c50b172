"""Content-based attention: a query is compared with every step of a memory, whose weighted mean it returns.

e_u = score(s, h_u)        alpha = softmax over the real steps u of e        c = sum_u alpha_u v_u

dot        score = <phi(s), psi(h_u)>, phi and psi an MLP each (Chan et al. 2015, https://arxiv.org/abs/1508.01211,
           equations 9 to 11)
additive   score = w . tanh(W s + V h_u + b) (Bahdanau et al. 2015, https://arxiv.org/abs/1409.0473, appendix A.1.2)

One head: v_u = h_u. M heads (Chiu et al. 2018, https://arxiv.org/abs/1712.01769, section 2.2.2): head m has a score of
its own, in 1/M of the features, and v_u^m = U^m h_u in 1/M of the features of h; c is their concatenation.

What depends on the memory alone is computed once for an utterance, by `prepare`, and travels in the memory.
"""

from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from models.interface import Padded

Score = Literal["dot", "additive"]


class Glimpse(NamedTuple):
    context: Tensor  # (N, C)
    weights: Tensor  # (N, T), the mean of the heads; rows sum to 1


class AttendedMemory(NamedTuple):
    """What is attended to."""

    values: Tensor  # (B, M, T, C / M) v, for each of M heads
    keys: Tensor  # (B, M, T, H / M) psi(h), or V h
    real: Tensor  # (B, 1, 1, T) bool, false on padding


class Attention(nn.Module):
    """score: dot or additive. hidden_size: the features of phi and psi, or of the tanh, over all heads.

    Raises ValueError for a score that does not exist, and where the heads do not divide hidden_size and, if there are
    several, memory_size.
    """

    def __init__(self, score: Score, query_size: int, memory_size: int, hidden_size: int, heads: int = 1) -> None:
        super().__init__()
        if score not in get_args(Score):
            raise ValueError(f"attention is one of {', '.join(get_args(Score))}, not {score!r}")
        if heads < 1 or hidden_size % heads or memory_size % heads:
            raise ValueError(f"{heads} heads do not divide attention size {hidden_size} and memory size {memory_size}")
        self.score: Score = score
        self.heads, self.context_size = heads, memory_size
        self.query = nn.Linear(query_size, hidden_size)
        self.key = nn.Linear(memory_size, hidden_size, bias=score == "dot")  # the sum in tanh has one bias
        self.value = nn.Linear(memory_size, memory_size, bias=False) if heads > 1 else nn.Identity()
        self.weight = nn.Parameter(torch.empty(heads, hidden_size // heads)) if score == "additive" else None
        if self.weight is not None:
            nn.init.uniform_(self.weight, -((hidden_size // heads) ** -0.5), (hidden_size // heads) ** -0.5)

    def prepare(self, memory: Padded) -> Padded:
        """h (B, T, memory_size) to v and the keys side by side (B, T, memory_size + hidden_size), a decoder's memory.

        Whatever is in the padding, even NaN, is not read.
        """
        h = memory.data.masked_fill(~memory.mask()[..., None], 0)
        key = self.key(h)
        return Padded(torch.cat((self.value(h), key.tanh() if self.score == "dot" else key), -1), memory.lengths)

    def parts(self, memory: Padded) -> AttendedMemory:
        """A memory of `prepare` taken apart: once for all steps where a gradient is wished, which is faster."""
        sizes = (self.context_size, memory.data.shape[-1] - self.context_size)
        values, keys = (x.unflatten(-1, (self.heads, -1)).transpose(1, 2) for x in memory.data.split(sizes, -1))
        return AttendedMemory(values, keys, memory.mask()[:, None, None])

    def forward(self, query: Tensor, memory: AttendedMemory) -> Glimpse:
        """Queries s (N, query_size) of a memory of B rows: N = B K, the first K are of row 0, and so on.

        A row without any step has context and weights 0.
        """
        batch, _, time, size = memory.keys.shape
        q = self.query(query).view(batch, -1, self.heads, size).transpose(1, 2)  # (B, M, K, H / M)
        energies = self._energies(q, memory.keys)  # (B, M, K, T)
        alpha = energies.masked_fill(~memory.real, torch.finfo(energies.dtype).min).softmax(-1) * memory.real
        context = (alpha @ memory.values).transpose(1, 2)  # (B, K, M, C / M)
        return Glimpse(context.reshape(-1, self.context_size), alpha.mean(1).reshape(-1, time))

    def _energies(self, q: Tensor, k: Tensor) -> Tensor:
        """W s + b (B, M, K, H / M) and the keys (B, M, T, H / M) to e (B, M, K, T)."""
        if self.weight is None:
            return q.tanh() @ k.transpose(2, 3)
        return torch.einsum("bmkth,mh->bmkt", (q[:, :, :, None] + k[:, :, None]).tanh(), self.weight)
