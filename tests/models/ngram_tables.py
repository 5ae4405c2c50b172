"""Random back-off n-gram models, looked up one n-gram at a time."""

import math

import torch

from models.search.language.ngram_lm import Level, NGram
from models.special_tokens import BLANK, BOS, EOS

SIZE = 7


class Tables:
    """Random n-grams with random weights, every one with its context; not normalized, for back-off need not be."""

    def __init__(self, order, seed=0, size=SIZE, density=0.5):
        self.order, self.size = order, size
        random = torch.Generator().manual_seed(seed)

        def draw(scale):
            return torch.tensor(-scale * float(torch.rand((), generator=random))).item()  # as float32 holds it

        self.log10 = {(w,): -math.inf if w in (BLANK, BOS) else draw(3) for w in range(size)}
        self.backoff = {(w,): draw(1) for w in range(size) if w != BLANK}
        for k in range(2, order + 1):
            for context in [gram for gram in self.log10 if len(gram) == k - 1 and gram[-1] not in (BLANK, EOS)]:
                for w in range(EOS, size):
                    if float(torch.rand((), generator=random)) < density:
                        self.log10[*context, w] = draw(3)
                        self.backoff[*context, w] = draw(1)

    def look_up(self, context, token):
        """log10 p(token | context) by the definition."""
        context = tuple(context)[max(0, len(context) - self.order + 1) :]
        if (*context, token) in self.log10:
            return self.log10[*context, token]
        return self.backoff.get(context, 0.0) + self.look_up(context[1:], token)

    def log_prob(self, sentence):
        words = (BOS, *sentence, EOS)
        return sum(self.look_up(words[:i], words[i]) for i in range(1, len(words))) * math.log(10)

    def trie(self):
        levels, nodes = [], {(): 0}
        for k in range(1, self.order + 1):
            grams = sorted(gram for gram in self.log10 if len(gram) == k)
            keys = torch.tensor([nodes[gram[:-1]] * self.size + gram[-1] for gram in grams], dtype=torch.long)
            nodes |= {gram: i for i, gram in enumerate(grams)}
            log10 = torch.tensor([self.log10[gram] for gram in grams])
            backoff = torch.tensor([self.backoff.get(gram, 0.0) for gram in grams if k < self.order])
            levels.append(Level(keys, log10, backoff))
        return NGram(tuple(levels))
