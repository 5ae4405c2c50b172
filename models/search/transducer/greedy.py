"""The most probable symbol of a transducer, one after the other: blank goes on to the next frame (Graves 2012).

An utterance has one alignment at a time, and those of a batch go on together, a frame each.
"""

import math

import torch
from torch import Tensor

from models.interface import Hypothesis, Transducer
from models.search.length_limit import mark_truncated
from models.search.state_pytree import replace_rows, select_rows
from models.special_tokens import BLANK


class GreedySearch:
    """A search that frames are fed to, one of each utterance at a time. score: log p of the alignment.

    symbols: after so many in one frame, and after max_length in all, blank is what comes next.
    """

    def __init__(self, model: Transducer, batch: int, max_length: int, symbols: int) -> None:
        self.model, self.max_length, self.symbols, self.step = model, max_length, symbols, 0
        self.prefixes, self.state = model.start(batch)
        zero = torch.zeros(batch, dtype=torch.float64, device=self.prefixes.device)
        self.scores, self.sure = zero, zero.clone()
        self.written: list[list[tuple[int, int]]] = [[] for _ in range(batch)]  # of each token what it is, and the step

    def advance(self, frames: Tensor) -> None:
        """The next frame (n, J) of the first n utterances; the others have ended."""
        rows = torch.arange(len(frames), device=frames.device)
        for emitted in range(self.symbols + 1):
            log_p = self.model.join(frames[rows], self.prefixes[rows]).double()
            log_p[self._full(rows, emitted), BLANK + 1 :] = -torch.inf
            best, token = log_p.max(1)
            self.scores.index_add_(0, rows, best)
            grows = token != BLANK
            rows, token = rows[grows], token[grows]
            if not len(rows):
                break
            self.sure.index_add_(0, rows, best[grows])
            for row, symbol in zip(rows.tolist(), token.tolist(), strict=True):
                self.written[row].append((symbol, self.step))
            prefixes, state = self.model.predict(token, select_rows(self.state, rows))
            self.prefixes = self.prefixes.index_copy(0, rows, prefixes)
            self.state = replace_rows(self.state, rows, state)
        self.step += 1

    def _full(self, rows: Tensor, emitted: int) -> Tensor:
        """(n,) bool: which of these rows may grow no more."""
        if emitted == self.symbols:
            return torch.ones_like(rows, dtype=torch.bool)
        return torch.tensor([len(self.written[row]) >= self.max_length for row in rows.tolist()], device=rows.device)

    def found(self) -> list[list[Hypothesis]]:
        """The one hypothesis of each utterance so far."""
        rows = zip(self.written, self.scores.tolist(), self.sure.tolist(), strict=True)
        best = [[hypothesis(written, score, sure)] for written, score, sure in rows]
        return mark_truncated(best, [self.max_length] * len(best))


def hypothesis(written: list[tuple[int, int]], score: float, sure: float) -> Hypothesis:
    """written: tokens with the steps they are emitted in. sure: the sum of their log-probabilities."""
    confidence = math.exp(sure / len(written)) if written else math.nan
    return Hypothesis(tuple(y for y, _ in written), score, tuple((t, t + 1) for _, t in written), confidence)
