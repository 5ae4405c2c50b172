"""From labelled recordings or texts to a classifier.

corpus --ingest--> shards --featurize--> features --train--> bundle --predict--> predictions --evaluate--> scores
                      \\--fit_vocabularies--> labels --^         \\--report, publish--> page, registered model

python -m flows.train_classifier --corpus fsdd:/data/fsdd --recipe tdnn_digits --set ingest.test_speaker=theo
python -m flows.train_classifier --corpus labelled:/data/reviews.csv --recipe lstm_text
"""

from typing import Any

from prefect import flow

from flows.command_line import arguments, run
from flows.recipes import classification
from flows.results import summarise
from flows.start import chosen
from tasks.corpus import fingerprint
from tasks.evaluate_classifier import evaluate_classifier
from tasks.featurize import featurize
from tasks.ingest_corpus import ingest, splits_of
from tasks.predict import Predicting, predict
from tasks.publish import Outcome, Publication, publish
from tasks.report_classifier import ClassifierPage, report_classifier
from tasks.train_classifier import train_classifier as train
from tasks.training_run import Workers
from tasks.vocabularies import fit_vocabularies


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
        corpus: KIND:URI, such as fsdd:/data/fsdd or labelled:s3://bucket/reviews.csv (kinds: tasks/ingest/).
        recipe: a function of flows/recipes/classification.py.
        settings: values to replace in the recipe, such as fit.epochs=20.
        workers: Ray Train workers; each takes a GPU where the cluster has them.
        model_name: what the model is registered as in MLflow.
        alias: the alias that its new version gets.
    """
    place, plan = chosen(corpus, recipe, settings, classification)
    shards = ingest(place, fingerprint(place), plan.ingest, ("train", "dev", "test"))
    vocabularies = fit_vocabularies(shards, plan.labels, plan.features)
    features = featurize(shards, vocabularies, plan.front_end, plan.ingest.error_budget)

    title = f"{recipe} on {place}"
    bundle = train(features, vocabularies, plan.training, Workers(count=workers, run_name=title))

    splits = tuple(split for split in ("test", "dev") if split in splits_of(shards))
    predictions, scores = [], []
    for split in splits:
        how = {"architecture": plan.architecture, "batching": plan.batching, "adapt": plan.adapt}
        predictions.append(predict(bundle, features, Predicting(split=split, **how)))
        scores.append(evaluate_classifier(predictions[-1], vocabularies, plan.scoring))

    page = report_classifier(bundle, shards, features, tuple(scores), ClassifierPage(title=title, splits=splits))
    publication = Publication(run_name=title, corpus=str(place), recipe=recipe, name=model_name, alias=alias)
    data = (shards, features, *predictions[:1])
    outcome = Outcome(bundle=bundle, page=page, splits=splits, scores=tuple(scores), data=data)
    run_key = train.key(features, vocabularies, plan.training)
    return summarise(outcome, publish(outcome, vocabularies, plan.training, run_key, publication))


if __name__ == "__main__":
    run(train_classifier, arguments(__doc__, classification))
