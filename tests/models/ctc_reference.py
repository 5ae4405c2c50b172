"""What tests of CTC searches share: a small language model, and how results are compared."""

import itertools

import pytest
import torch

from models.interface import Step
from models.special_tokens import BOS, EOS

VOCABULARY = 5  # blank, BOS, EOS, UNK and one more: to the search only the blank is special


def collapse(path):
    return tuple(token for token, _ in itertools.groupby(path) if token != 0)


class Bigrams:
    """A language model that knows the token before: its state is that token and a count of steps."""

    def __init__(self, size=VOCABULARY):
        generator = torch.Generator().manual_seed(7)
        self.table = (2 * torch.randn(size, size, generator=generator, dtype=torch.float64)).log_softmax(-1)

    def encode(self, source):
        return None

    def start(self, memory, batch_size):
        return {"before": (torch.full((batch_size,), -1), torch.zeros(batch_size, 2))}

    def step(self, tokens, state, memory):
        before, count = state["before"]
        assert ((count[:, 0] == 0) == (before == -1)).all()
        # the token before the last one matters too, so that a state gone astray shows
        scores = self.table[tokens] + 0.5 * torch.where(before[:, None] >= 0, self.table[before], 0)
        return Step(scores.log_softmax(-1), {"before": (tokens, count + 1)})

    def log_prob(self, sentence):
        before, total = -1, 0.0
        for last, token in itertools.pairwise((BOS, *sentence, EOS)):
            scores = self.table[last] + (0.5 * self.table[before] if before >= 0 else 0)
            total += float(scores.log_softmax(-1)[token])
            before = last
        return total


def same(one, other):
    assert [[h.tokens for h in nbest] for nbest in one] == [[h.tokens for h in nbest] for nbest in other]
    assert [[h.spans for h in nbest] for nbest in one] == [[h.spans for h in nbest] for nbest in other]
    scores = [[h.score for nbest in run for h in nbest] for run in (one, other)]
    assert scores[0] == pytest.approx(scores[1], abs=1e-9)
