"""What the flows need of each kind of model, once: its data, training, scores and page, by a recipe or for a bundle.

A recipe (flows/recipes/) and what may be replaced of a trained model (flows/shared/evaluation_plan.py) name what they
share alike, so that a model is scored by either.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, NamedTuple

from flows.recipes import ClassificationRecipe, LanguageRecipe, Recipe, asr, classification, language_model
from flows.shared.evaluation_plan import (
    EvaluationPlan,
    SearchPlan,
    TextPlan,
    add_search_resources,
    check_adaptation,
    classifier_plan,
    search_plan,
    text_plan,
)
from flows.shared.fine_tuning import fine_tuned
from flows.shared.run_context import RunContext, flat_settings
from infra.artifact_store import Artifact
from infra.errors import UserError
from tasks.batches.tokenize_text import fit_text_tokenizer, tokenize_text
from tasks.bundles.add_decoding_resources import DecodingResources, add_decoding_resources, transcripts_as_text
from tasks.bundles.bundle_files import TRAINING
from tasks.bundles.fit_classifier_vocabulary import fit_classifier_vocabulary
from tasks.bundles.model_bundle import (
    bundle_front_end,
    bundle_tokenizer,
    is_classifier,
    lm_architecture,
    model_architecture,
)
from tasks.corpora.corpus_uri import Corpus, fingerprint
from tasks.decoding.decode_speech import DecodingConfig, decode_speech
from tasks.decoding.predict_labels import predict_labels
from tasks.decoding.shard_inference import Inference
from tasks.features.extract_features import extract_features
from tasks.ingest.ingest_corpus import count_splits, ingest_corpus, list_splits
from tasks.ingest.ingest_text import ingest_text
from tasks.ngram.text_lines import LineSplitConfig
from tasks.ngram.train_ngram import NGramTrainingConfig, train_ngram
from tasks.publishing.find_baselines import find_baselines
from tasks.publishing.publish_model import RunOutcome
from tasks.reports.report_asr import ASRPage, ReportInputs, report_asr
from tasks.reports.report_classifier import ClassifierPage, report_classifier
from tasks.reports.report_language_model import LanguagePage, report_language_model
from tasks.scoring.evaluate_asr import evaluate_asr
from tasks.scoring.evaluate_classifier import evaluate_classifier
from tasks.scoring.evaluate_language_model import LMScoringConfig, evaluate_language_model
from tasks.steps.pipeline_step import Step
from tasks.text.grow_tokenizer import grow_tokenizer
from tasks.text.tokenizer import fit_tokenizer
from tasks.training.leaderboard import Ranking
from tasks.training.train_asr import train_asr
from tasks.training.train_classifier import train_classifier
from tasks.training.train_language_model import train_language_model

SPLITS = ("train", "dev", "test")
ALL_LINES = LineSplitConfig(dev_share=0)


class Data(NamedTuple):
    """corpus: shards, or a text. examples: features, or a stream. tokenizer: or vocabularies."""

    corpus: Artifact
    examples: Artifact
    tokenizer: Artifact


class Scored(NamedTuple):
    """scores: of one split. said: by the model, as far as that is kept."""

    scores: Artifact
    said: tuple[Artifact, ...] = ()


@dataclass(frozen=True)
class ModelKind:
    """recipes: their module. ranking: what its models are compared by.

    By a recipe: data of a corpus, whose examples and tokenizer `train_asr` takes, and for a training that starts from a
    bundle its tokenizer with what the corpus needs beyond; fine_tuned (recipe, settings, bundle): the recipe of such a
    training, None where there are none; finish: a trained bundle with what
    the recipe gives it. For a bundle: plan: what may be replaced of it; ready: the bundle with what a plan gives it
    (raises UserError for a plan that it does not go with); read: one split of a corpus. By either: score (bundle,
    examples, recipe or plan, split); page (bundle, data, scores by split, recipe or plan, context of the run).
    """

    recipes: ModuleType
    ranking: Ranking
    data: Callable[[Corpus, Any, Artifact | None], Data]
    train: Step[...]
    finish: Callable[[Artifact, Data, Any], Artifact]
    fine_tuned: Callable[[Any, Sequence[str], Artifact], Any] | None = field(default=None, kw_only=True)
    plan: Callable[[Artifact], Any]
    ready: Callable[[Artifact, Any], Artifact]
    read: Callable[[Artifact, Corpus, str, Any], Data]
    score: Callable[[Artifact, Artifact, Any, str], Scored]
    page: Callable[[Artifact, Data, dict[str, Scored], Any, RunContext], Artifact]

    def dev_scores(self, data: Data, recipe: Any, trained: Artifact) -> Artifact:
        """Of a model that was trained by a recipe on this data."""
        return self.score(self.finish(trained, data, recipe), data.examples, recipe, "dev").scores

    def outcome(self, bundle: Artifact, data: Data, plan: Any, splits: Sequence[str], run: RunContext) -> RunOutcome:
        """What a bundle comes to on splits of the data: scores and page."""
        found = {split: self.score(bundle, data.examples, plan, split) for split in splits}
        page, scores = self.page(bundle, data, found, plan, run), tuple(one.scores for one in found.values())
        data_used = (data.corpus, data.examples, *found[splits[0]].said)
        return RunOutcome(
            bundle=bundle, page=page, splits=tuple(splits), scores=scores, data=data_used, ranking=self.ranking
        )


def model_kind(bundle: Artifact) -> ModelKind:
    if is_classifier(bundle):
        return CLASSIFICATION
    return SPEECH if bundle_front_end(bundle) else LANGUAGE


def held_out(corpus: Artifact) -> tuple[str, ...]:
    """Of those that a trained model is measured on, the ones there are, the first counting most."""
    return ("dev",) if corpus.kind == "text" else tuple(s for s in ("test", "dev") if s in list_splits(corpus))


def inference(bundle: Artifact, plan: Recipe | ClassificationRecipe | EvaluationPlan, split: str) -> dict[str, Any]:
    """What every config of a run over a split has."""
    names = {"architecture": model_architecture(bundle), "lm_architecture": lm_architecture(bundle)}
    return names | {"split": split, "batching": plan.batching, "adapt": plan.adapt}


def read_shards(bundle: Artifact, place: Corpus, split: str, plan: EvaluationPlan) -> Data:
    shards, tokenizer = ingest_corpus(place, fingerprint(place), plan.ingest, (split,)), bundle_tokenizer(bundle)
    if split not in list_splits(shards):
        rows = {
            name or "of no split, which makes them train": n for name, n in count_splits(place, plan.ingest).items()
        }
        there = ", ".join(f"{n} are {name}" for name, n in rows.items())
        raise UserError(
            f"{place} has no {split} split: of its rows {there}; name another (--split), or make ours with "
            "--set ingest.own_splits=true"
        )
    return Data(
        shards, extract_features(shards, tokenizer, bundle_front_end(bundle), plan.ingest.error_budget), tokenizer
    )


# Speech


def speech_data(place: Corpus, recipe: Recipe, source: Artifact | None) -> Data:
    shards = ingest_corpus(place, fingerprint(place), recipe.ingest, SPLITS)
    tokenizer = grow_tokenizer(shards, bundle_tokenizer(source)) if source else fit_tokenizer(shards, recipe.tokens)
    return Data(shards, extract_features(shards, tokenizer, recipe.features, recipe.ingest.error_budget), tokenizer)


def speech_model(trained: Artifact, data: Data, recipe: Recipe) -> Artifact:
    """With an n-gram model of the training transcripts, where the recipe asks for one, and the recipe's beam."""
    wanted, lm = recipe.transcript_model, None
    if wanted.unit != "none":
        words = wanted.unit == "words"
        units = fit_tokenizer(data.corpus, wanted.words(recipe.tokens)) if words else data.tokenizer
        lm = train_ngram(
            transcripts_as_text(data.corpus), units, NGramTrainingConfig(ngram=wanted.ngram, split=ALL_LINES)
        )
    return add_decoding_resources(trained, lm, DecodingResources(beam=recipe.beam))


def score_transcripts(bundle: Artifact, features: Artifact, plan: Recipe | SearchPlan, split: str) -> Scored:
    transcripts = decode_speech(bundle, features, DecodingConfig(beam=plan.beam, **inference(bundle, plan, split)))
    return Scored(evaluate_asr(transcripts, plan.scoring), (transcripts,))


def speech_page(
    bundle: Artifact, data: Data, found: dict[str, Scored], plan: Recipe | SearchPlan, run: RunContext
) -> Artifact:
    transcripts = tuple(artifact for one in found.values() for artifact in one.said)
    scores = tuple(one.scores for one in found.values())
    names = {"architecture": model_architecture(bundle), "lm_architecture": lm_architecture(bundle)}
    told = {"scoring": plan.scoring, "settings": flat_settings(plan)}
    page = ASRPage(title=run.title, splits=tuple(found), adapt=plan.adapt, **names, **told)
    baselines = find_baselines(bundle, scores[0].read_json("scores.json")["data"], run.model_name, run.training_key)
    inputs = (bundle, data.corpus, data.examples, transcripts, scores, training_features(bundle), baselines)
    return report_asr(ReportInputs(*inputs), page, run.facts())


def training_features(bundle: Artifact) -> Artifact | None:
    """What a bundle was trained on, None where this store does not have it."""
    digest = bundle.read_json(TRAINING).get("features")
    features = Artifact("features", digest) if digest else None
    return features if features and features.exists() else None


# Language


def language_data(place: Corpus, recipe: LanguageRecipe, _source: Artifact | None) -> Data:
    text = ingest_text(place, fingerprint(place), recipe.ingest)
    tokenizer = fit_text_tokenizer(text, recipe.tokens)
    return Data(text, tokenize_text(text, tokenizer), tokenizer)


def read_text(bundle: Artifact, place: Corpus, _split: str, plan: TextPlan) -> Data:
    text, tokenizer = ingest_text(place, fingerprint(place), plan.ingest), bundle_tokenizer(bundle)
    return Data(text, tokenize_text(text, tokenizer), tokenizer)


def score_text(bundle: Artifact, stream: Artifact, plan: LanguageRecipe | TextPlan, split: str) -> Scored:
    how = LMScoringConfig(
        architecture=model_architecture(bundle), chunks=plan.chunks, batching=plan.batching, split=split
    )
    return Scored(evaluate_language_model(bundle, stream, how))


def language_page(bundle: Artifact, data: Data, found: dict[str, Scored], plan: Any, run: RunContext) -> Artifact:
    ((split, one),) = found.items()
    page = LanguagePage(title=run.title, split=split, settings=flat_settings(plan))
    return report_language_model(bundle, data.corpus, data.examples, one.scores, page, run.facts())


# Classification


def classification_data(place: Corpus, recipe: ClassificationRecipe, _source: Artifact | None) -> Data:
    shards = ingest_corpus(place, fingerprint(place), recipe.ingest, SPLITS)
    vocabularies = fit_classifier_vocabulary(shards, recipe.labels, recipe.features)
    return Data(
        shards, extract_features(shards, vocabularies, recipe.front_end, recipe.ingest.error_budget), vocabularies
    )


def score_predictions(
    bundle: Artifact, features: Artifact, plan: ClassificationRecipe | EvaluationPlan, split: str
) -> Scored:
    predictions = predict_labels(bundle, features, Inference(**inference(bundle, plan, split)))
    return Scored(evaluate_classifier(predictions, bundle_tokenizer(bundle), plan.scoring), (predictions,))


def classifier_page(bundle: Artifact, data: Data, found: dict[str, Scored], plan: Any, run: RunContext) -> Artifact:
    scores = tuple(one.scores for one in found.values())
    page = ClassifierPage(title=run.title, splits=tuple(found), settings=flat_settings(plan))
    return report_classifier(bundle, data.corpus, data.examples, scores, page, run.facts())


SPEECH = ModelKind(
    recipes=asr,
    ranking=Ranking(metric="wer", curve="dev_wer", curve_label="dev WER"),
    data=speech_data,
    train=train_asr,
    finish=speech_model,
    plan=search_plan,
    ready=lambda bundle, plan: check_adaptation(add_search_resources(bundle, plan, plan.beam), plan),
    read=read_shards,
    score=score_transcripts,
    page=speech_page,
    fine_tuned=fine_tuned,
)
LANGUAGE = ModelKind(
    recipes=language_model,
    ranking=Ranking(metric="loss", curve="dev_loss", curve_label="dev nats a token"),
    data=language_data,
    train=train_language_model,
    finish=lambda trained, _data, _recipe: trained,
    plan=text_plan,
    ready=lambda bundle, _plan: bundle,
    read=read_text,
    score=score_text,
    page=language_page,
)
CLASSIFICATION = ModelKind(
    recipes=classification,
    ranking=Ranking(metric="accuracy", curve="dev_error", curve_label="dev error rate", descending=True),
    data=classification_data,
    train=train_classifier,
    finish=lambda trained, _data, _recipe: trained,
    plan=classifier_plan,
    ready=check_adaptation,
    read=read_shards,
    score=score_predictions,
    page=classifier_page,
)
MODEL_KINDS = (SPEECH, LANGUAGE, CLASSIFICATION)
