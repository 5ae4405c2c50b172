"""What `--set` may replace of how texts are translated, and the translator that does it."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from flows.shared.evaluation_plan import add_language_model
from flows.shared.overrides import override
from infra.artifact_store import Artifact
from infra.errors import UserError
from models.interface import Beam
from tasks.batches.batch_sampler import BatchingConfig
from tasks.bundles.bundle_files import TRAINING, read_beam, read_languages, read_object
from tasks.bundles.find_model import find_model
from tasks.bundles.model_bundle import is_translator, load_on_device
from tasks.bundles.quantize import quantize_bundle
from tasks.decoding.translate import TranslationConfig, Translator
from tasks.documents.tmx import same


@dataclass(frozen=True, kw_only=True)
class TranslationSettings:
    """beam: by default the bundle's. lm: a language model of the target's words or tokens. max_source_tokens: what is
    beyond so many of a line is left out. quantize: int8 multiplies by weights of 8 bits, on a CPU.
    """

    beam: Beam
    lm: str = ""
    batching: BatchingConfig = field(default_factory=BatchingConfig)
    max_source_tokens: int = 1024
    quantize: Literal["none", "int8"] = "none"


@dataclass(frozen=True)
class LanguagePair:
    """Languages as a corpus calls them, "" for whichever."""

    source: str = ""
    target: str = ""


def load_translator(
    model: str, settings: Sequence[str] = (), languages: LanguagePair = LanguagePair(), n_best: int = 1
) -> Translator:
    """A translator, NAME@ALIAS or the path of a bundle, with settings as `--set` takes them. n_best: so many hypotheses
    are wanted, and the bundle's beam is made as wide where the settings say nothing.

    Raises UserError for another kind of model, for other languages than it was trained on, and for a setting that it
    does not take.
    """
    bundle = require_translator(find_model(model), model)
    check_languages(bundle, languages)
    beam = read_beam(bundle)
    wide = replace(beam, width=-(-max(beam.width, n_best) // beam.groups) * beam.groups)
    plan = override(TranslationSettings(beam=wide), settings)
    ready = load_on_device(add_language_model(bundle, plan.lm, plan.beam))[0]
    if plan.quantize == "int8":
        ready = quantize_bundle(ready)
    try:
        how = TranslationConfig(beam=plan.beam, batching=plan.batching, max_source_tokens=plan.max_source_tokens)
    except ValueError as error:
        raise UserError(str(error)) from error
    return Translator(ready, how)


def require_translator(bundle: Artifact, name: str) -> Artifact:
    """The bundle. Raises UserError where it is none of a translator, by the name that the user gave it."""
    if not is_translator(bundle):
        raise UserError(f"{name}: not a translator; give a model that train_translation made")
    return bundle


def check_languages(bundle: Artifact, asked: LanguagePair) -> None:
    """Raises UserError for other languages than the bundle's. One that says none takes any."""
    if "languages" not in read_object(bundle, TRAINING):
        return
    for side, want, own in zip(("source", "target"), (asked.source, asked.target), read_languages(bundle), strict=True):
        if want and not same(want, own):
            pair = " to ".join(read_languages(bundle))
            raise UserError(
                f"--{side}-language {want}: this model translates {pair}; leave it out, or give another model"
            )
