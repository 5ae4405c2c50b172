"""Annotation vectors: places row by row, and from them what each network's own classifier says."""

import pytest
import torch

from models.backbones.annotation_vectors import NETWORKS, Backbone

pytest.importorskip("torchvision")


@pytest.fixture(params=["efficientnet_lite0", "resnet50", "googlenet"])
def backbone(request):
    torch.manual_seed(0)
    backbone = Backbone(request.param).eval()
    for layer in backbone.modules():
        if isinstance(layer, torch.nn.Conv2d):  # so that something is left of a photo after fifty of them
            torch.nn.init.kaiming_normal_(layer.weight)
    return backbone


@torch.no_grad()
def test_their_mean_is_what_the_network_s_classifier_reads(backbone):
    images = torch.randn(2, 3, 64, 96)
    vectors, network = backbone(images), backbone.network
    assert vectors.shape == (2, 2 * 3, backbone.annotation_size)
    classify = network._fc if hasattr(network, "_fc") else network.fc
    assert float(vectors.std()) > 0.01
    torch.testing.assert_close(classify(vectors.mean(1)), network(images), rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_places_are_row_by_row(backbone):
    images = torch.randn(1, 3, 64, 96)
    vectors, seen = backbone(images)[0], backbone.feature_map(images)[0]
    for place in range(2 * 3):
        assert torch.equal(vectors[place], seen[:, place // 3, place % 3])


@pytest.mark.parametrize(("name", "stride"), [(name, stride) for name in NETWORKS for stride in NETWORKS[name].stages])
def test_places_of_all_of_them(name, stride):
    with torch.device("meta"):
        backbone = Backbone(name, stride).eval()
        vectors = backbone(torch.empty(1, 3, 224, 224))
    assert vectors.shape == (1, (224 // stride) ** 2, backbone.annotation_size)


@pytest.mark.parametrize(("name", "stride"), [("vgg", 32), ("resnet50", 8)])
def test_others_are_refused(name, stride):
    with pytest.raises(ValueError, match="is one of"):
        Backbone(name, stride)


@pytest.mark.parametrize(("name", "stride"), [(name, stride) for name in NETWORKS for stride in NETWORKS[name].stages])
def test_what_learns_is_what_the_vectors_depend_on(name, stride):
    """All of it up to the last layer, none of the classifiers and later layers."""
    with torch.device("meta"):
        backbone = Backbone(name, stride).eval()
    backbone.require_gradients()
    backbone(torch.empty(2, 3, 64, 64, device="meta")).sum().backward()
    named = dict(backbone.named_parameters())
    assert {n for n, p in named.items() if p.requires_grad} == {n for n, p in named.items() if p.grad is not None}
    last = f"network.{NETWORKS[name].stages[stride][0]}."
    assert any(p.requires_grad for n, p in named.items() if n.startswith(last))
    assert not any(p.requires_grad for n, p in named.items() if n.startswith(("network.fc", "network._fc")))
