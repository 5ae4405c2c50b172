"""The transducer's loss against its definition, the sum over every alignment, and against torchaudio."""

import itertools

import pytest
import torch
from torch import nn
from torchaudio.functional import rnnt_loss

from models.criteria.transducer import BlockPlan, occupied_blocks, transducer
from models.interface import Padded

torch.set_num_threads(1)

VOCABULARY, JOINT = 5, 3
TARGETS = [[1, 4, 2], [3], [], [2, 2]]
LENGTHS = [4, 5, 3, 1]


def stacked(targets):
    return Padded.stack([torch.tensor(t, dtype=torch.long) for t in targets])


def inputs(lengths=LENGTHS, targets=TARGETS, scale=1.0, size=JOINT, vocabulary=VOCABULARY, dtype=torch.float64):
    torch.manual_seed(1)
    f = torch.randn(len(lengths), max(lengths), size, dtype=dtype) * scale
    g = torch.randn(len(lengths), max(map(len, targets)) + 1, size, dtype=dtype) * scale
    output = nn.Linear(size, vocabulary).to(dtype)
    for x in (f, g):
        x.requires_grad_()
    return f, g, output, torch.tensor(lengths), stacked(targets)


def joined(f, g, output):
    """The logits as a whole."""
    return output((f[:, :, None] + g[:, None]).tanh())


def summed(log_probs, target):
    """log p(target) of (T, U + 1, V) by going through all places of its tokens among the frames."""
    scores = []
    for frames in itertools.combinations_with_replacement(range(len(log_probs)), len(target)):
        score = 0.0
        for t in range(len(log_probs)):
            before = sum(frame < t for frame in frames)
            emitted = sum(frame == t for frame in frames)
            for u in range(before, before + emitted):
                score = score + log_probs[t, u, target[u]]
            score = score + log_probs[t, before + emitted, 0]
        scores.append(score)
    return torch.logsumexp(torch.stack(scores), 0)


def by_definition(f, g, output, lengths, targets):
    log_probs = joined(f, g, output).log_softmax(-1)
    rows = zip(log_probs, lengths, targets, strict=True)
    return -sum(summed(row[:time, : len(target) + 1], target) for row, time, target in rows)


def gradients(total, f, g, output):
    return torch.autograd.grad(total, [f, g, output.weight, output.bias])


def close(one, other, tolerance=1e-9):
    for mine, theirs in zip(one, other, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("scale", [1.0, 9.0])  # the second beyond the range in which tanh is made of exponentials
def test_equals_the_sum_over_all_alignments(scale):
    f, g, output, lengths, target = inputs(scale=scale)
    assert bool(f.abs().max() > 20) is (scale > 1)
    loss = transducer(Padded(f, lengths), g, output, target)
    truth = by_definition(f, g, output, LENGTHS, TARGETS)
    close([loss.total], [truth])
    assert loss.count == 6
    close(gradients(loss.total, f, g, output), gradients(truth, f, g, output))


@pytest.mark.parametrize(("size", "vocabulary"), [(16, 11), (3, 5)])
@pytest.mark.filterwarnings("ignore:.*rnnt_loss has been deprecated.*")
def test_equals_torchaudio(size, vocabulary):
    """torchaudio sums in single precision only, and so coarsely that its gradient has four digits."""
    lengths, targets = [30, 21, 9, 1], [[1, 2, 3, 4] * 3, [4, 3, 2], [2, 2, 2, 2, 1], [1]]
    f, g, output, lengths, target = inputs(lengths, targets, size=size, vocabulary=vocabulary, dtype=torch.float32)
    loss = transducer(Padded(f, lengths), g, output, target).total
    sizes = (lengths.int(), target.lengths.int())
    theirs = rnnt_loss(joined(f, g, output), target.data.int(), *sizes, blank=0, reduction="sum")
    torch.testing.assert_close(loss, theirs, rtol=1e-6, atol=1e-6)
    close(gradients(loss, f, g, output), gradients(theirs, f, g, output), 2e-4)


def test_single_precision_keeps_its_digits():
    """Against double precision: also with the cells left out that no alignment passes."""
    lengths, targets = [120, 80], [[1, 2, 3, 4] * 5, [4, 3, 2]]
    f, g, output, lengths, target = inputs(lengths, targets, size=16, dtype=torch.float32)
    with torch.no_grad():
        output.weight.mul_(4)
    loss = transducer(Padded(f, lengths), g, output, target).total
    found = gradients(loss, f, g, output)
    f, g, output = f.detach().double().requires_grad_(), g.detach().double().requires_grad_(), output.double()
    truth = transducer(Padded(f, lengths), g, output, target).total
    torch.testing.assert_close(loss.double(), truth, rtol=1e-6, atol=0)
    for mine, theirs in zip(found, gradients(truth, f, g, output), strict=True):
        assert (mine - theirs).norm() < 2e-6 * theirs.norm()


def test_gradient():
    f, g, output, lengths, target = inputs()

    def loss(f, g, weight, bias):
        layer = nn.Linear(JOINT, VOCABULARY)
        del layer.weight, layer.bias
        layer.weight, layer.bias = weight, bias
        return transducer(Padded(f, lengths), g, layer, target).total * 0.7

    weights = [p.detach().clone().requires_grad_() for p in output.parameters()]
    assert torch.autograd.gradcheck(loss, (f, g, *weights))


@pytest.mark.parametrize("logits", [1, 2 * VOCABULARY, 7 * VOCABULARY, 13 * VOCABULARY, 1 << 20])
def test_the_size_of_a_block_changes_nothing(logits):
    f, g, output, lengths, target = inputs()
    whole = transducer(Padded(f, lengths), g, output, target).total
    parts = transducer(Padded(f, lengths), g, output, target, logits).total
    close([parts, *gradients(parts, f, g, output)], [whole, *gradients(whole, f, g, output)])


def test_padding_is_not_read():
    f, g, output, lengths, target = inputs()
    loss = transducer(Padded(f, lengths), g, output, target).total
    with torch.no_grad():
        dirty = f.masked_fill(~Padded(f, lengths).mask()[..., None], float("nan")).requires_grad_()
        wider = Padded(target.data.masked_fill(~target.mask(), 99), target.lengths)
        beyond = torch.arange(g.shape[1]) > target.lengths[:, None]
        prefixes = g.masked_fill(beyond[..., None], float("nan")).requires_grad_()
    total = transducer(Padded(dirty, lengths), prefixes, output, wider).total
    close([total], [loss])
    close(gradients(total, dirty, prefixes, output), gradients(loss, f, g, output))


def test_an_empty_target_is_all_blanks():
    f, g, output, lengths, target = inputs(targets=[[], [], [], []])
    loss = transducer(Padded(f, lengths), g, output, target)
    blanks = joined(f, g, output).log_softmax(-1)[:, :, 0, 0]
    close([loss.total], [-(blanks * Padded(f, lengths).mask()).sum()])
    assert loss.count == 0


def test_an_empty_source_adds_nothing():
    f, g, output, _, target = inputs()
    lengths = torch.tensor([4, 0, 3, 0])
    loss = transducer(Padded(f, lengths), g, output, target)
    truth = by_definition(f[::2], g[::2], output, [4, 3], TARGETS[::2])
    close([loss.total], [truth])
    close(gradients(loss.total, f, g, output), gradients(truth, f, g, output))
    none = transducer(Padded(f[:, :0], lengths * 0), g, output, target).total
    assert none == 0
    assert not torch.autograd.grad(none, g)[0].any()


def test_half_precision_is_summed_in_single():
    f, g, output, lengths, target = inputs(dtype=torch.bfloat16)
    loss = transducer(Padded(f, lengths), g, output, target).total
    assert loss.dtype == torch.float32
    assert all(x.dtype == torch.bfloat16 and x.isfinite().all() for x in gradients(loss, f, g, output))


def test_only_what_weighs_nothing_is_left_out():
    """In no frame and after no prefix."""
    away = torch.arange(8) - torch.arange(30)[:, None] / 4
    passed = torch.stack([(-5 * away**2).exp(), (-9 * away**2).exp()]).double()
    plan = BlockPlan(torch.zeros(2, 7, dtype=torch.long), ((30, 7), (20, 5)), 6 * 8 * VOCABULARY)
    kept = torch.zeros_like(passed)
    for block in occupied_blocks(plan, passed, torch.zeros(VOCABULARY).double()):
        assert not kept[block.place].any()
        kept[block.place] += passed[block.place]
    for row, (time, tokens) in enumerate(plan.sizes):
        there = passed[row, :time, : tokens + 1]
        left_out = there - kept[row, :time, : tokens + 1]
        assert left_out.sum(0).max() <= torch.finfo(torch.float64).eps
        assert left_out.sum(1).max() <= torch.finfo(torch.float64).eps
        assert (left_out > 0).any()


def test_shapes_are_checked():
    f, g, output, lengths, target = inputs()
    for prefixes, layer in ((g[:, 1:], output), (g[..., 1:], output), (g, nn.Linear(JOINT + 1, VOCABULARY))):
        with pytest.raises(ValueError, match="one more than tokens"):
            transducer(Padded(f, lengths), prefixes, layer, target)
