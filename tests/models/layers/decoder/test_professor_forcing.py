"""Professor forcing: the losses by their definition, whose gradient each one is, and what both bring about."""

import importlib

import pytest
import torch
from test_contract import ARCHITECTURES

from models.bahdanau import Config
from models.criteria.token_cross_entropy import prepend_bos
from models.families.recurrent_decoder import RecurrentDecoder
from models.interface import Batch, Padded
from models.layers.decoder import professor_forcing
from models.layers.decoder.professor_forcing import (
    Discriminator,
    ProfessorForcing,
    adversarial_loss,
    discriminator_accuracy,
    discriminator_loss,
    imitation_loss,
)
from models.special_tokens import EOS

torch.set_num_threads(1)

WEIGHT = 0.5
DECODERS = {
    "bahdanau": {"embedding_size": 6, "hidden_size": 8, "attention_size": 6, "maxout_size": 6}
    | {"initial_deviation": 0.3},
    "encoder_decoder": {"rank": 6, "hidden_size": 8, "maxout_size": 6, "initial_deviation": 0.3},
    "gnmt": {"embedding_size": 6, "hidden_size": 8, "encoder_layers": 2, "decoder_layers": 3, "attention_size": 6}
    | {"dropout": 0.0, "initial_range": 0.5},
    "listen_attend_spell": {"listener_size": 8, "embedding_size": 6, "speller_size": 8, "attention_size": 6}
    | {"sampling_rate": 0.0, "initial_range": 0.5},
    "luong": {"embedding_size": 6, "recurrent": {"hidden_size": 8}, "dropout": 0.0, "initial_range": 0.5},
    "seq2seq": {"embedding_size": 6, "recurrent": {"hidden_size": 8}, "initial_range": 0.5},
    "show_and_tell": {"embedding_size": 6, "recurrent": {"hidden_size": 8}, "dropout": 0.0, "initial_range": 0.5},
    "show_attend_tell": {"embedding_size": 6, "hidden_size": 8, "attention_size": 6, "dropout": 0.0},
}
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


@pytest.fixture(params=DECODERS)
def model(request):
    torch.manual_seed(0)
    forcing = {"weight": WEIGHT, "two_sided": request.param == "gnmt", "hidden_size": 6}
    config = importlib.import_module(f"models.{request.param}").Config
    return config(**DECODERS[request.param], professor_forcing=forcing).build(9, 9).double().train()


@pytest.fixture
def batch(model):
    rows = [torch.tensor(w) for w in ([4, 5, 6, 7, 8, 8], [7], [6, 4, 5], [5] * 6, [8, 4] * 3)]
    sources = rows if model.reads == "tokens" else [torch.randn(2 * len(row), 9).double() for row in rows]
    return Batch(tuple("abcde"), Padded.stack(sources), Padded.stack(rows))


def test_every_recurrent_decoder_has_it():
    classes = [(name, c) for name in ARCHITECTURES for c in vars(importlib.import_module(f"models.{name}")).values()]
    found = {
        n
        for n, c in classes
        if isinstance(c, type) and c.__module__ == f"models.{n}" and issubclass(c, RecurrentDecoder)
    }
    assert found == set(DECODERS)


def written(model, batch):
    """Both behaviors, a row at a time and each to its own end, and the nats; drawn as `loss` draws."""
    torch.manual_seed(3)
    memory, read = model.encode(batch.given), prepend_bos(batch.target)
    free, tokens = model.read_mixture(memory, read, 1.0)
    lengths = []
    for row, n in zip(tokens.tolist(), read.lengths.tolist(), strict=True):
        lengths.append(next((i for i in range(n) if row[i] == EOS), n))
    assert lengths != read.lengths.tolist()
    taught = model.features(memory, read, 0.0)
    return [
        [Padded(model.behavior(z[i : i + 1, :n]), torch.tensor([n])) for i, n in enumerate(ends)]
        for z, ends in ((taught, read.lengths.tolist()), (free, lengths))
    ]


def test_each_gradient_reaches_whom_it_belongs_to(model, batch, monkeypatch):
    """By autograd of the sums of equations 1 to 4, a row at a time; and the loss is the likelihood's."""
    monkeypatch.setattr(professor_forcing, "USEFUL", -1.0)
    monkeypatch.setattr(professor_forcing, "SURE", 2.0)
    names = [name for name, _ in model.named_parameters()]
    torch.manual_seed(3)
    loss = model.loss(batch)
    found = dict(zip(names, torch.autograd.grad(loss.total, list(model.parameters())), strict=True))
    nats = model.eval().loss(batch)
    assert loss.total.detach() == nats.total.detach()
    assert loss.count == nats.count
    model.train()
    judge, options = model.discriminator, model.config.professor_forcing
    taught, free = ([judge(row).sigmoid() for row in rows] for rows in written(model, batch))
    of_both = sum(-d.log() - (1 - e).log() for d, e in zip(taught, free, strict=True)).sum()
    of_free = -sum(e.log() for e in free).sum()
    of_taught = -sum((1 - d).log() for d in taught).sum() if options.two_sided else 0
    own = [name for name in names if not name.startswith("discriminator.")]
    weights = dict(model.named_parameters())
    truth = torch.autograd.grad(
        nats.total + WEIGHT * (of_free + of_taught), [weights[n] for n in own], retain_graph=True
    )
    plain = torch.autograd.grad(nats.total, [weights[n] for n in own], retain_graph=True)
    assert any((one - other).abs().max() > 1e-4 for one, other in zip(truth, plain, strict=True))
    judged = [name for name in names if name not in own]
    truth += torch.autograd.grad(of_both, [weights[n] for n in judged])
    for name, value in zip(own + judged, truth, strict=True):
        torch.testing.assert_close(found[name], value, rtol=1e-8, atol=1e-10, msg=lambda m, name=name: f"{name}: {m}")


def test_it_is_off_by_default_and_nothing_of_it_is_kept(model, batch):
    torch.manual_seed(0)
    off = type(model.config)(**DECODERS[type(model).__module__.removeprefix("models.")]).build(9, 9).double()
    assert off.discriminator is None
    weights = {name: value for name, value in model.state_dict().items() if not name.startswith("discriminator.")}
    for name, value in off.state_dict().items():
        torch.testing.assert_close(value, weights.pop(name), rtol=0, atol=0)
    assert not weights
    torch.testing.assert_close(off.loss(batch).total, model.loss(batch).total, rtol=0, atol=0)


class Sum(Discriminator):
    """Says a behavior's sum, times what it learns."""

    def __init__(self):
        torch.nn.Module.__init__(self)
        self.scale = torch.nn.Parameter(torch.tensor(1.0))

    def forward(self, behavior):
        return self.scale * behavior.data.sum((1, 2))


@pytest.mark.parametrize(
    ("wrong", "learns", "listened"), [(0, False, True), (1, True, True), (2, True, False), (4, True, False)]
)
def test_a_sure_discriminator_stays_and_an_unsure_one_is_not_heard(wrong, learns, listened):
    """Of 4 and 4: 100, 87.5, 75 and 50 % told right."""
    taught = torch.tensor([1.0] * 4)
    free = torch.tensor([1.0] * wrong + [-1.0] * (4 - wrong), requires_grad=True)
    judge, lengths = Sum(), torch.ones(4, dtype=torch.long)
    told = adversarial_loss(
        judge, *(Padded(x[:, None, None], lengths) for x in (taught, free)), ProfessorForcing(weight=1.0)
    )
    by_judge, by_free = torch.autograd.grad(told, (judge.scale, free))
    assert (bool(by_judge), bool(by_free.any())) == (learns, listened)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"weight": -1.0}, "weight"), ({"weight": float("nan")}, "weight"), ({"hidden_size": 0}, "hidden_size")],
)
def test_options_that_cannot_be_honored_are_refused(options, message):
    with pytest.raises(ValueError, match=rf"professor_forcing\.{message}"):
        Config(professor_forcing=options)
