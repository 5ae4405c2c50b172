"""`--from NAME@ALIAS|PATH`: a recipe whose network, front end, tokenizer, beam and adaptation are those of a model.

What is set by hand of these has to go with the model: its weights are used as they are.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from flows.recipes import FineTuningRecipe, Recipe
from flows.shared.evaluation_plan import bundle_adaptation
from flows.shared.overrides import override
from infra.artifact_store import Artifact
from infra.errors import UserError
from models.interface import Beam
from tasks.bundles.bundle_files import LM, WORDS, read_beam, read_object
from tasks.bundles.model_bundle import load_bundle
from tasks.bundles.pretrained_model import says_the_same
from tasks.bundles.speaker_batch_norm import AdaptationConfig
from tasks.features.front_end import FrontEnd
from tasks.text.tokenizer import FILE, TokenizerConfig

OF_LANGUAGE = ("lm_weight", "word_bonus", "unknown_bonus", "hotword_weight", "lexicon_only")  # terms of a beam


@dataclass(frozen=True, kw_only=True)
class SourceModel:
    """What comes from the model that a training starts from."""

    model: Any
    features: FrontEnd
    tokens: TokenizerConfig
    beam: Beam
    adapt: AdaptationConfig


def fine_tuned(recipe: Recipe | FineTuningRecipe, settings: Sequence[str], bundle: Artifact) -> Recipe:
    """The recipe of a training from this recognizer. Raises UserError for a setting that contradicts the model."""
    if any(name == WORDS or name.startswith(LM) for name in bundle.names()):
        told = "its language model, lexicon and hotwords stay behind: give them to the new model, --lm and its like"
        print(f"scriptorium: {bundle.uri}: {told}", file=sys.stderr)
    own, by_hand = settings_by_part(recipe, settings)
    known = source_model(bundle)
    for setting in by_hand:
        refuse_contradiction(bundle, known, setting)
    wanted = override(known, by_hand)
    try:
        return Recipe(**{f.name: getattr(part, f.name) for part in (own, wanted) for f in fields(part)})
    except ValueError as error:
        raise UserError(str(error)) from error


def settings_by_part(recipe: Recipe | FineTuningRecipe, settings: Sequence[str]) -> tuple[FineTuningRecipe, list[str]]:
    """What the training has of its own, as set, and the settings of what it has of the model."""
    inherited = {f.name for f in fields(SourceModel)}
    by_hand = [setting for setting in settings if setting.partition("=")[0].partition(".")[0].strip() in inherited]
    own = FineTuningRecipe(**{f.name: getattr(recipe, f.name) for f in fields(FineTuningRecipe)})
    return override(own, [setting for setting in settings if setting not in by_hand]), by_hand


def source_model(bundle: Artifact) -> SourceModel:
    loaded, rules = load_bundle(bundle), read_object(bundle, FILE)
    tokens = TokenizerConfig(
        kind=rules["kind"],
        vocabulary_size=len(loaded.tokenizer),
        specials=bool(loaded.tokenizer.first),
        text=loaded.tokenizer.text,
    )
    beam = replace(read_beam(bundle), **{name: getattr(Beam(), name) for name in OF_LANGUAGE})
    return SourceModel(
        model=loaded.model.config,
        features=loaded.front_end,
        tokens=tokens,
        beam=beam,
        adapt=bundle_adaptation(bundle),
    )


def refuse_contradiction(bundle: Artifact, known: SourceModel, setting: str) -> None:
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
