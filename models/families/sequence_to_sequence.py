"""What models share that write a target while they look at a source: an architecture says how it reads, and steps.

log p(y | x) = sum_i log p(y_i | x, y_1 .. y_{i-1}), y_{U+1} = EOS        p = softmax of the logits

A source of tokens is read with EOS after it, so that none is empty. Scheduled sampling of a model that reads all of its
target at once takes two passes (Mihaylova & Martins 2019, https://arxiv.org/abs/1906.07651): what the first, without
gradient, writes after the truth is mixed into what the second reads.
"""

from abc import abstractmethod

import torch
from torch import Tensor
from torch.nn.utils.parametrize import cached

from models.criteria.token_cross_entropy import append_eos, cross_entropy, prepend_bos
from models.interface import Batch, Beam, Decoder, Hypothesis, Loss, Memory, Model, Padded, State, Step
from models.layers.decoder.scheduled_sampling import Sampling, draw_tokens, mix_tokens
from models.layers.reverse_padded import permute_rows, reversal_order
from models.search.attention.beam import attention_beam
from models.search.attention.prefix_constraint import prefix_constrained_beam
from models.special_tokens import PAD

LONGER, MORE = 3, 10  # no search writes more than 3 T + 10 tokens for a source of T


class SequenceToSequence(Model):
    """A `Decoder` with a memory, `Scheduled`. Its config has a `label_smoothing`."""

    reads = "tokens"
    longest: int | None = None  # tokens of a source or a target, EOS among them; None for no limit of the network's own
    sampling = Sampling()
    updates = 0

    @abstractmethod
    def encode(self, source: Padded | None) -> Memory:
        """A source (B, T, ...) to what a step looks at."""

    @abstractmethod
    def start(self, memory: Memory | None, batch_size: int) -> State: ...

    @abstractmethod
    def step(self, tokens: Tensor, state: State, memory: Memory | None) -> Step:
        """Tokens (N,) to the log-probabilities (N, V) of their successors."""

    @abstractmethod
    def predict(self, memory: Memory, read: Padded) -> Tensor:
        """The logits (B, U, V) of each one's successor, of tokens (B, U) that begin with BOS."""

    def set_updates(self, updates: int) -> None:
        self.updates = updates

    @property
    def sampled_share(self) -> float:
        """Of the tokens that are read now, those that are sampled."""
        return self.sampling.share(self.updates) if self.training else 0.0

    def loss(self, batch: Batch) -> Loss:
        return self.decode_loss(self.encode(batch.given), batch.target)

    def decode_loss(self, memory: Memory, target: Padded) -> Loss:
        """The cross-entropy of a target (B, U) and EOS."""
        logits = self.predict(memory, self.sampled(memory, prepend_bos(target)))
        return cross_entropy(logits, append_eos(target), self.config.label_smoothing)

    def sampled(self, memory: Memory, read: Padded) -> Padded:
        """BOS and a target (B, U), some of it as the model would write it."""
        share = self.sampled_share
        if not share:
            return read
        with torch.no_grad():
            drawn = draw_tokens(self.predict(memory, read)[:, :-1])
        mixed = mix_tokens(read.data[:, 1:], drawn, share)
        return Padded(torch.cat((read.data[:, :1], mixed), 1), read.lengths)

    @torch.no_grad()
    def score(self, batch: Batch) -> Tensor:
        """(B,) log p(target EOS | source) of given pairs, in nats."""
        log_probs = self.predict(self.encode(batch.given), prepend_bos(batch.target)).log_softmax(-1)
        target = append_eos(batch.target)
        told = log_probs.gather(2, target.data[..., None]).squeeze(2)
        return told.masked_fill(~target.mask(), 0).sum(1)

    def limits(self, source: Padded) -> Tensor:
        """(B,) the most tokens that a search writes for each source."""
        return LONGER * source.lengths + MORE

    @torch.no_grad()
    def search(self, source: Padded, beam: Beam, lm: Decoder | None = None) -> list[list[Hypothesis]]:
        with cached():  # weights that are computed of others, such as normalized ones
            return attention_beam(self, self.encode(source), beam, lm, limits=self.limits(source))

    @torch.no_grad()
    def complete(
        self, source: Padded, prefixes: Padded, beam: Beam, lm: Decoder | None = None
    ) -> list[list[Hypothesis]]:
        """The same of the targets that begin with given tokens (B, P); these are part of each hypothesis."""
        with cached():
            return prefix_constrained_beam(self, self.encode(source), beam, prefixes, lm, self.limits(source))


def read_tokens(source: Padded | None) -> Padded:
    """Tokens (B, T) with EOS after them (B, T + 1), whatever the padding was. Raises ValueError for anything else."""
    if source is None:
        raise ValueError("a translation needs a source: tokens (B, T)")
    if source.data.dim() != 2 or source.data.is_floating_point():
        raise ValueError("this model translates: its source is tokens (B, T), and frames of sound are for a recognizer")
    return append_eos(Padded(source.data.masked_fill(~source.mask(), PAD), source.lengths))


def reverse_tokens(read: Padded) -> tuple[Tensor, Tensor]:
    """What `read_tokens` gives, its tokens (B, T + 1) in reversed order and EOS last, and the order that undoes it."""
    order = reversal_order(Padded(read.data, read.lengths - 1))
    return permute_rows(read.data, order), order
