"""The kinds of trained model that can be measured on a corpus: how each reads it, what it says, its scores and page."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from infra.artifact_store import Artifact
from infra.errors import UserError
from models.interface import Beam
from tasks.batches.batch_sampler import BatchingConfig
from tasks.batches.token_stream import ChunkConfig, tokenize_text
from tasks.bundles.decoding_resources import DecodingResources, add_decoding_resources, load_language_model, read_words
from tasks.bundles.model_bundle import (
    bundle_front_end,
    bundle_tokenizer,
    check_golden_outputs,
    is_classifier,
    load_bundle,
)
from tasks.bundles.speaker_adaptation import AdaptationConfig
from tasks.corpora.corpus_uri import Corpus, IngestConfig, fingerprint
from tasks.decoding.decode_speech import DecodingConfig, decode_speech
from tasks.decoding.predict_labels import PredictionConfig, predict_labels
from tasks.features.extract_features import extract_features
from tasks.ingest.ingest_corpus import ingest_corpus
from tasks.ingest.ingest_text import TextIngestConfig, ingest_text
from tasks.reports.report_asr import ASRPage, ReportInputs, report_asr
from tasks.reports.report_classifier import ClassifierPage, report_classifier
from tasks.reports.report_language_model import LanguagePage, report_language_model
from tasks.scoring.evaluate_asr import ScoringConfig, evaluate_asr
from tasks.scoring.evaluate_classifier import evaluate_classifier
from tasks.scoring.evaluate_language_model import LMScoringConfig, evaluate_language_model

Data = tuple[Artifact, Artifact]  # shards and features, or text and stream
Found = tuple[Artifact, Artifact, tuple[Artifact, ...]]  # scores, page, what the model said


@dataclass(frozen=True, kw_only=True)
class EvaluationPlan:
    """What `--set` may replace; the rest is the bundle's."""

    ingest: IngestConfig = field(default_factory=IngestConfig)
    batching: BatchingConfig = field(default_factory=BatchingConfig)
    adapt: AdaptationConfig = field(default_factory=AdaptationConfig)


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


@dataclass(frozen=True)
class ModelKind:
    """verb: of the corpus' reader. plan: of a bundle. ready: the bundle with what a plan gives it; raises UserError for
    a plan that it does not go with. data: of a corpus' split, for a bundle, by a plan. measure: a bundle on data, by a
    plan, for (split, title).
    """

    verb: str
    plan: Callable[[Artifact], Any]
    ready: Callable[[Artifact, Any], Artifact]
    data: Callable[[Corpus, str, Artifact, Any], Data]
    measure: Callable[[Artifact, Data, Any, tuple[str, str]], Found]


def require_recognizer(bundle: Artifact) -> Artifact:
    """The bundle. Raises UserError where it is none of a recogniser."""
    if model_kind(bundle) is not RECOGNISER:
        raise UserError(f"{bundle.uri}: not a speech recogniser; give a model that train_asr made")
    return bundle


def add_search_resources(bundle: Artifact, plan: SearchPlan, beam: Beam) -> Artifact:
    """The bundle with what the plan gives its search. Raises UserError for a beam that the search does not take."""
    if not (plan.lm or plan.lexicon or plan.hotwords):
        check_golden_outputs(bundle, beam)
        return bundle
    words = {"lexicon": read_words(plan.lexicon), "hotwords": plan.hotwords}
    return add_decoding_resources(bundle, load_language_model(plan.lm), DecodingResources(beam=beam, **words))


def bundle_adaptation(bundle: Artifact) -> AdaptationConfig:
    """As it was trained to be used."""
    return AdaptationConfig(**bundle.read_json("training.json").get("adapt", {}))


def check_adaptation(bundle: Artifact, plan: EvaluationPlan) -> Artifact:
    """The bundle. Raises UserError where the plan asks for an adaptation that its model does not allow."""
    try:
        plan.adapt.check(load_bundle(bundle).model)
    except ValueError as error:
        raise UserError(f"{bundle}: {error}") from error
    return bundle


def model_kind(bundle: Artifact) -> ModelKind:
    if is_classifier(bundle):
        return CLASSIFIER
    return RECOGNISER if bundle_front_end(bundle) else LANGUAGE_MODEL


def prepare_features(place: Corpus, split: str, bundle: Artifact, plan: EvaluationPlan) -> Data:
    shards = ingest_corpus(place, fingerprint(place), plan.ingest, (split,))
    return shards, extract_features(
        shards, bundle_tokenizer(bundle), bundle_front_end(bundle), plan.ingest.error_budget
    )


def prepare_text(place: Corpus, _split: str, bundle: Artifact, plan: TextPlan) -> Data:
    text = ingest_text(place, fingerprint(place), plan.ingest)
    return text, tokenize_text(text, bundle_tokenizer(bundle))


def measure_recognizer(bundle: Artifact, data: Data, plan: SearchPlan, about: tuple[str, str]) -> Found:
    (split, title), architecture = about, bundle.read_json("model.json")["architecture"]
    how = {"architecture": architecture, "batching": plan.batching, "adapt": plan.adapt}
    transcripts = decode_speech(bundle, data[1], DecodingConfig(beam=plan.beam, split=split, **how))
    scores = evaluate_asr(transcripts, ScoringConfig())
    page = ASRPage(title=title, architecture=architecture, splits=(split,), adapt=plan.adapt)
    return scores, report_asr(ReportInputs(bundle, *data, (transcripts,), (scores,)), page), (transcripts,)


def measure_classifier(bundle: Artifact, data: Data, plan: EvaluationPlan, about: tuple[str, str]) -> Found:
    (split, title), architecture = about, bundle.read_json("model.json")["architecture"]
    how = {"architecture": architecture, "batching": plan.batching, "adapt": plan.adapt}
    predictions = predict_labels(bundle, data[1], PredictionConfig(split=split, **how))
    scores = evaluate_classifier(predictions, bundle_tokenizer(bundle), ScoringConfig())
    page = report_classifier(bundle, *data, (scores,), ClassifierPage(title=title, splits=(split,)))
    return scores, page, (predictions,)


def measure_language_model(bundle: Artifact, data: Data, plan: TextPlan, about: tuple[str, str]) -> Found:
    (split, title), architecture = about, bundle.read_json("model.json")["architecture"]
    reading = LMScoringConfig(architecture=architecture, chunks=plan.chunks, batching=plan.batching, split=split)
    scores = evaluate_language_model(bundle, data[1], reading)
    return scores, report_language_model(bundle, *data, scores, LanguagePage(title=title, split=split)), ()


def text_plan(bundle: Artifact) -> TextPlan:
    told = bundle.read_json("training.json")
    return TextPlan(chunks=ChunkConfig(**told["chunks"]), batching=BatchingConfig(**told["batching"]))


RECOGNISER = ModelKind(
    "utterances",
    lambda bundle: SearchPlan(beam=Beam(**bundle.read_json("decode.json")), adapt=bundle_adaptation(bundle)),
    lambda bundle, plan: check_adaptation(add_search_resources(bundle, plan, plan.beam), plan),
    prepare_features,
    measure_recognizer,
)
CLASSIFIER = ModelKind(
    "labelled",
    lambda bundle: EvaluationPlan(adapt=bundle_adaptation(bundle)),
    check_adaptation,
    prepare_features,
    measure_classifier,
)
LANGUAGE_MODEL = ModelKind("documents", text_plan, lambda bundle, _: bundle, prepare_text, measure_language_model)
