"""Listen, Attend and Spell: its parameters by hand, its equations a step at a time, sampling, and the CTC head."""

import pytest
import torch

from models.criteria.ctc import ctc
from models.interface import Batch, Beam, Decoder, EmissionModel, Padded
from models.listen_attend_spell import Config, JointListenAttendSpell, ListenAttendSpell, chiu_2018
from models.search.ctc.prefix_score import CTCPrefixScorer
from models.search.state_pytree import select_rows
from models.special_tokens import BOS, EOS

torch.set_num_threads(1)

SMALL = {
    "reductions": [1, 2, 2],
    "listener_size": 16,
    "embedding_size": 12,
    "speller_size": 24,
    "attention_size": 16,
    "initial_range": 0.3,
}
LATER = SMALL | {"reductions": [3, 1], "attention": "additive", "heads": 4, "label_smoothing": 0.1}
JOINT = SMALL | {"reductions": [2, 1], "ctc_weight": 0.3, "dropout": 0.1}
VARIANTS = [SMALL, LATER, JOINT]


def small(options, **more):
    torch.manual_seed(0)
    return Config(**(options | more)).build(5, 8).double()


def utterances():
    torch.manual_seed(4)
    source = Padded.stack([torch.randn(n, 5, dtype=torch.float64) for n in (23, 9, 16)])
    return Batch(("a", "b", "c"), source, Padded.stack([torch.tensor(y) for y in ([4, 5, 5, 6], [7], [6, 4])]))


def lstm(inputs, units):
    return 4 * units * (inputs + units + 2)  # torch has two biases


def test_parameters_of_the_first_paper_s_net():
    """40 bands, 32 characters; layer by layer."""
    with torch.device("meta"):
        model = Config().build(40, 32)
    listener = 2 * (lstm(40, 256) + 3 * lstm(2 * 512, 256))
    speller = lstm(512 + 512, 512) + lstm(512, 512)
    attention = 2 * (512 + 1) * 512
    read_out = 32 * 512 + (1024 + 1) * 512 + (512 + 1) * 32
    assert sum(p.numel() for p in model.parameters()) == listener + speller + attention + read_out == 14_820_896
    assert model.reduction == 8


def test_parameters_of_the_later_paper_s_net():
    """80 bands, 76 graphemes: heads share out the attention's features, and each has its part of the values."""
    with torch.device("meta"):
        model = chiu_2018().build(80, 76)
    listener = 2 * (lstm(3 * 80, 1024) + 4 * lstm(2048, 1024))
    speller = lstm(512 + 2048, 1024) + lstm(1024, 1024)
    attention = (1024 + 1) * 512 + 2048 * 512 + 512 + 2048 * 2048
    read_out = 76 * 512 + (3072 + 1) * 1024 + (1024 + 1) * 76
    assert sum(p.numel() for p in model.parameters()) == listener + speller + attention + read_out
    assert model.reduction == 3


@pytest.mark.parametrize("options", VARIANTS)
def test_the_loss_is_the_chain_rule(options):
    """Step by step, each step from the truth; with the smoothing's share of all tokens, and CTC's of the whole."""
    model, batch = small(options).eval(), utterances()
    smoothing, weight, total = model.config.label_smoothing, model.config.ctc_weight, 0.0
    for b, n in enumerate(batch.target.lengths.tolist()):
        source = Padded(batch.source.data[b : b + 1, : batch.source.lengths[b]], batch.source.lengths[b : b + 1])
        y, memory = batch.target.data[b, :n].tolist(), model.encode(source)
        state = model.start(memory, 1)
        for before, token in zip([BOS, *y], [*y, EOS], strict=True):
            log_probs, state, weights = model.step(torch.tensor([before]), state, memory)
            torch.testing.assert_close(weights.sum(1), torch.ones(1).double())
            total -= (1 - weight) * ((1 - smoothing) * log_probs[0, token] + smoothing * log_probs.mean())
    if weight:
        total += weight * ctc(model.emit(batch.source), batch.target).total
    loss = model.loss(batch)
    torch.testing.assert_close(loss.total, total, rtol=1e-9, atol=1e-9)
    assert loss.count == 7 + 3


def test_one_step_is_its_equations():
    """s, c and p from the weights alone, for the dot attention of one head."""
    model = small(SMALL, speller_layers=1).eval()
    memory = model.encode(Padded(torch.randn(1, 9, 5, dtype=torch.float64), torch.tensor([9])))
    state = model.start(memory, 1)
    _, state, _ = model.step(torch.tensor([BOS]), state, memory)
    step = model.step(torch.tensor([6]), state, memory)
    h, keys = memory.data[0].split((32, 16), -1)
    cell, before = model.speller[0], state.layers[0]
    x = torch.cat((model.embedding.weight[6], state.context[0]))
    gates = cell.weight_ih @ x + cell.bias_ih + cell.weight_hh @ before.h[0] + cell.bias_hh
    i, f, n, o = gates.chunk(4)
    s = o.sigmoid() * (f.sigmoid() * before.c[0] + i.sigmoid() * n.tanh()).tanh()
    phi = (model.attention.query.weight @ s + model.attention.query.bias).tanh()
    alpha = (keys @ phi).softmax(0)
    z = torch.cat((s, alpha @ h))
    logits = model.output.weight @ (model.hidden.weight @ z + model.hidden.bias).tanh() + model.output.bias
    torch.testing.assert_close(step.log_probs[0], logits.log_softmax(0), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(step.attention[0], alpha, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("options", VARIANTS)
def test_several_hypotheses_of_a_source_share_its_memory(options):
    model, batch = small(options).eval(), utterances()
    memory, tokens = model.encode(batch.source), torch.tensor([4, 5, 6, 7, 4, 4])
    state = model.start(memory, 6)
    for read in (torch.full((6,), BOS), tokens):
        step = model.step(read, state, memory)
        state = step.state
    for n in range(6):
        alone = Padded(memory.data[n // 2 : n // 2 + 1], memory.lengths[n // 2 : n // 2 + 1])
        _, before, _ = model.step(torch.tensor([BOS]), model.start(alone, 1), alone)
        one = model.step(tokens[n : n + 1], before, alone)
        torch.testing.assert_close(step.log_probs[n : n + 1], one.log_probs, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(
            select_rows(state, torch.tensor([n])).context, one.state.context, rtol=1e-9, atol=1e-9
        )


def test_sampling_is_the_seed_s_and_of_training_only():
    batch = utterances()

    def loss(rate, seed, *, training=True):
        model = small(SMALL, sampling_rate=rate).train(training)
        torch.manual_seed(seed)
        return float(model.loss(batch).total.detach())

    truth = loss(0.0, 1)
    assert loss(0.5, 1) == loss(0.5, 1) != truth
    assert loss(0.5, 1) != loss(0.5, 2)
    assert loss(0.5, 1, training=False) == loss(0.0, 1, training=False) == truth


def test_what_is_drawn_follows_the_model():
    """The share of sampled tokens, and their distribution."""
    model = small(SMALL, sampling_rate=0.25)
    rows = 40_000
    z = torch.randn(1, 24 + 32, dtype=torch.float64)
    drawn = torch.bincount(model._drawn(z.expand(rows, -1)), minlength=8) / rows
    truth = model._logits(z)[0].softmax(0)
    assert ((drawn - truth).abs() <= 5 * (truth * (1 - truth) / rows).sqrt()).all()
    mixed = model._mixed(torch.zeros(rows), torch.ones(rows)).mean()
    assert abs(float(mixed) - 0.25) <= 5 * (0.25 * 0.75 / rows) ** 0.5


@pytest.mark.parametrize("reductions", [[1], [1, 2, 2, 2], [3, 1], [2, 3]])
def test_lengths_are_the_ceiling(reductions):
    model = small(JOINT, reductions=reductions).eval()
    lengths = torch.arange(1, 26)
    out = model.emit(Padded(torch.randn(25, 25, 5, dtype=torch.float64), lengths))
    assert out.lengths.tolist() == [-(-n // model.reduction) for n in range(1, 26)]
    torch.testing.assert_close(out.data.exp().sum(-1), torch.ones(out.data.shape[:2]).double())


@pytest.mark.parametrize("options", VARIANTS)
def test_the_padding_s_values_are_not_read(options):
    model, batch = small(options).eval(), utterances()
    rows = [batch.source.data[b, :n] for b, n in enumerate(batch.source.lengths.tolist())]
    dirty = Batch(batch.keys, Padded.stack(rows, fill=float("nan")), batch.target)
    torch.testing.assert_close(model.loss(dirty).total, model.loss(batch).total, rtol=1e-12, atol=1e-12)


def test_only_a_joint_model_emits():
    assert type(small(SMALL)) is ListenAttendSpell
    assert isinstance(small(JOINT), JointListenAttendSpell)
    assert not isinstance(small(SMALL), EmissionModel)
    assert isinstance(small(JOINT), EmissionModel)
    assert isinstance(small(SMALL), Decoder)


def test_hypotheses_of_an_untrained_model_end():
    """Two frames a token at most, whatever the beam allows; each source as if alone."""
    model, batch = small(SMALL).eval(), utterances()
    model.output.bias.data[EOS] = -100.0
    for nbest, frames in zip(model.search(batch.source, Beam(width=3, max_length=10_000)), (23, 9, 16), strict=True):
        assert {len(h.tokens) for h in nbest} == {-(-frames // 2)}
        assert all(0 <= b < e <= -(-frames // 4) for h in nbest for b, e in h.spans)


def test_the_joint_search_adds_what_ctc_says():
    model, batch, ctc = small(JOINT).eval(), utterances(), CTCPrefixScorer()
    emissions = model.emit(batch.source)
    for b, nbest in enumerate(model.search(batch.source, Beam(width=4, ctc_weight=0.5))):
        one = ctc.encode(Padded(emissions.data[b : b + 1], emissions.lengths[b : b + 1]))
        for hypothesis in nbest:
            told, state = 0.0, ctc.start(one, 1)
            written = [*hypothesis.tokens, EOS] if len(hypothesis.tokens) < -(-batch.source.lengths[b] // 2) else []
            for before, token in zip([BOS, *written], written, strict=False):
                log_probs, state, _ = ctc.step(torch.tensor([before]), state, one)
                told += float(log_probs[0, token].detach())
            if written:
                own = len(written) * torch.tensor(hypothesis.confidence).log()
                assert hypothesis.score == pytest.approx(float(own) + 0.5 * told, rel=1e-5)
    with pytest.raises(ValueError, match="no CTC head"):
        small(SMALL).eval().search(batch.source, Beam(ctc_weight=0.5))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reductions": []}, "a reduction for each"),
        ({"reductions": [1, 0]}, "at least 1"),
        ({"speller_layers": 0}, "at least 1"),
        ({"sampling_rate": 1.1}, "sampling_rate"),
        ({"ctc_weight": 1.0}, "ctc_weight is in"),
        ({"dropout": -0.1}, "dropout is in"),
        ({"heads": 3}, "do not divide"),
        ({"attention": "cosine"}, "one of dot, additive"),
    ],
)
def test_configs_that_cannot_be_honored_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Config(**(SMALL | options))


def test_a_source_is_needed():
    for options in (SMALL, JOINT):
        with pytest.raises(ValueError, match="needs a source"):
            small(options).encode(None)
