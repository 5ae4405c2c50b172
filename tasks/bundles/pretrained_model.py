"""What a training begins from where it does not begin from nothing: a bundle's weights, in a vocabulary that grew.

Tokens keep their ids (tasks/text/grow_tokenizer.py), so what a weight has for each of them stays where it is, and new
ones come after. Of a new token it begins as the mean over the old ones: what the output says of it is then never more
than of the most probable of them, and a greedy search writes what it wrote before.
"""

from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from infra.artifact_store import Artifact
from infra.errors import UserError
from models.families.end_to_end_captioner import EndToEndCaptioner
from models.interface import Model
from tasks.bundles.bundle_files import read_arrays, read_sight, read_sound, read_spec
from tasks.bundles.model_bundle import Bundle, load_bundle, model_outputs
from tasks.bundles.training_checkpoints import Weights
from tasks.features.front_end import CMVN


class Vocabulary(NamedTuple):
    """The size of one, and the id of the first token that can be written."""

    size: int
    first: int


def build_model(config: Any, sizes: tuple[int, int], source: Artifact | None) -> Model:
    """A model with the weights of a bundle, or where there is none, as it is begun. A backbone that learns with
    it begins as its config has it.

    Raises UserError for a bundle of another network.
    """
    model: Model = config.build(*sizes)
    if source:
        begun = model.captioner if isinstance(model, EndToEndCaptioner) else model
        parameters = {name for name, _ in begun.named_parameters()}
        try:
            begun.load_state_dict(grow_weights(load_bundle(source), begun.state_dict(), parameters))
        except (RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError(
                f"{source.uri}: the model that is to begin from it is another network ({reason})"
            ) from error
    return model


def source_normalizer(source: Artifact | None) -> CMVN | None:
    """What a bundle's frames or annotation vectors are normalized with, None without one and where it reads text."""
    made = (read_sound(source) or read_sight(source)) if source else None
    return made[1] if made else None


def grow_weights(bundle: Bundle, begun: Weights, parameters: set[str]) -> Weights:
    """The bundle's weights in the shapes of a model with more tokens. begun: what that one has. parameters: those of
    its weights that learn; the others that hang on the vocabulary are as it made them.

    Raises ValueError for a weight that differs by something else than new tokens.
    """
    old, tokens = bundle.model.state_dict(), Vocabulary(len(bundle.tokenizer), bundle.tokenizer.first)
    if missing := sorted(old.keys() ^ begun.keys()):
        raise ValueError(f"{missing[0]} is in one of them alone")
    grown = dict(old)
    for name, wanted in begun.items():
        if old[name].shape != wanted.shape:
            grown[name] = _grown(name, old[name], wanted, tokens) if name in parameters else wanted
    return grown


def _grown(name: str, old: Tensor, wanted: Tensor, tokens: Vocabulary) -> Tensor:
    value = old
    for axis, (before, after) in enumerate(zip(old.shape, wanted.shape, strict=True)):
        if before == after:
            continue
        missing = tokens.size - before  # ids that a one-hot input has no column for, the first ones
        if not 0 <= missing <= tokens.first or after < before:
            raise ValueError(f"{name} is {tuple(old.shape)} there and {tuple(wanted.shape)} here")
        ordinary = value.narrow(axis, tokens.first - missing, tokens.size - tokens.first)
        value = torch.cat([value, *[ordinary.mean(axis, keepdim=True)] * (after - before)], axis)
    return value


def says_the_same(artifact: Artifact, config: Any) -> bool:
    """Whether the bundle's weights are of a network of this config too, which says of the golden utterances what the
    bundle said.
    """
    bundle, spec = load_bundle(artifact), read_spec(artifact)
    model = config.build(spec["source_size"], spec["target_size"])
    try:
        model.load_state_dict(bundle.model.state_dict())
    except RuntimeError:  # other names or shapes
        return False
    golden = read_arrays(artifact.read("golden.npz"))
    return model_outputs(replace(bundle, model=model.eval()), golden) == model_outputs(bundle, golden)
