"""The kinds of trained model that can be measured on a corpus: how each reads it, what it says, its scores and page."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from infra.problem import Problem
from infra.store import Artifact
from models.interface import Beam
from tasks.adapt import Adaptation
from tasks.bundle import front_end_of, is_classifier, load_bundle, replay, tokenizer_of
from tasks.companions import Equipment, equip, language_model_at, words_at
from tasks.corpus import Corpus, Ingest, fingerprint
from tasks.decode import Decoding, decode
from tasks.evaluate import Scoring, evaluate
from tasks.evaluate_classifier import evaluate_classifier
from tasks.evaluate_language_model import Reading, evaluate_language_model
from tasks.featurize import featurize
from tasks.ingest_corpus import ingest
from tasks.ingest_text import TextIngest, ingest_text
from tasks.plan import Batching
from tasks.predict import Predicting, predict
from tasks.report import Material, Page, report
from tasks.report_classifier import ClassifierPage, report_classifier
from tasks.report_language_model import LanguagePage, report_language_model
from tasks.stream import Chunking, tokenize

Data = tuple[Artifact, Artifact]  # shards and features, or text and stream
Found = tuple[Artifact, Artifact, tuple[Artifact, ...]]  # scores, page, what the model said


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What `--set` may replace; the rest is the bundle's."""

    ingest: Ingest = field(default_factory=Ingest)
    batching: Batching = field(default_factory=Batching)
    adapt: Adaptation = field(default_factory=Adaptation)


@dataclass(frozen=True, kw_only=True)
class SearchPlan(Plan):
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

    ingest: TextIngest = field(default_factory=TextIngest)
    chunks: Chunking
    batching: Batching


@dataclass(frozen=True)
class Kind:
    """verb: of the corpus' reader. plan: of a bundle. ready: the bundle with what a plan gives it; raises Problem for a
    plan that it does not go with. data: of a corpus' split, for a bundle, by a plan. measure: a bundle on data, by a
    plan, for (split, title).
    """

    verb: str
    plan: Callable[[Artifact], Any]
    ready: Callable[[Artifact, Any], Artifact]
    data: Callable[[Corpus, str, Artifact, Any], Data]
    measure: Callable[[Artifact, Data, Any, tuple[str, str]], Found]


def recogniser(bundle: Artifact) -> Artifact:
    """The bundle. Raises Problem where it is none of a recogniser."""
    if kind_of(bundle) is not RECOGNISER:
        raise Problem(f"{bundle.uri}: not a speech recogniser; give a model that train_asr made")
    return bundle


def equipped(bundle: Artifact, plan: SearchPlan, beam: Beam) -> Artifact:
    """The bundle with what the plan gives its search. Raises Problem for a beam that the search does not take."""
    if not (plan.lm or plan.lexicon or plan.hotwords):
        replay(bundle, beam)
        return bundle
    words = {"lexicon": words_at(plan.lexicon), "hotwords": plan.hotwords}
    return equip(bundle, language_model_at(plan.lm), Equipment(beam=beam, **words))


def adaptation_of(bundle: Artifact) -> Adaptation:
    """As it was trained to be used."""
    return Adaptation(**bundle.read_json("training.json").get("adapt", {}))


def adaptable(bundle: Artifact, plan: Plan) -> Artifact:
    """The bundle. Raises Problem where the plan asks for an adaptation that its model does not allow."""
    try:
        plan.adapt.check(load_bundle(bundle).model)
    except ValueError as error:
        raise Problem(f"{bundle}: {error}") from error
    return bundle


def kind_of(bundle: Artifact) -> Kind:
    if is_classifier(bundle):
        return CLASSIFIER
    return RECOGNISER if front_end_of(bundle) else LANGUAGE_MODEL


def featurized(place: Corpus, split: str, bundle: Artifact, plan: Plan) -> Data:
    shards = ingest(place, fingerprint(place), plan.ingest, (split,))
    return shards, featurize(shards, tokenizer_of(bundle), front_end_of(bundle), plan.ingest.error_budget)


def tokenized(place: Corpus, _split: str, bundle: Artifact, plan: TextPlan) -> Data:
    text = ingest_text(place, fingerprint(place), plan.ingest)
    return text, tokenize(text, tokenizer_of(bundle))


def transcribed(bundle: Artifact, data: Data, plan: SearchPlan, about: tuple[str, str]) -> Found:
    (split, title), architecture = about, bundle.read_json("model.json")["architecture"]
    how = {"architecture": architecture, "batching": plan.batching, "adapt": plan.adapt}
    transcripts = decode(bundle, data[1], Decoding(beam=plan.beam, split=split, **how))
    scores = evaluate(transcripts, Scoring())
    page = Page(title=title, architecture=architecture, splits=(split,), adapt=plan.adapt)
    return scores, report(Material(bundle, *data, (transcripts,), (scores,)), page), (transcripts,)


def classified(bundle: Artifact, data: Data, plan: Plan, about: tuple[str, str]) -> Found:
    (split, title), architecture = about, bundle.read_json("model.json")["architecture"]
    how = {"architecture": architecture, "batching": plan.batching, "adapt": plan.adapt}
    predictions = predict(bundle, data[1], Predicting(split=split, **how))
    scores = evaluate_classifier(predictions, tokenizer_of(bundle), Scoring())
    page = report_classifier(bundle, *data, (scores,), ClassifierPage(title=title, splits=(split,)))
    return scores, page, (predictions,)


def read(bundle: Artifact, data: Data, plan: TextPlan, about: tuple[str, str]) -> Found:
    (split, title), architecture = about, bundle.read_json("model.json")["architecture"]
    reading = Reading(architecture=architecture, chunks=plan.chunks, batching=plan.batching, split=split)
    scores = evaluate_language_model(bundle, data[1], reading)
    return scores, report_language_model(bundle, *data, scores, LanguagePage(title=title, split=split)), ()


def text_plan(bundle: Artifact) -> TextPlan:
    told = bundle.read_json("training.json")
    return TextPlan(chunks=Chunking(**told["chunks"]), batching=Batching(**told["batching"]))


RECOGNISER = Kind(
    "utterances",
    lambda bundle: SearchPlan(beam=Beam(**bundle.read_json("decode.json")), adapt=adaptation_of(bundle)),
    lambda bundle, plan: adaptable(equipped(bundle, plan, plan.beam), plan),
    featurized,
    transcribed,
)
CLASSIFIER = Kind("labelled", lambda bundle: Plan(adapt=adaptation_of(bundle)), adaptable, featurized, classified)
LANGUAGE_MODEL = Kind("documents", text_plan, lambda bundle, _: bundle, tokenized, read)
