"""`--from NAME@ALIAS|PATH`: a recipe whose network, tokens, beam and all that its weights hang on are a model's.

What is set by hand of these has to go with the model: its weights are used as they are. A kind of model that can be
trained so has one entry, at the end.
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

from flows.recipes import (
    CaptionFineTuningRecipe,
    CaptioningRecipe,
    FineTuningRecipe,
    Recipe,
    TranslationFineTuningRecipe,
    TranslationRecipe,
)
from flows.shared.evaluation_plan import bundle_adaptation
from flows.shared.overrides import override
from flows.shared.recipe_choice import FINE_TUNING
from infra.artifact_store import Artifact
from infra.errors import UserError
from models.ensemble import Ensemble
from models.interface import Beam
from tasks.bundles.bundle_files import LM, WORDS, read_beam, read_languages, read_object
from tasks.bundles.fit_translation_vocabularies import TranslationTokensConfig
from tasks.bundles.model_bundle import load_bundle
from tasks.bundles.pretrained_model import says_the_same
from tasks.bundles.speaker_batch_norm import AdaptationConfig
from tasks.decoding.caption_photos import require_captioner
from tasks.decoding.translate import source_tokenizer
from tasks.features.front_end import FrontEnd
from tasks.features.image_front_end import ImageFrontEnd
from tasks.text.tokenizer import FILE, MODEL, SOURCE, TextTokenizer, TokenizerConfig

OF_LANGUAGE = ("lm_weight", "word_bonus", "unknown_bonus", "hotword_weight", "lexicon_only")  # terms of a beam
UNCHANGED = ("features", "tokens")  # parts of a source that its weights hang on whole


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


class SourceVocabularies(TranslationTokensConfig):
    """Those that there are: what is set of one side is compared with that side alone."""

    def __post_init__(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class SourceTranslator:
    """The same of a translator."""

    model: Any
    tokens: SourceVocabularies
    beam: Beam


@dataclass(frozen=True, kw_only=True)
class FineTuning:
    """How a kind of model is trained from one that there is. default: the recipe where none is named. whole: the class
    of its recipes, which has the fields of `own`, what the training has of its own, and of `source`, what is the
    model's. read: that, from a bundle. allow: (own, bundle) own, with what the model says of it (raises UserError where
    they do not agree).
    """

    default: str
    whole: type
    own: type
    source: type
    read: Callable[[Artifact], Any]
    allow: Callable[[Any, Artifact], Any] = lambda own, _bundle: own

    def settings_by_part(self, recipe: Any, settings: Sequence[str]) -> tuple[Any, list[str]]:
        """What the training has of its own, as set, and the settings of what it has of the model. recipe: one of
        fine-tuning, or any other of the kind.
        """
        inherited = {f.name for f in fields(self.source)}
        by_hand = [setting for setting in settings if setting.partition("=")[0].partition(".")[0].strip() in inherited]
        own = self.own(**{f.name: getattr(recipe, f.name) for f in fields(self.own)})
        return override(own, [setting for setting in settings if setting not in by_hand]), by_hand

    def derive_recipe(self, recipe: Any, settings: Sequence[str], bundle: Artifact) -> Any:
        """The recipe of a training from this bundle. Raises UserError for a setting that contradicts the model, and for
        several models that write together.
        """
        if isinstance(load_bundle(bundle).model, Ensemble):
            raise UserError(f"{bundle.uri}: it is an ensemble, and one model is trained; start from one of its models")
        own, by_hand = self.settings_by_part(recipe, settings)
        own = self.allow(own, bundle)
        if any(name == WORDS or name.startswith(LM) for name in bundle.names()):
            told = "its language model, lexicon and hotwords stay behind: give them to the new model, --lm and its like"
            print(f"scriptorium: {bundle.uri}: {told}", file=sys.stderr)
        known = self.read(bundle)
        wanted = override(known, by_hand)
        refuse_contradiction(bundle, known, wanted, by_hand)
        try:
            return self.whole(**{f.name: getattr(part, f.name) for part in (own, wanted) for f in fields(part)})
        except ValueError as error:
            raise UserError(str(error)) from error


def refuse_contradiction(bundle: Artifact, known: Any, wanted: Any, settings: Sequence[str]) -> None:
    """Raises UserError for a front end or tokens that are others, and for options of the network with which it has
    other weights or says something else: what acts in training alone, such as dropout, may be set.

    settings: what makes `wanted` of what is known.
    """
    instead = "leave it out, or train from scratch without --from"
    for part in (name for name in UNCHANGED if hasattr(known, name)):
        if getattr(wanted, part) != getattr(known, part):
            setting = _culprit(known, part, settings, lambda one, part=part: getattr(one, part) == getattr(known, part))
            key, value = setting.partition("=")[0].strip(), known
            for name in key.split("."):
                value = getattr(value, name) if is_dataclass(value) else value
            raise UserError(f"--set {setting}: the model that it starts from was trained with {key}={value}; {instead}")
    if wanted.model != known.model and not says_the_same(bundle, wanted.model):
        setting = _culprit(known, "model", settings, lambda one: says_the_same(bundle, one.model))
        raise UserError(f"--set {setting}: the model that it starts from is another network; {instead}")


def _culprit(known: Any, part: str, settings: Sequence[str], fits: Callable[[Any], bool]) -> str:
    """Of the settings of a part the first that alone does not fit; all of them where it takes several."""
    mine = [setting for setting in settings if setting.partition("=")[0].partition(".")[0].strip() == part]
    for setting in mine:
        try:
            if not fits(override(known, [setting])):
                return setting
        except UserError:  # it goes with another alone
            continue
    return " ".join(mine)


def network_and_beam(bundle: Artifact) -> dict[str, Any]:
    beam = replace(read_beam(bundle), **{name: getattr(Beam(), name) for name in OF_LANGUAGE})
    return {"model": load_bundle(bundle).model.config, "beam": beam}


def token_config(bundle: Artifact, tokenizer: TextTokenizer, prefix: str = "") -> TokenizerConfig:
    """What such a tokenizer is made with. prefix: of its files in the bundle."""
    return TokenizerConfig(
        kind=read_object(bundle, prefix + FILE)["kind"],
        vocabulary_size=len(tokenizer),
        specials=bool(tokenizer.first),
        text=tokenizer.text,
    )


def read_recognizer(bundle: Artifact) -> SourceModel:
    loaded = load_bundle(bundle)
    return SourceModel(
        features=loaded.front_end,
        tokens=token_config(bundle, loaded.tokenizer),
        adapt=bundle_adaptation(bundle),
        **network_and_beam(bundle),
    )


def read_captioner(bundle: Artifact) -> SourceCaptioner:
    """Its backbone is in the store then."""
    front_end, tokens = require_captioner(bundle), token_config(bundle, load_bundle(bundle).tokenizer)
    return SourceCaptioner(features=front_end, tokens=tokens, **network_and_beam(bundle))


def read_translator(bundle: Artifact) -> SourceTranslator:
    loaded = load_bundle(bundle)
    tokens = SourceVocabularies(
        source=token_config(bundle, source_tokenizer(loaded), SOURCE),
        target=token_config(bundle, loaded.tokenizer),
        joint=has_joint_vocabulary(bundle),
    )
    return SourceTranslator(tokens=tokens, **network_and_beam(bundle))


def has_joint_vocabulary(bundle: Artifact) -> bool:
    """Whether both sides of a translator are cut into the same tokens, whatever is done to their texts before."""
    there = set(bundle.names())
    source, target = (
        (read_object(bundle, side + FILE) | {"text": None}, bundle.read(side + MODEL) if side + MODEL in there else b"")
        for side in (SOURCE, "")
    )
    return source == target


def with_languages(own: TranslationFineTuningRecipe, bundle: Artifact) -> TranslationFineTuningRecipe:
    """With the translator's languages where none are set. Raises UserError for others."""
    source, target = read_languages(bundle)
    asked = (own.ingest.source_language or source, own.ingest.target_language or target)
    if asked != (source, target):
        told = f"it translates {source} to {target}, and this training is for {' to '.join(asked)}"
        raise UserError(f"{bundle.uri}: {told}; leave the languages out, or train from scratch without --from")
    return replace(own, ingest=replace(own.ingest, source_language=source, target_language=target))


def without_backbone(own: CaptionFineTuningRecipe, _bundle: Artifact) -> CaptionFineTuningRecipe:
    """Where the backbone does not learn, without the recipe's rate of it."""
    if own.train_backbone:
        return own
    factors = {name: factor for name, factor in own.fit.rate_factors.items() if not name.startswith("backbone")}
    return replace(own, fit=replace(own.fit, rate_factors=factors))


RECOGNIZER = FineTuning(
    default=FINE_TUNING, whole=Recipe, own=FineTuningRecipe, source=SourceModel, read=read_recognizer
)
CAPTIONER = FineTuning(
    default="show_attend_tell_fine_tune",
    whole=CaptioningRecipe,
    own=CaptionFineTuningRecipe,
    source=SourceCaptioner,
    read=read_captioner,
    allow=without_backbone,
)
TRANSLATOR = FineTuning(
    default="translation_fine_tune",
    whole=TranslationRecipe,
    own=TranslationFineTuningRecipe,
    source=SourceTranslator,
    read=read_translator,
    allow=with_languages,
)
