"""The adding problem (Hochreiter & Schmidhuber 1997; Le et al. 2015, section 4.1): which initialization bridges it.

Each step brings a number in [0, 1] and a mark; the answer, after the last step, is the sum of the two marked numbers,
one from either half. Saying 1 always has the error 1/6, the variance of that sum.
"""

import pytest
import torch
from torch import nn

from models.interface import Padded
from models.layers.rnn_stack import Recurrent, Stack

torch.set_num_threads(1)

STEPS, UPDATES, ROWS = 60, 1000, 50
RELU = {"elman": {"nonlinearity": "relu"}}
SMALL = {"input": "normal", "input_scale": 0.1, "bias": "zero"}
ANSWERS = {
    "identity": RELU | {"initialize": SMALL | {"recurrent": "identity"}},
    "orthogonal": RELU | {"initialize": SMALL | {"recurrent": "orthogonal"}},
}


def problem():
    numbers, marks, rows = torch.rand(ROWS, STEPS), torch.zeros(ROWS, STEPS), torch.arange(ROWS)
    for half in range(2):
        marks[rows, torch.randint(STEPS // 2, (ROWS,)) + half * STEPS // 2] = 1
    return Padded(torch.stack((numbers, marks), 2), torch.full((ROWS,), STEPS)), (numbers * marks).sum(1)


def error_after_training(**options):
    """The mean squared error over the last 100 updates."""
    torch.manual_seed(0)
    net, readout = Stack(Recurrent(cell="elman", hidden_size=64, **options), 2), nn.Linear(64, 1)
    weights, errors = [*net.parameters(), *readout.parameters()], []
    optimizer = torch.optim.Adam(weights, lr=1e-3)
    for _ in range(UPDATES):
        x, answer = problem()
        error = (readout(net(x)[0].data[:, -1]).squeeze(1) - answer).square().mean()
        optimizer.zero_grad()
        error.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        errors.append(float(error.detach()))
    return sum(errors[-100:]) / 100


@pytest.mark.slow
@pytest.mark.parametrize("name", ANSWERS)
def test_it_bridges_sixty_steps(name):
    assert error_after_training(**ANSWERS[name]) < 0.05


@pytest.mark.slow
def test_the_plain_network_does_not():
    assert error_after_training() > 0.15
