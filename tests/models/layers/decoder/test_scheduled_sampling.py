"""Scheduled sampling: the three decays by their formulas, and that a model is told how far its training has come."""

import math

import pytest
import torch

from models.layers.decoder.scheduled_sampling import Sampling, Scheduled, draw_tokens, mix_tokens
from models.transformer import Config

torch.set_num_threads(1)

UPDATES = (0, 1, 10, 400, 10_000, 10**7)


def test_the_decays():
    """Bengio et al. 2015, section 2.4: the share is 1 - eps, and no more than the rate."""
    linear, exponential = Sampling(rate=0.6, decay="linear", slope=0.01), Sampling(rate=1, decay="exponential", k=0.99)
    sigmoid = Sampling(rate=1, decay="inverse_sigmoid", k=50.0)
    for i in UPDATES:
        assert linear.share(i) == pytest.approx(1 - max(0.4, 1 - 0.01 * i))
        assert exponential.share(i) == pytest.approx(1 - 0.99**i)
        truth = 50 / (50 + math.exp(i / 50)) if i < 30_000 else 0.0
        assert sigmoid.share(i) == pytest.approx(1 - truth, abs=1e-12)
        assert Sampling(rate=0.3).share(i) == 0.3
        assert Sampling().share(i) == 0


@pytest.mark.parametrize("options", [{"decay": "linear", "slope": 0.1}, {"decay": "inverse_sigmoid", "k": 3.0}])
def test_shares_rise_and_stay(options):
    shares = [Sampling(rate=0.5, **options).share(i) for i in range(100)]
    assert shares == sorted(shares)
    assert 0 <= shares[0] < 0.4
    assert shares[-1] == 0.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate": 1.5}, "sampling.rate"),
        ({"decay": "cosine"}, "one of constant"),
        ({"decay": "linear"}, "sampling.slope"),
        ({"slope": 0.1}, "sampling.slope"),
        ({"decay": "exponential", "k": 1.0}, "sampling.k"),
        ({"decay": "inverse_sigmoid", "k": 0.5}, "sampling.k"),
        ({"k": 0.5}, "sampling.k"),
    ],
)
def test_schedules_that_cannot_be_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Sampling(**options)


def test_what_is_drawn_and_mixed():
    """The distribution of the tokens and the share of places, within five deviations."""
    torch.manual_seed(0)
    rows, logits = 40_000, torch.randn(8, dtype=torch.float64)
    drawn = torch.bincount(draw_tokens(logits.expand(rows, -1)), minlength=8) / rows
    truth = logits.softmax(0)
    assert ((drawn - truth).abs() <= 5 * (truth * (1 - truth) / rows).sqrt()).all()
    mixed = float(mix_tokens(torch.zeros(rows), torch.ones(rows), 0.25).mean())
    assert abs(mixed - 0.25) <= 5 * (0.25 * 0.75 / rows) ** 0.5


def test_a_model_is_told_its_updates():
    sizes = {"size": 8, "heads": 1, "feed_forward_size": 8, "encoder_layers": 1, "decoder_layers": 1}
    model = Config(**sizes, sampling=Sampling(rate=0.5, decay="linear", slope=0.001)).build(7, 7)
    assert isinstance(model, Scheduled)
    assert model.train().sampled_share == 0
    model.set_updates(200)
    assert model.sampled_share == pytest.approx(0.2)
    model.set_updates(2000)
    assert model.sampled_share == 0.5
    assert model.eval().sampled_share == 0
