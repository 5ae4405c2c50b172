"""EfficientNet-Lite0: EfficientNet-B0 (Tan & Le 2019, https://arxiv.org/abs/1905.11946) for phones.

https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite: no squeeze and excitation, ReLU6 in
place of swish, stem and head of B0's width whatever the scale. A block (Sandler et al. 2018,
https://arxiv.org/abs/1801.04381) is

x  ->  1 x 1 to expand * channels  ->  k x k of each channel, stride s  ->  1 x 1, without ReLU6  (+ x)

The names of its parameters are those of `efficientnet-lite-pytorch`, in which Google's weights are published. Pixels
are (0 .. 255 - 127) / 128. Padding is TensorFlow's SAME: where one side needs more it is the right and the lower one.
"""

import torch.nn.functional as F
from torch import Tensor, nn

# repeats, kernel, stride of the first, expand, channels
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
STEM, HEAD, CLASSES = 32, 1280, 1000
BLOCKS_TO_STRIDE = {8: 5, 16: 11}
EPSILON, MOMENTUM, DROPOUT = 1e-3, 0.01, 0.2


class SameConv(nn.Conv2d):
    """A convolution whose output has ceil(size / stride) rows and columns."""

    def forward(self, x: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self.convolve(x, self.weight)

    def convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        missing = [max(0, (-(-size // stride) - 1) * stride + kernel - size) for size in (x.shape[3], x.shape[2])]
        if all(pad % 2 == 0 for pad in missing):
            padding = (missing[1] // 2, missing[0] // 2)
            return F.conv2d(x, weight, bias, self.stride, padding, 1, self.groups)
        sides = [side for pad in missing for side in (pad // 2, pad - pad // 2)]
        return F.conv2d(F.pad(x, sides), weight, bias, self.stride, 0, 1, self.groups)


def relu6(x: Tensor) -> Tensor:
    return F.relu6(x, inplace=True)


def _conv(inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> SameConv:
    return SameConv(inputs, outputs, kernel, stride, groups=groups, bias=False)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, EPSILON, MOMENTUM)


def normalize(x: Tensor, conv: SameConv, norm: nn.BatchNorm2d) -> Tensor:
    """norm(conv(x)), in one convolution where the statistics are fixed: a third faster."""
    if norm.training or norm.running_mean is None or norm.running_var is None:
        return norm(conv(x))
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    return conv.convolve(x, conv.weight * scale[:, None, None, None], norm.bias - norm.running_mean * scale)


class Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expand: int) -> None:
        super().__init__()
        wide, self.expands, self.adds = inputs * expand, expand > 1, stride == 1 and inputs == outputs
        if self.expands:
            self._expand_conv, self._bn0 = _conv(inputs, wide), _norm(wide)
        self._depthwise_conv, self._bn1 = _conv(wide, wide, kernel, stride, wide), _norm(wide)
        self._project_conv, self._bn2 = _conv(wide, outputs), _norm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        y = relu6(normalize(x, self._expand_conv, self._bn0)) if self.expands else x
        y = relu6(normalize(y, self._depthwise_conv, self._bn1))
        y = normalize(y, self._project_conv, self._bn2)
        return x + y if self.adds else y


class EfficientNetLite0(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = _conv(3, STEM, 3, 2), _norm(STEM)
        self._blocks, inputs = nn.ModuleList(), STEM
        for repeats, kernel, first, expand, channels in STAGES:
            for repeat in range(repeats):
                self._blocks.append(Block(inputs, channels, kernel, 1 if repeat else first, expand))
                inputs = channels
        self._conv_head, self._bn1 = _conv(inputs, HEAD), _norm(HEAD)
        self._dropout = nn.Dropout(DROPOUT)
        self._fc = nn.Linear(HEAD, CLASSES)

    def feature_map(self, images: Tensor, stride: int = 32) -> Tensor:
        """Images (B, 3, H, W) to (B, D, H / stride, W / stride), D 40, 112 and 1280 for a stride of 8, 16 and 32."""
        x = relu6(normalize(images, self._conv_stem, self._bn0))
        for block in list(self._blocks)[: BLOCKS_TO_STRIDE.get(stride)]:
            x = block(x)
        return x if stride in BLOCKS_TO_STRIDE else relu6(normalize(x, self._conv_head, self._bn1))

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) to the logits (B, 1000) of ImageNet's classes."""
        return self._fc(self._dropout(self.feature_map(images).mean((2, 3))))
