"""Soft attention over the places of a photo: the paper's equations a step at a time, from the weights alone."""

import itertools

import pytest
import torch

from models import show_attend_tell as module
from models.interface import Batch, Decoder, Padded
from models.show_attend_tell import Config
from models.special_tokens import BOS

torch.set_num_threads(1)

SMALL = {"embedding_size": 12, "hidden_size": 20, "attention_size": 12, "dropout": 0.0}
OTHER = {"projection": 10, "tied": True, "label_smoothing": 0.05, "doubly_stochastic": 0.0, "sampling": {"rate": 0.05}}
OTHER |= {"coordinates": True}
VARIANTS = [SMALL, SMALL | OTHER]


def test_parameters_by_hand():
    """With VGG's 512 features a place and the paper's 10,000 words; torch has two biases a gate."""
    with torch.device("meta"):
        model = Config().build(512, 10_000)
    assert isinstance(model, Decoder)
    begin, attention, gate = 2 * (512 + 1) * 1000, 512 * (1000 + 1 + 512 + 1), 1001
    lstm, deep = 4 * 1000 * (100 + 512 + 1000 + 2), 100 * (1000 + 1 + 512)
    truth = begin + attention + gate + lstm + deep + 10_000 * (100 + 101)
    assert sum(p.numel() for p in model.parameters()) == truth


@pytest.mark.parametrize("options", VARIANTS)
def test_one_step_is_its_equations(options):
    torch.manual_seed(0)
    model = Config(**options).build(9, 8).double().eval()
    a, m = torch.randn(3, 9).double(), model
    memory = m.encode(Padded(a[None], torch.tensor([3])))
    if options is not SMALL:
        a = a @ m.project.weight.T + m.project.bias
        a = module.append_coordinates(Padded(a[None], torch.tensor([3]))).data[0]
    h, c = (m.begin.weight @ a.mean(0) + m.begin.bias).tanh().chunk(2)
    state = m.start(memory, 1)
    for token in (BOS, 6, 5):
        found = m.step(torch.tensor([token]), state, memory)
        state, e, f = found.state, m.embedding.weight[token], m.attention
        energies = [f.weight[0] @ (f.query.weight @ h + f.query.bias + f.key.weight @ a_i).tanh() for a_i in a]
        alpha = torch.stack(energies).softmax(0)
        z = (m.gate.weight @ h + m.gate.bias).sigmoid() * (alpha @ a)
        gates = m.cell.weight_ih @ torch.cat((e, z)) + m.cell.bias_ih + m.cell.weight_hh @ h + m.cell.bias_hh
        i, forget, new, o = gates.chunk(4)
        c = forget.sigmoid() * c + i.sigmoid() * new.tanh()
        h = o.sigmoid() * c.tanh()
        read = e + m.read_state.weight @ h + m.read_state.bias + m.read_context.weight @ z
        log_p = (m.output.weight @ read + m.output.bias).log_softmax(0)
        torch.testing.assert_close(found.log_probs[0], log_p, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(found.attention[0], alpha, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("places", [1, 49])
def test_the_second_term_is_of_each_photo_s_own_places_and_words(places):
    """Two photos of unlike many places, padded: lambda sum_i (1 - sum_t alpha_ti)^2 beside the cross-entropy."""
    torch.manual_seed(0)
    one, none = (Config(**SMALL | {"doubly_stochastic": weight}).build(9, 8).double().eval() for weight in (0.7, 0.0))
    none.load_state_dict(one.state_dict())
    sources = Padded.stack([torch.randn(places, 9).double(), torch.randn(places + 2, 9).double()])
    targets = [[6, 5, 5], [4]]
    batch = Batch(("a", "b"), sources, Padded.stack([torch.tensor(t) for t in targets]))
    memory = one.encode(sources)
    state, paid = one.start(memory, 2), torch.zeros(2, places + 2).double()
    for t in range(4):
        step = one.step(torch.tensor([([BOS, *y] + [0] * 4)[t] for y in targets]), state, memory)
        state = step.state
        for row, y in enumerate(targets):
            paid[row] += step.attention[row] if t <= len(y) else 0
    missed = (1 - paid[0, :places]).square().sum() + (1 - paid[1]).square().sum()
    torch.testing.assert_close(one.loss(batch).total, none.loss(batch).total + 0.7 * missed, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(none.loss(batch).total, -none.score(batch).sum(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden_size": 0}, "at least 1"),
        ({"projection": -1}, "projection"),
        ({"dropout": 1.0}, "dropout"),
        ({"annotation_dropout": -0.1}, "annotation_dropout"),
        ({"doubly_stochastic": -1.0}, "doubly_stochastic"),
        ({"sampling": {"decay": "exponential", "k": 2.0}}, "sampling.k"),
    ],
)
def test_configs_that_cannot_be_honored_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Config(**(SMALL | options))


def test_words_are_no_photo():
    model = Config(**SMALL).build(9, 8)
    with pytest.raises(ValueError, match="annotation vectors"):
        model.loss(Batch(("a",), Padded.stack([torch.tensor([4, 5])]), Padded.stack([torch.tensor([4])])))


def test_hard_attention_s_gradient_is_exact_in_expectation(monkeypatch):
    """All 2^3 draws of two photos' places: the mean of what each draw teaches is the gradient of the expected loss."""
    torch.manual_seed(0)
    model = Config(**SMALL | {"attention": "hard"}).build(9, 8).double()
    batch = Batch(("a",), Padded.stack([torch.randn(2, 9).double()]), Padded.stack([torch.tensor([6, 4])]))
    parameters, names = list(model.parameters()), [n for n, _ in model.named_parameters()]
    expected, estimate, total = 0.0, [torch.zeros_like(p) for p in parameters], 0.0
    for draw in itertools.product((0, 1), repeat=3):
        rest, log_p = list(draw), []

        def drawn(logits, rest=rest, log_p=log_p):
            place = rest.pop(0)
            log_p.append(logits[:, place])
            return torch.full((1,), place)

        monkeypatch.setattr(module, "draw_tokens", drawn)
        model.baseline.fill_(2.5)
        told = model.loss(batch).total
        probability = torch.stack(log_p).sum().exp()
        gradient = torch.autograd.grad(told, parameters, retain_graph=True)
        estimate = [e + probability.detach() * g for e, g in zip(estimate, gradient, strict=True)]
        rest.extend(draw)
        log_p.clear()
        monkeypatch.setattr(model, "_with_draws", lambda loss, alpha, drawn: loss)
        expected = expected + torch.stack([plain := model.loss(batch).total, probability]).prod()
        torch.testing.assert_close(told, plain, rtol=1e-12, atol=0)
        monkeypatch.undo()
        total += float(probability.detach())
    assert total == pytest.approx(1)
    truth = torch.autograd.grad(expected, parameters)
    assert len(names) == len(truth)
    for name, one, other in zip(names, estimate, truth, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-10, msg=lambda m, name=name: f"{name}: {m}")


def test_hard_attention_looks_at_one_place_and_its_baseline_is_the_mean_loss():
    torch.manual_seed(0)
    model = Config(**SMALL | {"attention": "hard"}).build(9, 8).double()
    a = torch.randn(3, 5, 9).double()
    batch = Batch(("a", "b", "c"), Padded(a, torch.tensor([5, 2, 4])), Padded.stack([torch.tensor([4, 6])] * 3))
    losses = [float(model.loss(batch).total.detach()) / 3 for _ in range(3)]
    assert len(set(losses)) == 3
    b = losses[0]
    for loss in losses:
        b = 0.9 * b + 0.1 * loss
    assert float(model.baseline) == pytest.approx(b)
    z = model.features(model.encode(batch.given), batch.target, 0.0)
    places = z[..., SMALL["embedding_size"] + 5 :]
    assert (places.sum(-1) == 1).all()
    assert ((places == 0) | (places == 1)).all()
    assert not (places * (torch.arange(5) >= batch.given.lengths[:, None])[:, None]).any()
    soft = Config(**SMALL).build(9, 8).double().eval()
    soft.load_state_dict({name: value for name, value in model.state_dict().items() if name != "baseline"})
    torch.testing.assert_close(model.eval().loss(batch).total, soft.loss(batch).total)


def test_coordinates_are_the_middles_of_the_places():
    """Row by row from -1 to 1, whatever the padding; and a model that has them knows what is where."""
    a = Padded(torch.zeros(2, 9, 1), torch.tensor([9, 4]))
    where = module.append_coordinates(a).data[..., 1:]
    third = torch.tensor([-2 / 3, 0, 2 / 3])
    torch.testing.assert_close(where[0], torch.cartesian_prod(third, third))
    torch.testing.assert_close(where[1, :4], torch.cartesian_prod(*[torch.tensor([-0.5, 0.5])] * 2))
    torch.manual_seed(0)
    vectors = torch.randn(1, 9, 5)
    both = Padded(torch.cat((vectors, vectors.flip(1))), torch.tensor([9, 9]))
    target = Padded(torch.tensor([[4, 5, 6]] * 2), torch.tensor([3, 3]))
    for coordinates in (False, True):
        config = Config(embedding_size=4, hidden_size=6, attention_size=5, coordinates=coordinates)
        model = config.build(5, 9).eval()
        one, other = model.predict(model.encode(both), target)
        assert torch.allclose(one, other, atol=1e-5) is not coordinates
