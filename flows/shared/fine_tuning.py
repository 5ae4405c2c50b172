"""`--from NAME@ALIAS|PATH`: a recipe whose network, front end, tokenizer, beam and adaptation are those of a model.

What is set by hand of these has to go with the model: its weights are used as they are.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

from flows.recipes import CaptionFineTuningRecipe, CaptioningRecipe, FineTuningRecipe, Recipe
from flows.shared.evaluation_plan import bundle_adaptation
from flows.shared.overrides import override
from infra.artifact_store import Artifact
from infra.errors import UserError
from models.interface import Beam
from tasks.bundles.bundle_files import LM, WORDS, read_beam, read_object
from tasks.bundles.model_bundle import load_bundle
from tasks.bundles.pretrained_model import says_the_same
from tasks.bundles.speaker_batch_norm import AdaptationConfig
from tasks.decoding.caption_photos import require_captioner
from tasks.features.front_end import FrontEnd
from tasks.features.image_front_end import ImageFrontEnd
from tasks.text.tokenizer import FILE, TokenizerConfig

R = TypeVar("R")
OF_LANGUAGE = ("lm_weight", "word_bonus", "unknown_bonus", "hotword_weight", "lexicon_only")  # terms of a beam


@dataclass(frozen=True, kw_only=True)
class SourceModel:
    """What comes from the model that a training starts from."""

    model: Any
    features: FrontEnd
    tokens: TokenizerConfig
    beam: Beam
    adapt: AdaptationConfig


@dataclass(frozen=True, kw_only=True)
class SourceCaptioner:
    """The same of a captioner."""

    model: Any
    features: ImageFrontEnd
    tokens: TokenizerConfig
    beam: Beam


def fine_tuned(recipe: Recipe | FineTuningRecipe, settings: Sequence[str], bundle: Artifact) -> Recipe:
    """The recipe of a training from this recognizer. Raises UserError for a setting that contradicts the model."""
    if any(name == WORDS or name.startswith(LM) for name in bundle.names()):
        told = "its language model, lexicon and hotwords stay behind: give them to the new model, --lm and its like"
        print(f"scriptorium: {bundle.uri}: {told}", file=sys.stderr)
    known = SourceModel(features=load_bundle(bundle).front_end, adapt=bundle_adaptation(bundle), **of_any_kind(bundle))
    return join_parts(Recipe, settings_by_part(recipe, settings), known, bundle)


def fine_tuned_captioner(
    recipe: CaptioningRecipe | CaptionFineTuningRecipe, settings: Sequence[str], bundle: Artifact
) -> CaptioningRecipe:
    """The same of a captioner, whose backbone is in the store then."""
    known = SourceCaptioner(features=require_captioner(bundle), **of_any_kind(bundle))
    return join_parts(CaptioningRecipe, settings_by_part(recipe, settings), known, bundle)


def settings_by_part(recipe: Any, settings: Sequence[str]) -> tuple[Any, list[str]]:
    """What the training has of its own, as set, and the settings of what it has of the model."""
    captions = isinstance(recipe, CaptioningRecipe | CaptionFineTuningRecipe)
    part, source = (CaptionFineTuningRecipe, SourceCaptioner) if captions else (FineTuningRecipe, SourceModel)
    inherited = {f.name for f in fields(source)}
    by_hand = [setting for setting in settings if setting.partition("=")[0].partition(".")[0].strip() in inherited]
    own = part(**{f.name: getattr(recipe, f.name) for f in fields(part)})
    return override(own, [setting for setting in settings if setting not in by_hand]), by_hand


def join_parts(kind: type[R], parts: tuple[Any, list[str]], known: Any, bundle: Artifact) -> R:
    """The recipe of what `settings_by_part` gives and the model has. Raises UserError for what contradicts that."""
    own, by_hand = parts
    for setting in by_hand:
        refuse_contradiction(bundle, known, setting)
    wanted = override(known, by_hand)
    try:
        return kind(**{f.name: getattr(part, f.name) for part in (own, wanted) for f in fields(part)})
    except ValueError as error:
        raise UserError(str(error)) from error


def of_any_kind(bundle: Artifact) -> dict[str, Any]:
    """Network, tokenizer and beam of a bundle."""
    loaded, rules = load_bundle(bundle), read_object(bundle, FILE)
    tokens = TokenizerConfig(
        kind=rules["kind"],
        vocabulary_size=len(loaded.tokenizer),
        specials=bool(loaded.tokenizer.first),
        text=loaded.tokenizer.text,
    )
    beam = replace(read_beam(bundle), **{name: getattr(Beam(), name) for name in OF_LANGUAGE})
    return {"model": loaded.model.config, "tokens": tokens, "beam": beam}


def refuse_contradiction(bundle: Artifact, known: SourceModel | SourceCaptioner, setting: str) -> None:
    """Raises UserError for a front end or a tokenizer that is another, and for an option of the network with which it
    has other weights or says something else: what acts in training alone, such as dropout, may be set.
    """
    wanted = override(known, [setting])
    key = setting.partition("=")[0].strip()
    if (wanted.features, wanted.tokens) != (known.features, known.tokens):
        part, _, name = key.partition(".")
        value = getattr(getattr(known, part), name.partition(".")[0])
        told = f"the model that it starts from was trained with {part}.{name.partition('.')[0]}={value}"
        raise UserError(f"--set {setting}: {told}; leave it out, or train from scratch without --from")
    if wanted.model != known.model and not says_the_same(bundle, wanted.model):
        told = "the model that it starts from is another network"
        raise UserError(f"--set {setting}: {told}; leave it out, or train from scratch without --from")
