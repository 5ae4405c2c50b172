"""Professor forcing: the losses by their definition, padding, and free writing told from taught and brought to it."""

import pytest
import torch

from models.bahdanau import Config
from models.criteria.token_cross_entropy import prepend_bos
from models.interface import Padded
from models.layers.decoder.professor_forcing import (
    Discriminator,
    discriminator_accuracy,
    discriminator_loss,
    imitation_loss,
)

torch.set_num_threads(1)

TAUGHT, FREE = torch.tensor([1.5, -0.5, 2.0]), torch.tensor([-1.0, 0.5, -3.0])


def test_the_losses_are_their_definition():
    d_taught, d_free = TAUGHT.sigmoid(), FREE.sigmoid()
    found = discriminator_loss(TAUGHT, FREE)
    torch.testing.assert_close(found.total, -d_taught.log().sum() - (1 - d_free).log().sum())
    assert found.count == 6
    torch.testing.assert_close(imitation_loss(FREE).total, -d_free.log().sum())
    both = imitation_loss(FREE, TAUGHT)
    torch.testing.assert_close(both.total, -d_free.log().sum() - (1 - d_taught).log().sum())
    assert both.count == 3
    assert discriminator_accuracy(TAUGHT, FREE) == pytest.approx(4 / 6)


def test_padding_is_not_judged():
    torch.manual_seed(0)
    judge = Discriminator(4, 6).double()
    rows = [torch.randn(n, 4, dtype=torch.float64) for n in (5, 1, 3)]
    together = judge(Padded.stack(rows, fill=99.0))
    alone = torch.cat([judge(Padded.stack([row])) for row in rows])
    torch.testing.assert_close(together, alone, rtol=1e-9, atol=1e-9)


def behaviors(model, share):
    torch.manual_seed(5)
    source = Padded.stack([torch.randint(4, 8, (4,)) for _ in range(16)])
    read = prepend_bos(Padded.stack([torch.full((4,), 4 + i % 4) for i in range(16)]))
    return Padded(model.features(model.encode(source), read, share), read.lengths)


def test_free_and_taught_behavior_are_told_apart_and_brought_together():
    """A decoder whose truth is not what it writes; gradients flow from the judgment into it."""
    torch.manual_seed(0)
    sizes = {"embedding_size": 8, "hidden_size": 8, "attention_size": 8, "maxout_size": 8, "initial_deviation": 0.5}
    model = Config(**sizes).build(8, 8)
    model.output.bias.data[7] = 4.0
    taught, free = behaviors(model, 0.0), behaviors(model, 1.0)
    assert taught.data.shape == free.data.shape
    torch.testing.assert_close(taught.data[:, 0], free.data[:, 0])  # both read BOS
    judge = Discriminator(taught.data.shape[2], 16)
    optimizer = torch.optim.Adam(judge.parameters(), 1e-2)
    fixed = [Padded(x.data.detach(), x.lengths) for x in (taught, free)]
    for _ in range(60):
        optimizer.zero_grad()
        discriminator_loss(*(judge(x) for x in fixed)).mean().backward()
        optimizer.step()
    assert discriminator_accuracy(*(judge(x) for x in fixed)) > 0.9
    before = imitation_loss(judge(free)).mean()
    before.backward()
    slopes = {name: p.grad for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert any(name.startswith("cell") for name in slopes)
    with torch.no_grad():
        for name, value in model.named_parameters():
            value -= 1e-3 * slopes.get(name, torch.zeros_like(value))
    assert imitation_loss(judge(behaviors(model, 1.0))).mean() < before
