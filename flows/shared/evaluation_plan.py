"""What `--set` may replace of a trained model, and the model with it: its search, its adaptation, how a text is cut."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from flows.shared.overrides import override
from infra.artifact_store import Artifact
from infra.errors import UserError
from models.interface import Beam
from tasks.batches.batch_sampler import BatchingConfig
from tasks.batches.token_chunks import ChunkConfig
from tasks.bundles.add_decoding_resources import (
    DecodingResources,
    add_decoding_resources,
    load_language_model,
    read_words,
)
from tasks.bundles.build_fusion_lm import summarize_fit
from tasks.bundles.bundle_files import read_beam, read_languages, read_training
from tasks.bundles.find_model import find_model
from tasks.bundles.model_bundle import (
    bundle_front_end,
    check_golden_outputs,
    is_classifier,
    load_bundle,
)
from tasks.bundles.speaker_batch_norm import AdaptationConfig
from tasks.corpora.corpus_uri import IngestConfig
from tasks.corpora.photo_row import PhotoIngestConfig
from tasks.decoding.caption_photos import PhotoCaptioner, require_captioner
from tasks.ingest.ingest_text import TextIngestConfig
from tasks.ngram.train_ngram import open_ngram
from tasks.scoring.evaluate_asr import ScoringConfig
from tasks.scoring.evaluate_translation import TranslationScoringConfig
from tasks.text.tokenizer import load_tokenizer


@dataclass(frozen=True, kw_only=True)
class EvaluationPlan:
    """What `--set` may replace; the rest is the bundle's."""

    ingest: IngestConfig = field(default_factory=IngestConfig)
    batching: BatchingConfig = field(default_factory=BatchingConfig)
    adapt: AdaptationConfig = field(default_factory=AdaptationConfig)
    scoring: ScoringConfig = field(default_factory=ScoringConfig)


@dataclass(frozen=True, kw_only=True)
class SearchPlan(EvaluationPlan):
    """The same for a model that searches, and what its search is given; what is empty here is as the bundle has it.

    lm: a language model, NAME@ALIAS or the path of one or of an ARPA file. lexicon: the path of a file with a word a
    line. hotwords: to listen for, as hard as beam.hotword_weight says.
    """

    beam: Beam
    lm: str = ""
    lexicon: str = ""
    hotwords: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TextPlan:
    """The same for a language model: chunks and batching are by default those of its training."""

    ingest: TextIngestConfig = field(default_factory=TextIngestConfig)
    chunks: ChunkConfig
    batching: BatchingConfig


@dataclass(frozen=True, kw_only=True)
class TranslationPlan:
    """The same for a translator: languages and beam are by default those of its training. lm: a language model of its
    target's words or tokens.
    """

    ingest: IngestConfig
    batching: BatchingConfig
    beam: Beam
    lm: str = ""
    scoring: TranslationScoringConfig = field(default_factory=TranslationScoringConfig)


@dataclass(frozen=True, kw_only=True)
class CaptionPlan:
    """The same for a captioner."""

    ingest: PhotoIngestConfig = field(default_factory=PhotoIngestConfig)
    batching: BatchingConfig
    beam: Beam
    scoring: ScoringConfig = field(default_factory=ScoringConfig)


@dataclass(frozen=True, kw_only=True)
class CaptionSettings:
    """What `--set` may replace where photos are captioned without references. batch: photos at once, at most."""

    beam: Beam
    batch: int = 32

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise ValueError(f"batch is 1 or more, not {self.batch}")


def classifier_plan(bundle: Artifact) -> EvaluationPlan:
    return EvaluationPlan(adapt=bundle_adaptation(bundle))


def search_plan(bundle: Artifact) -> SearchPlan:
    return SearchPlan(beam=read_beam(bundle), adapt=bundle_adaptation(bundle))


def translation_plan(bundle: Artifact) -> TranslationPlan:
    source, target = read_languages(bundle)
    return TranslationPlan(
        ingest=IngestConfig(source_language=source, target_language=target),
        batching=read_training(bundle, "batching", BatchingConfig),
        beam=read_beam(bundle),
    )


def check_translation(bundle: Artifact, plan: TranslationPlan) -> Artifact:
    """The bundle. Raises UserError for a beam that its search does not take, and for other languages than its own."""
    asked, own = (plan.ingest.source_language, plan.ingest.target_language), read_languages(bundle)
    if asked != own:
        told = " to ".join(asked), " to ".join(own)
        raise UserError(f"{bundle}: asked to translate {told[0]}, and it was trained on {told[1]}")
    return add_language_model(bundle, plan.lm, plan.beam)


def add_language_model(bundle: Artifact, lm: str, beam: Beam) -> Artifact:
    """The bundle with a beam and a language model, "" for none. Raises UserError for a beam that its search does not
    take, and for one that has no such tokens.
    """
    if not lm:
        check_golden_outputs(bundle, beam)
        return bundle
    return add_decoding_resources(bundle, load_language_model(lm), DecodingResources(beam=beam))


def caption_plan(bundle: Artifact) -> CaptionPlan:
    return CaptionPlan(batching=read_training(bundle, "batching", BatchingConfig), beam=read_beam(bundle))


def check_search(bundle: Artifact, plan: CaptionPlan) -> Artifact:
    """The bundle. Raises UserError for a beam that its search does not take."""
    check_golden_outputs(bundle, plan.beam)
    return bundle


def load_captioner(model: str, settings: Sequence[str] = ()) -> PhotoCaptioner:
    """A captioner, NAME@ALIAS or the path of a bundle, with settings as `--set` takes them.

    Raises UserError for another kind of model, and for a setting that it does not take.
    """
    bundle = find_model(model)
    require_captioner(bundle, model)
    plan = override(CaptionSettings(beam=read_beam(bundle)), settings)
    return PhotoCaptioner(bundle, plan.beam, plan.batch)


def text_plan(bundle: Artifact) -> TextPlan:
    chunks, batching = read_training(bundle, "chunks", ChunkConfig), read_training(bundle, "batching", BatchingConfig)
    return TextPlan(chunks=chunks, batching=batching)


def require_recognizer(bundle: Artifact, name: str = "") -> Artifact:
    """The bundle. Raises UserError where it is none of a recognizer, by the name that the user gave it, if any."""
    if is_classifier(bundle) or not bundle_front_end(bundle):
        raise UserError(f"{name or bundle.uri}: not a speech recognizer; give a model that train_asr made")
    return bundle


def add_search_resources(bundle: Artifact, plan: SearchPlan, beam: Beam) -> Artifact:
    """The bundle with what the plan gives its search. Raises UserError for a beam that the search does not take."""
    if not (plan.lm or plan.lexicon or plan.hotwords):
        check_golden_outputs(bundle, beam)
        return bundle
    words, lm = {"lexicon": read_words(plan.lexicon), "hotwords": plan.hotwords}, load_language_model(plan.lm)
    given = add_decoding_resources(bundle, lm, DecodingResources(beam=beam, **words))
    if lm and lm.kind == "ngram" and (told := summarize_fit(open_ngram(lm), load_tokenizer(bundle))):
        print(f"scriptorium: {plan.lm}: {told}", file=sys.stderr)
    return given


def bundle_adaptation(bundle: Artifact) -> AdaptationConfig:
    """As it was trained to be used."""
    return read_training(bundle, "adapt", AdaptationConfig, known=False)


def check_adaptation(bundle: Artifact, plan: EvaluationPlan) -> Artifact:
    """The bundle. Raises UserError where the plan asks for an adaptation that its model does not allow."""
    try:
        plan.adapt.check(load_bundle(bundle).model)
    except ValueError as error:
        raise UserError(f"{bundle}: {error}") from error
    return bundle
