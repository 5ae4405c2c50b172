"""The kinds of trained model that can be measured on a corpus: how each reads it, what it says, its scores and page."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from infra.problem import Problem
from infra.store import Artifact
from models.interface import Beam
from tasks.bundle import front_end_of, is_classifier, replay, tokenizer_of
from tasks.companions import Equipment, equip, language_model_at, words_at
from tasks.corpus import Ingest
from tasks.decode import Decoding, decode
from tasks.evaluate import Scoring, evaluate
from tasks.evaluate_classifier import evaluate_classifier
from tasks.plan import Batching
from tasks.predict import Predicting, predict
from tasks.report import Material, Page, report
from tasks.report_classifier import ClassifierPage, report_classifier

Data = tuple[Artifact, Artifact]  # shards, features
Found = tuple[Artifact, Artifact, Artifact]  # what the model said, scores, page


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What `--set` may replace; the rest is the bundle's."""

    ingest: Ingest = field(default_factory=Ingest)
    batching: Batching = field(default_factory=Batching)


@dataclass(frozen=True, kw_only=True)
class SearchPlan(Plan):
    """The same for a model that searches, and what its search is given; what is empty here is as the bundle has it.

    lm: an n-gram model, NAME@ALIAS or the path of one or of an ARPA file. lexicon: the path of a file with a word a
    line. hotwords: to listen for, as hard as beam.hotword_weight says.
    """

    beam: Beam
    lm: str = ""
    lexicon: str = ""
    hotwords: tuple[str, ...] = ()


@dataclass(frozen=True)
class Kind:
    """verb: of the corpus' reader. plan: of a bundle. ready: the bundle with what a plan gives it; raises Problem for a
    plan that it does not go with. measure: a bundle on data, by a plan, for (split, title).
    """

    verb: str
    plan: Callable[[Artifact], Plan]
    ready: Callable[[Artifact, Any], Artifact]
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


def kind_of(bundle: Artifact) -> Kind:
    """Raises Problem for a language model."""
    if is_classifier(bundle):
        return CLASSIFIER
    if front_end_of(bundle):
        return RECOGNISER
    raise Problem(f"{bundle.uri}: a language model is measured on its own text; give a recogniser or a classifier")


def transcribed(bundle: Artifact, data: Data, plan: SearchPlan, about: tuple[str, str]) -> Found:
    (split, title), architecture = about, bundle.read_json("model.json")["architecture"]
    how = Decoding(beam=plan.beam, architecture=architecture, split=split, batching=plan.batching)
    transcripts = decode(bundle, data[1], how)
    scores = evaluate(transcripts, Scoring())
    page = Page(title=title, architecture=architecture, splits=(split,))
    return transcripts, scores, report(Material(bundle, *data, (transcripts,), (scores,)), page)


def classified(bundle: Artifact, data: Data, plan: Plan, about: tuple[str, str]) -> Found:
    (split, title), architecture = about, bundle.read_json("model.json")["architecture"]
    predictions = predict(bundle, data[1], Predicting(architecture=architecture, split=split, batching=plan.batching))
    scores = evaluate_classifier(predictions, tokenizer_of(bundle), Scoring())
    return (
        predictions,
        scores,
        report_classifier(bundle, *data, (scores,), ClassifierPage(title=title, splits=(split,))),
    )


RECOGNISER = Kind(
    "utterances",
    lambda bundle: SearchPlan(beam=Beam(**bundle.read_json("decode.json"))),
    lambda bundle, plan: equipped(bundle, plan, plan.beam),
    transcribed,
)
CLASSIFIER = Kind("labelled", lambda _: Plan(), lambda bundle, _: bundle, classified)
