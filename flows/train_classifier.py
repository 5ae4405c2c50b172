"""From labelled recordings or texts to a classifier.

corpus --ingest--> shards --featurize--> features --train--> bundle --predict--> predictions --evaluate--> scores
                      \\--fit_vocabularies--> labels --^         \\--report, publish--> page, registered model

python -m flows.train_classifier --corpus fsdd:/data/fsdd --recipe tdnn_digits --set ingest.test_speaker=theo
python -m flows.train_classifier --corpus labelled:/data/reviews.csv --recipe lstm_text
"""

from typing import Any

from prefect import flow

from flows.recipes import classification
from flows.shared.command_line import run_flow, training_arguments
from flows.shared.run_summary import summarize_run
from flows.shared.validate_inputs import resolve_recipe
from tasks.bundles.label_set import fit_label_set
from tasks.corpora.corpus_uri import fingerprint
from tasks.decoding.predict_labels import PredictionConfig, predict_labels
from tasks.features.extract_features import extract_features
from tasks.ingest.ingest_corpus import ingest_corpus, list_splits
from tasks.publishing.publish_model import Registration, RunOutcome, publish_model
from tasks.reports.report_classifier import ClassifierPage, report_classifier
from tasks.scoring.evaluate_classifier import evaluate_classifier
from tasks.training.ray_trainer import Workers
from tasks.training.train_classifier import train_classifier as train


@flow(name="train-classifier", flow_run_name="{recipe} on {corpus}")
def train_classifier(
    corpus: str,
    recipe: str = "tdnn_digits",
    settings: tuple[str, ...] = (),
    workers: int = 1,
    model_name: str = "classifier",
    alias: str = "champion",
) -> dict[str, Any]:
    """Train a classifier of recordings or texts, measure it, and register it.

    Args:
        corpus: KIND:URI, such as fsdd:/data/fsdd or labelled:s3://bucket/reviews.csv (kinds: tasks/corpora/readers/).
        recipe: a function of flows/recipes/classification.py.
        settings: values to replace in the recipe, such as fit.epochs=20.
        workers: Ray Train workers; each takes a GPU where the cluster has them.
        model_name: what the model is registered as in MLflow.
        alias: the alias that its new version gets.
    """
    place, plan = resolve_recipe(corpus, recipe, settings, classification)
    shards = ingest_corpus(place, fingerprint(place), plan.ingest, ("train", "dev", "test"))
    vocabularies = fit_label_set(shards, plan.labels, plan.features)
    features = extract_features(shards, vocabularies, plan.front_end, plan.ingest.error_budget)

    title = f"{recipe} on {place}"
    bundle = train(features, vocabularies, plan.training, Workers(count=workers, run_name=title))

    splits = tuple(split for split in ("test", "dev") if split in list_splits(shards))
    predictions, scores = [], []
    for split in splits:
        how = {"architecture": plan.architecture, "batching": plan.batching, "adapt": plan.adapt}
        predictions.append(predict_labels(bundle, features, PredictionConfig(split=split, **how)))
        scores.append(evaluate_classifier(predictions[-1], vocabularies, plan.scoring))

    page = report_classifier(bundle, shards, features, tuple(scores), ClassifierPage(title=title, splits=splits))
    publication = Registration(run_name=title, corpus=str(place), recipe=recipe, name=model_name, alias=alias)
    data = (shards, features, *predictions[:1])
    outcome = RunOutcome(bundle=bundle, page=page, splits=splits, scores=tuple(scores), data=data)
    run_key = train.key(features, vocabularies, plan.training)
    return summarize_run(outcome, publish_model(outcome, vocabularies, plan.training, run_key, publication))


if __name__ == "__main__":
    run_flow(train_classifier, training_arguments(__doc__, classification))
