"""From labeled recordings or texts to a classifier.

corpus --ingest--> shards ---extract---> features --train--> bundle --predict--> predictions --evaluate--> scores
                      \\---fit_vocabulary---> labels --^         \\--report, publish--> page, registered model

python -m flows.train_classifier --corpus fsdd:/data/fsdd --recipe tdnn_digits --set ingest.test_speaker=theo
python -m flows.train_classifier --corpus labeled:/data/reviews.csv --recipe lstm_text
"""

from functools import partial
from typing import Annotated, Any

from prefect import flow

from flows.command_line.form_fields import ALIAS, MODEL_NAME, corpus_field, recipe_field, settings_field, workers_field
from flows.kinds.classification import CLASSIFICATION
from flows.shared.command_line import run_flow, training_arguments
from flows.shared.training_flow import TrainingRequest, check_arguments, train_model


@flow(name="train-classifier", flow_run_name="{recipe} on {corpus}")
def train_classifier(
    corpus: Annotated[str, corpus_field("classification")],
    recipe: Annotated[str, recipe_field("classification")] = "tdnn_digits",
    settings: Annotated[tuple[str, ...], settings_field("fit.epochs=20")] = (),
    workers: Annotated[int, workers_field()] = 1,
    model_name: Annotated[str, MODEL_NAME] = "classifier",
    alias: Annotated[str, ALIAS] = "",
) -> dict[str, Any]:
    """Train a classifier of recordings or texts, measure it, and register it.

    Args:
        corpus: KIND:URI, such as fsdd:/data/fsdd or labeled:s3://bucket/reviews.csv (kinds: tasks/corpora/readers/).
        recipe: a function of flows/recipes/classification.py.
        settings: values to replace in the recipe, such as fit.epochs=20.
        workers: Ray Train workers; each takes a GPU where the cluster has them; 0: the training in this process.
        model_name: what the model is registered as in MLflow.
        alias: of its new version; empty: champion where it is the first or better on the same data, else challenger.
    """
    return train_model(CLASSIFICATION, TrainingRequest(corpus, recipe, settings, workers, model_name, alias))


if __name__ == "__main__":
    run_flow(train_classifier, training_arguments("train_classifier", partial(check_arguments, CLASSIFICATION)))
