"""What models share whose target is written by a recurrence that may attend to a memory.

z_i, s_i = write(E y_{i-1}, s_{i-1}, memory)        p(y_i | x, y_<i) = softmax of logits(z_i)

An architecture's `write` says whether it attends before its update (Bahdanau, GNMT), after it (Luong), or both: what is
attended to after one update is read by the next (Listen, Attend and Spell, input feeding). While it trains it reads
the truth y_{i-1}, or at `sampling` what is drawn from its own p (models/layers/decoder/scheduled_sampling.py). With
`professor_forcing` its z are drawn to what they would be had it read the truth, or that mixture
(models/layers/decoder/professor_forcing.py); the loss is the likelihood's all the same, and so is all of evaluation.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from models.criteria.token_cross_entropy import append_eos, cross_entropy, prepend_bos
from models.families.sequence_to_sequence import SequenceToSequence
from models.interface import Loss, Memory, Padded, State, Step
from models.layers.decoder.professor_forcing import Discriminator, adversarial_loss
from models.layers.decoder.scheduled_sampling import draw_tokens, mix_tokens
from models.layers.rnn_stack import Stack
from models.search.state_pytree import tree_map
from models.special_tokens import EOS


class RecurrentDecoder(SequenceToSequence):
    """Its config has a `professor_forcing`, which makes its `discriminator` of the size of `behavior`."""

    discriminator: Discriminator | None

    @abstractmethod
    def embed(self, tokens: Tensor) -> Tensor:
        """Tokens (...) to what is read of them (..., E)."""

    @abstractmethod
    def write(self, e: Tensor, state: State, parts: Any) -> tuple[Tensor, State, Tensor | None]:
        """E y_{i-1} (N, E) and s_{i-1} to z_i (N, F), s_i, and the attention (N, T) paid, if any."""

    @abstractmethod
    def _logits(self, z: Tensor) -> Tensor:
        """z (..., F) to (..., V)."""

    def parts(self, memory: Memory) -> Any:
        """What `write` is given of a memory."""
        return memory.data

    def embed_all(self, tokens: Tensor) -> Sequence[Tensor]:
        """Tokens (B, U) to U of (B, E)."""
        return self.embed(tokens).unbind(1)

    def predict(self, memory: Memory, read: Padded) -> Tensor:
        return self._logits(self.features(memory, read, self.sampled_share))

    def features(self, memory: Memory, read: Padded, share: float) -> Tensor:
        """z (B, U, F) of tokens (B, U) that begin with BOS, of which such a share is drawn: 0 none, 1 all but BOS."""
        return self.read_mixture(memory, read, share)[0] if share else self.read_truth(memory, read)

    def read_truth(self, memory: Memory, read: Padded) -> Tensor:
        state, parts, features = self.start(memory, len(read.lengths)), self.parts(memory), []
        for e in self.embed_all(read.data):
            z, state, _ = self.write(e, state, parts)
            features.append(z)
        return torch.stack(features, 1)

    def read_mixture(self, memory: Memory, read: Padded, share: float) -> tuple[Tensor, Tensor]:
        """`features`, and the tokens (B, U) that were read."""
        state, parts, features, tokens = self.start(memory, len(read.lengths)), self.parts(memory), [], []
        drawn = None
        for truth in read.data.unbind(1):
            tokens.append(self._mixed(truth, drawn, share))
            z, state, _ = self.write(self.embed(tokens[-1]), state, parts)
            drawn = self._drawn(z.detach())
            features.append(z)
        return torch.stack(features, 1), torch.stack(tokens, 1)

    def decode_loss(self, memory: Memory, target: Padded) -> Loss:
        read = prepend_bos(target)
        z = self.features(memory, read, self.sampled_share)
        loss = cross_entropy(self._logits(z), append_eos(target), self.config.label_smoothing)
        return self.with_adversary(loss, memory, read, z)

    def behavior(self, z: Tensor) -> Tensor:
        """What the discriminator sees of z (..., F)."""
        return z

    def with_adversary(self, loss: Loss, memory: Memory, read: Padded, z: Tensor) -> Loss:
        """The loss of z (B, U, F), with the gradient of professor forcing added where that is on."""
        if self.discriminator is None or not self.training:
            return loss
        free, tokens = self.read_mixture(memory, read, 1.0)
        before_eos = (tokens == EOS).cumsum(1).eq(0).sum(1).to(read.lengths)
        taught = Padded(self.behavior(z), read.lengths)
        written = Padded(self.behavior(free), torch.minimum(read.lengths, before_eos))
        added = adversarial_loss(self.discriminator, taught, written, self.config.professor_forcing)
        return Loss(loss.total + (added - added.detach()), loss.count)

    def recur(self, stack: Stack, x: Tensor, state: State) -> tuple[Tensor, State]:
        """One step (N, D) of a stack, with its regularizers where it trains."""
        if not self.training:
            return stack.step(x, state)
        y, state = stack(Padded(x[:, None], torch.ones(len(x), dtype=torch.long)), state, own_ends=False)
        return y.data[:, 0], state

    @torch.no_grad()
    def _drawn(self, z: Tensor) -> Tensor:
        """A token (N,) from what the features z (N, F) make of p."""
        return draw_tokens(self._logits(z))

    def _mixed(self, truth: Tensor, drawn: Tensor | None, share: float | None = None) -> Tensor:
        """share: of the drawn; by default that of training now."""
        return truth if drawn is None else mix_tokens(truth, drawn, self.sampled_share if share is None else share)

    def step(self, tokens: Tensor, state: State, memory: Memory | None) -> Step:
        """Tokens (N,) to the log-probabilities (N, V) of their successors."""
        assert memory is not None, "a decoder looks at a memory"
        z, state, weights = self.write(self.embed(tokens), state, self.parts(memory))
        return Step(self._logits(z).log_softmax(-1), state, weights)


def repeat_rows(state: State, batch_size: int) -> State:
    """The state of B sources for N = B K hypotheses, K of each side by side."""
    return tree_map(lambda leaf: leaf.repeat_interleave(batch_size // max(1, len(leaf)), 0), state)
