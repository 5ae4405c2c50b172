"""Linear layers of 8 bits: the rounding of their definition, whatever the shape, and a model that goes on answering."""

import pytest
import torch
from torch import nn

from models.interface import Beam, Padded
from models.transformer import Config
from tasks.bundles.quantize import Int8Linear, round_linear_layers

torch.set_num_threads(1)


def test_it_is_the_layer_to_the_rounding_of_both_sides():
    torch.manual_seed(0)
    layer, x = nn.Linear(24, 7), torch.randn(3, 5, 24)
    layer.weight.data[2] *= 100  # a scale for each output: one large row costs the others nothing
    truth, found = layer(x).detach(), Int8Linear(layer.weight, layer.bias)(x)
    step = (x.max() - x.min()) / 127  # 7 bits where the processor has no sums of 32
    weight = layer.weight.detach()
    within = 24 * (step / 2 * weight.abs().amax(1) + weight.abs().amax(1) / 254 * (x.abs().max() + step))
    assert ((found - truth).abs() <= within).all()
    assert (found - truth).abs().amax((0, 1)).div(truth.abs().amax((0, 1))).max() < 0.05
    torch.testing.assert_close(Int8Linear(layer.weight)(x), found - layer.bias.detach(), atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("tied", [False, True])
def test_a_rounded_model_answers_nearly_as_before_and_the_model_stays_as_it_was(tied):
    torch.manual_seed(0)
    sizes = {"size": 32, "heads": 2, "feed_forward_size": 64, "encoder_layers": 1, "decoder_layers": 1}
    model = Config(**sizes, tie_output=tied).build(20, 20).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    source, beam = Padded.stack([torch.randint(4, 20, (n,)) for n in (6, 3)]), Beam(width=2, max_length=5)
    rounded = round_linear_layers(model)
    assert not any(isinstance(layer, nn.Linear) for layer in rounded.modules())
    assert isinstance(rounded.output, Int8Linear)
    for one, other in zip(model.search(source, beam), rounded.search(source, beam), strict=True):
        assert abs(one[0].score - other[0].score) < 0.1 * abs(one[0].score)
    torch.testing.assert_close(dict(model.state_dict()), before, rtol=0, atol=0)
