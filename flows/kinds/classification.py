"""Classifiers of sequences."""

from typing import Any

from flows.kinds.model_kind import SPLITS, Data, ModelKind, Scored, inference, read_shards
from flows.recipes import ClassificationRecipe, classification
from flows.shared.evaluation_plan import (
    EvaluationPlan,
    check_adaptation,
    classifier_plan,
)
from flows.shared.run_context import RunContext, flat_settings
from infra.artifact_store import Artifact
from tasks.bundles.fit_classifier_vocabulary import fit_classifier_vocabulary
from tasks.bundles.model_bundle import (
    bundle_tokenizer,
)
from tasks.corpora.corpus_uri import Corpus, fingerprint
from tasks.decoding.predict_labels import predict_labels
from tasks.decoding.shard_inference import Inference
from tasks.features.extract_features import extract_features
from tasks.ingest.ingest_corpus import ingest_corpus
from tasks.reports.report_classifier import ClassifierPage, report_classifier
from tasks.scoring.evaluate_classifier import evaluate_classifier
from tasks.training.leaderboard import Ranking
from tasks.training.train_classifier import train_classifier


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
