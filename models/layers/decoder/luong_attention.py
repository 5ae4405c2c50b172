"""Luong's attention, to all steps of a memory or to a window (Luong et al. 2015, https://arxiv.org/abs/1508.04025).

score(h_t, h_s) = h_t . h_s                         dot
                  h_t . W_a h_s                     general
                  v_a . tanh(W_a [h_t, h_s])        concat                                  section 3.1
a_t(s) = softmax_s of the scores,  c_t = sum_s a_t(s) h_s

global      over all S steps
local_m     over those from p_t - D to p_t + D, p_t = t, no later than the last step        section 3.2
local_p     p_t = S sigmoid(v_p . tanh(W_p h_t)), and a_t(s) has a factor exp(-(s - p_t)^2 / (2 (D / 2)^2))
"""

from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from models.interface import Padded

Score = Literal["dot", "general", "concat"]
Reach = Literal["global", "local_m", "local_p"]


class Attended(NamedTuple):
    values: Tensor  # (B, S, C) h_s
    keys: Tensor  # (B, S, H) what a query is compared with
    lengths: Tensor  # (B,)


class LuongAttention(nn.Module):
    """window: D. Raises ValueError for a score or reach that there is not, and for a dot of unlike sizes."""

    def __init__(self, score: Score, reach: Reach, window: int, query_size: int, memory_size: int) -> None:
        super().__init__()
        for name, value, known in (("score", score, Score), ("reach", reach, Reach)):
            if value not in get_args(known):
                raise ValueError(f"{name} is one of {', '.join(get_args(known))}, not {value!r}")
        if score == "dot" and query_size != memory_size:
            raise ValueError(f"a dot product of {query_size} and {memory_size} features: take general or concat")
        if window < 1:
            raise ValueError(f"window is at least 1, not {window}")
        self.score, self.reach, self.window = score, reach, window
        size = memory_size if score == "concat" else query_size
        self.key = nn.Identity() if score == "dot" else nn.Linear(memory_size, size, bias=False)
        self.query = nn.Linear(query_size, size, bias=False) if score == "concat" else nn.Identity()
        self.weight = nn.Linear(size, 1, bias=False) if score == "concat" else None
        self.place: nn.Module | None = None
        if reach == "local_p":
            inner = nn.Linear(query_size, query_size, bias=False)
            self.place = nn.Sequential(inner, nn.Tanh(), nn.Linear(query_size, 1, bias=False), nn.Sigmoid())

    def prepare(self, memory: Padded) -> Attended:
        h = memory.data.masked_fill(~memory.mask()[..., None], 0)
        return Attended(h, self.key(h), memory.lengths.to(h.device))

    def forward(self, query: Tensor, memory: Attended, written: Tensor) -> tuple[Tensor, Tensor]:
        """Queries h_t (N, H) after so many tokens (N,), N = B K, to c_t (N, C) and a_t (N, S) as shares of 1."""
        rows, steps = memory.keys.shape[:2]
        q = self.query(query).reshape(rows, -1, memory.keys.shape[2])  # (B, K, H)
        energies = self._energies(q, memory.keys)
        lengths, places = memory.lengths[:, None, None], torch.arange(steps, device=q.device)
        center = self._center(query, written, lengths)
        real = places < lengths
        near = real if center is None else real & ((places - center).abs() <= self.window)
        alpha = energies.masked_fill(~near, -torch.inf).softmax(-1)
        if self.reach == "local_p" and center is not None:
            alpha = alpha * (-2 * ((places - center) / self.window) ** 2).exp()
        context = (alpha @ memory.values).flatten(0, 1)
        return context, (alpha / alpha.sum(-1, keepdim=True)).flatten(0, 1)

    def _energies(self, q: Tensor, keys: Tensor) -> Tensor:
        if self.weight is None:
            return q @ keys.transpose(1, 2)
        return self.weight((q[:, :, None] + keys[:, None]).tanh()).squeeze(-1)

    def _center(self, query: Tensor, written: Tensor, lengths: Tensor) -> Tensor | None:
        """p_t (B, K, 1)."""
        if self.reach == "global":
            return None
        if self.place is None:
            return torch.minimum(written.view(len(lengths), -1, 1), lengths - 1)
        return lengths * self.place(query).view(len(lengths), -1, 1)
