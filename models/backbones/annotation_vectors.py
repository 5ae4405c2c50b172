"""Photos to annotation vectors: what a network for ImageNet says of each place of one of its last stages.

a_i, i = 1 .. L: the columns of a feature map (B, D, H / s, W / s), row by row (Xu et al. 2015, section 3.1.1); s is the
stride of the stage, 16 or 32 pixels; of EfficientNet-Lite0 also 8, where small things that are near are still apart.
At 224 x 224 pixels that is L = 196, 49 or 784.

efficientnet_lite0      models/backbones/efficientnet_lite.py
resnet50, resnet101     He et al. 2016, https://arxiv.org/abs/1512.03385; torchvision
googlenet               Szegedy et al. 2015, https://arxiv.org/abs/1409.4842; torchvision. It reads pixels in [-1, 1].
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from models.backbones.efficientnet_lite import EfficientNetLite0

Stages = dict[int, tuple[str, int]]  # by the stride: the last layer, and its channels


class Network(NamedTuple):
    """build: makes it, with weights that are random. stages: those that annotation vectors are taken from."""

    build: Callable[[], nn.Module]
    stages: Stages


def _torchvision(name: str, options: dict[str, Any] | None = None) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        from torchvision.models import get_model  # an extra, and two seconds that only these networks need wait for

        return get_model(name, weights=None, **(options or {}))

    return build


RESNET: Stages = {16: ("layer3", 1024), 32: ("layer4", 2048)}
LITE0: Stages = {8: ("_blocks.4", 40), 16: ("_blocks.10", 112), 32: ("_conv_head", 1280)}
NETWORKS = {
    "efficientnet_lite0": Network(EfficientNetLite0, LITE0),
    "resnet50": Network(_torchvision("resnet50"), RESNET),
    "resnet101": Network(_torchvision("resnet101"), RESNET),
    "googlenet": Network(
        _torchvision("googlenet", {"aux_logits": True, "transform_input": False, "init_weights": False}),
        {16: ("inception4e", 832), 32: ("inception5b", 1024)},
    ),
}


class Backbone(nn.Module):
    """network: its parameters have the names of its published weights. Raises ValueError for a network or stride that
    there is not, ModuleNotFoundError where torchvision is missing.
    """

    def __init__(self, name: str, stride: int = 32) -> None:
        super().__init__()
        self.annotation_size = annotation_size(name, stride)
        self.last, self.stride = NETWORKS[name].stages[stride][0], stride
        self.network = NETWORKS[name].build()

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W), as the network was trained to see them, to annotation vectors (B, L, D)."""
        return self.feature_map(images).flatten(2).transpose(1, 2)

    def feature_map(self, images: Tensor) -> Tensor:
        """(B, D, H / stride, W / stride)."""
        if isinstance(self.network, EfficientNetLite0):
            return self.network.feature_map(images, self.stride)
        for name, layer in self.network.named_children():
            images = layer(images)
            if name == self.last:
                break
        return images

    @torch.enable_grad()
    def require_gradients(self) -> None:
        """Of what annotation vectors depend on, and of nothing else: later layers and classifiers are in it too."""
        every = list(self.requires_grad_().parameters())
        nothing = torch.zeros(1, 3, self.stride, self.stride, device=every[0].device)
        found = torch.autograd.grad(self(nothing).sum(), every, allow_unused=True)
        for parameter, gradient in zip(every, found, strict=True):
            parameter.requires_grad_(gradient is not None)


def annotation_size(name: str, stride: int) -> int:
    """D. Raises ValueError for a network or stride that there is not."""
    if name not in NETWORKS:
        raise ValueError(f"backbone is one of {', '.join(sorted(NETWORKS))}, not {name!r}")
    if stride not in NETWORKS[name].stages:
        raise ValueError(f"stride is one of {', '.join(map(str, NETWORKS[name].stages))}, not {stride}")
    return NETWORKS[name].stages[stride][1]
