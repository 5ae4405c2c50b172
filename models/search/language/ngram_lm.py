"""A back-off n-gram language model, queried by the batch: the tables of an ARPA file as a trie of sorted arrays.

log p(w | h) = log p*(h w)                      where the n-gram h w is in the tables (Katz 1987)
             = log b(h) + log p(w | h')         elsewhere; h' is h without its first token
log b(h)     = 0                                where h is not in the tables

An n-gram is a node: its number is its place in the sorted keys of its order, and its key says its context and its last
token: parent * V + token. So the children of a node lie side by side, and one searchsorted looks up a whole batch. A
decoder's state is, for each k below the order, the node of the last k tokens, or ABSENT.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from models.interface import Memory, Padded, Step
from models.special_tokens import BOS, EOS

ABSENT = -1
NATS = math.log(10)  # in a unit of log10


class Level(NamedTuple):
    """The n-grams of one order. Order 1 has every token, so that a token is its own node."""

    keys: Tensor  # (n,) int64, ascending
    log10: Tensor  # (n,) float32: log10 p*
    backoff: Tensor  # (n,) float32: log10 b; empty at the highest order


@dataclass(frozen=True, eq=False)
class NGram:
    """A `Decoder` without memory. levels: the n-grams of 1 token, of 2, and so on.

    Token ids are the tokenizer's. BLANK and BOS are never predicted: their log-probability is -inf.
    """

    levels: tuple[Level, ...]

    @property
    def order(self) -> int:
        return len(self.levels)

    @property
    def size(self) -> int:
        """V, the tokens with the special ids."""
        return len(self.levels[0].keys)

    def to(self, device: torch.device | str) -> "NGram":
        return NGram(tuple(Level(*(table.to(device) for table in level)) for level in self.levels))

    def encode(self, source: Padded | None) -> Padded | None:  # noqa: ARG002  (the protocol's)
        return None

    def start(self, memory: Memory | None, batch_size: int) -> Tensor:  # noqa: ARG002  (the protocol's)
        """(N, order - 1), before anything is read."""
        return torch.full((batch_size, self.order - 1), ABSENT, device=self.levels[0].keys.device)

    def step(self, tokens: Tensor, state: Tensor, memory: Memory | None) -> Step:  # noqa: ARG002  (the protocol's)
        """Read `tokens` (N,); the log-probabilities of the next, (N, V) float64 in nats."""
        state = self.advance(tokens, state)
        return Step(self.log_probs(state), state)

    def advance(self, tokens: Tensor, state: Tensor) -> Tensor:
        """The state (N, order - 1) after one more token (N,) each."""
        longer = [self._find(k, state[:, k - 1] * self.size + tokens) for k in range(1, self.order - 1)]
        return torch.stack([tokens, *longer], 1) if self.order > 1 else state

    def read(self, contexts: Tensor) -> Tensor:
        """The state (N, order - 1) after contexts (N, C), which are padded with BLANK on the left."""
        state = self.start(None, len(contexts))
        for tokens in contexts[:, max(0, contexts.shape[1] - self.order + 1) :].unbind(1):
            state = self.advance(tokens, state)
        return state

    def log_probs(self, state: Tensor) -> Tensor:
        """(N, V) float64: log p of every token after a state (N, order - 1), in nats."""
        logs = self.levels[0].log10.double().repeat(len(state), 1)
        for k in range(1, self.order):
            node, keys = state[:, k - 1], self.levels[k].keys
            logs += self._backoff(k - 1, node)[:, None]
            first, last = torch.searchsorted(keys, torch.stack((node, node + 1)) * self.size)  # ABSENT: 0 and 0
            count = last - first
            row = torch.arange(len(state), device=node.device).repeat_interleave(count)
            within = torch.arange(len(row), device=node.device) - (count.cumsum(0) - count)[row]
            child = first[row] + within
            logs[row, keys[child] - node[row] * self.size] = self.levels[k].log10[child].double()
        return logs * NATS

    def score_next(self, tokens: Tensor, state: Tensor) -> Tensor:
        """(N,) float64: log p of one token (N,) after each state (N, order - 1), in nats."""
        score = self.levels[0].log10[tokens].double()
        for k in range(1, self.order):
            score, _ = self._longer(k, tokens, state[:, k - 1], score)
        return score * NATS

    def score(self, stream: Tensor) -> Tensor:
        """(T,) float64: log p of each token of a text `<s> a b </s> <s> c </s>` (T,), in nats; 0 for every <s>.

        No n-gram goes beyond an <s>, since none has one in its middle.
        """
        node, score = stream, self.levels[0].log10[stream].double()
        for k in range(1, self.order):
            before = torch.cat((node.new_full((1,), ABSENT), node[:-1]))
            score, node = self._longer(k, stream, before, score)
        return (score * NATS).masked_fill(stream == BOS, 0)

    def _longer(self, k: int, tokens: Tensor, context: Tensor, shorter: Tensor) -> tuple[Tensor, Tensor]:
        """log10 p(token | k tokens before), from that with k - 1, and the nodes of these n-grams of k + 1."""
        node = self._find(k, context * self.size + tokens)
        if not len(self.levels[k].keys):
            return shorter + self._backoff(k - 1, context), node
        found = self.levels[k].log10[node.clamp(min=0)].double()
        return torch.where(node == ABSENT, shorter + self._backoff(k - 1, context), found), node

    def _find(self, k: int, wanted: Tensor) -> Tensor:
        """The nodes with these keys among the n-grams of k + 1 tokens. Below ABSENT all keys are negative."""
        keys = self.levels[k].keys
        if not len(keys):
            return torch.full_like(wanted, ABSENT)
        place = torch.searchsorted(keys, wanted).clamp(max=len(keys) - 1)
        return torch.where(keys[place] == wanted, place, ABSENT)

    def _backoff(self, k: int, node: Tensor) -> Tensor:
        weight = self.levels[k].backoff[node.clamp(min=0)].double() if len(self.levels[k].backoff) else node.double()
        return weight.masked_fill(node == ABSENT, 0)


@dataclass(frozen=True, eq=False)
class NGramGenerator:
    """The model as one of a text that goes on from sentence to sentence: after </s> comes what comes after <s>."""

    model: NGram

    def predict(self, tokens: Padded, state: Tensor | None) -> tuple[Padded, Tensor]:
        """Tokens (N, T) to the log-probabilities (N, T, V) of each one's successor, and the state after each row."""
        state, rows = self.model.start(None, len(tokens.lengths)) if state is None else state, []
        for column, inside in zip(tokens.data.unbind(1), tokens.mask().unbind(1), strict=True):
            log_probs, after, _ = self.step(column, state, None)
            state = torch.where(inside[:, None], after, state)
            rows.append(log_probs)
        return Padded(torch.stack(rows, 1), tokens.lengths), state

    def step(self, tokens: Tensor, state: Tensor, memory: Memory | None) -> Step:
        return self.model.step(tokens.masked_fill(tokens == EOS, BOS), state, memory)
