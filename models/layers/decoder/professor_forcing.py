"""Professor forcing (Lamb et al. 2016, https://arxiv.org/abs/1610.09038): free writing behaves as taught writing does.

b = the features z_1 .. z_U of a decoder that reads the truth, or what it has drawn itself, up to its EOS if that is
sooner; p is a function of them
D(b) = sigmoid(MLP(mean over the steps of a bidirectional GRU of b)), the probability that it read the truth
C_d = -log D(b_truth) - log(1 - D(b_free))              of the discriminator, equation 2
C_f = -log D(b_free)                                    of the decoder, beside its likelihood, equation 3
C_t = -log(1 - D(b_truth))                              of the decoder too, where that is wished, equation 4

The discriminator is trained while it is right in less than 99 % of all cases, and listened to where it is right in more
than 75 % (section 2.3), here of each batch. It is a part of the model and learns in the same updates: decoder and
discriminator each go down their own gradient, neither down the other's.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from models.interface import Loss, Padded
from models.layers.rnn_stack import Recurrent, Stack

SURE, USEFUL = 0.99, 0.75


@dataclass(frozen=True, kw_only=True)
class ProfessorForcing:
    """weight: of C_f beside a sequence's nats; the paper's is 1, 0 is teacher forcing alone. two_sided: C_t too.
    hidden_size: of the discriminator, which is the model's `discriminator` in fit.rate_factors and fit.freeze.
    """

    weight: float = 0.0
    two_sided: bool = False
    hidden_size: int = 512

    def __post_init__(self) -> None:
        if not 0 <= self.weight < float("inf"):
            raise ValueError(f"professor_forcing.weight is 0 or more, and finite, not {self.weight}")
        if self.hidden_size < 1:
            raise ValueError(f"professor_forcing.hidden_size is at least 1, not {self.hidden_size}")

    def discriminator(self, behavior_size: int) -> "Discriminator | None":
        """None where it is off. behavior_size: as in `Discriminator`."""
        return Discriminator(behavior_size, self.hidden_size) if self.weight else None


class Discriminator(nn.Module):
    """behavior_size: the features of a step. hidden_size: of the MLP, and of each direction of the GRU."""

    def __init__(self, behavior_size: int, hidden_size: int = 512) -> None:
        super().__init__()
        self.recurrent = Stack(Recurrent(cell="gru", hidden_size=hidden_size, bidirectional=True), behavior_size)
        self.readout = nn.Sequential(
            nn.Linear(2 * hidden_size, hidden_size), nn.ReLU(), nn.Linear(hidden_size, hidden_size), nn.ReLU()
        )
        self.output = nn.Linear(hidden_size, 1)

    def forward(self, behavior: Padded) -> Tensor:
        """Features (B, U, F), U of 1 or more each, to log D - log(1 - D) (B,)."""
        h, _ = self.recurrent(behavior, own_ends=False)
        mean = h.data.sum(1) / h.lengths.to(h.data.device)[:, None]  # h is zero beyond the lengths
        return self.output(self.readout(mean)).squeeze(1)

    def judge(self, behavior: Padded) -> Tensor:
        """The same, with a gradient by the behavior and none by the discriminator."""
        fixed = {name: value.detach() for name, value in self.named_parameters()}
        return functional_call(self, fixed, (behavior,))


def adversarial_loss(discriminator: Discriminator, taught: Padded, free: Padded, options: ProfessorForcing) -> Tensor:
    """C_d summed over the rows, of which the discriminator alone has a gradient, and weight (C_f + C_t), of which both
    behaviors (B, U, F) alone have one; each 0 where the discriminator's accuracy says so.
    """
    both = Padded(torch.cat((taught.data, free.data)), torch.cat((taught.lengths, free.lengths)))
    told = discriminator(Padded(both.data.detach(), both.lengths)).chunk(2)
    heard = discriminator.judge(both).chunk(2) if options.two_sided else (None, discriminator.judge(free))
    right = discriminator_accuracy(*told)
    imitation = options.weight * imitation_loss(heard[1], heard[0]).total
    return discriminator_loss(*told).total * (right < SURE) + imitation * (right > USEFUL)


def discriminator_loss(taught: Tensor, free: Tensor) -> Loss:
    """C_d of what D says (B,) of both kinds of behavior. The count is that of all of them."""
    total = F.softplus(-taught).sum() + F.softplus(free).sum()
    return Loss(total, torch.tensor(len(taught) + len(free), device=taught.device))


def imitation_loss(free: Tensor, taught: Tensor | None = None) -> Loss:
    """C_f, and with what D says of taught behavior C_f + C_t. The count is that of the sequences."""
    total = F.softplus(-free).sum()
    if taught is not None:
        total = total + F.softplus(taught).sum()
    return Loss(total, torch.tensor(len(free), device=free.device))


def discriminator_accuracy(taught: Tensor, free: Tensor) -> Tensor:
    """The share of both kinds that is told right."""
    return torch.cat((taught > 0, free <= 0)).double().mean()
