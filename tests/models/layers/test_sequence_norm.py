"""Sequence-wise batch normalization against batch normalization of the real steps alone."""

import pytest
import torch
from padded_sequences import littered, sequences
from torch import nn

from models.interface import Padded
from models.layers.sequence_norm import SequenceNorm

torch.set_num_threads(1)


@pytest.mark.parametrize("features", [(6,), (6, 4)])
def test_sequence_norm_is_batch_norm_of_the_real_steps(features):
    rows = sequences(*features)
    ours, theirs = SequenceNorm(6).double(), nn.BatchNorm1d(6).double()
    for module in (ours.norm, theirs):
        nn.init.uniform_(module.weight, generator=torch.Generator().manual_seed(1))
        nn.init.uniform_(module.bias, generator=torch.Generator().manual_seed(2))
    for training in (True, True, False):
        ours.train(training), theirs.train(training)
        x = littered(rows)
        together = torch.cat(rows).requires_grad_()
        y, truth = ours(x), theirs(together)
        torch.testing.assert_close(y.data[x.mask()], truth)
        assert not y.data[~x.mask()].any()
        y.data.square().sum().backward()
        truth.square().sum().backward()
        torch.testing.assert_close(x.data.grad[x.mask()], together.grad)
        assert not x.data.grad[~x.mask()].any()
    torch.testing.assert_close(ours.norm.running_var, theirs.running_var)


def test_a_lone_step_is_normalized_by_the_running_statistics():
    norm = SequenceNorm(3).train()
    y = norm(Padded(torch.ones(1, 1, 3), torch.tensor([1])))
    torch.testing.assert_close(y.data, torch.ones(1, 1, 3), rtol=1e-4, atol=1e-4)
