"""From photos and their captions to a captioner.

corpus --ingest--> shards ---extract---> features --train--> bundle --decode--> captions --evaluate--> scores
                      \\---fit_tokenizer--> words --^          \\--report, publish--> page, registered model

Where the backbone learns (train_backbone), it is trained on the photos of the shards, and the features that are decoded
are those of the bundle's own.

python -m flows.train_captioning --corpus scenes: --recipe show_attend_tell_demo
python -m flows.train_captioning --corpus coco:/data/flickr8k --recipe show_attend_tell_flickr8k
python -m flows.train_captioning --corpus captions:/data/photos.csv
python -m flows.train_captioning --corpus captions:/data/photos.csv --from captioning@champion
"""

from functools import partial
from typing import Annotated, Any

from prefect import flow

from flows.command_line.form_fields import ALIAS, MODEL_NAME, corpus_field, recipe_field, settings_field, workers_field
from flows.kinds.captioning import CAPTIONING
from flows.shared.command_line import run_flow, training_arguments
from flows.shared.training_flow import TrainingRequest, check_arguments, train_model


@flow(name="train-captioning", flow_run_name="{recipe} on {corpus}")
def train_captioning(
    corpus: Annotated[str, corpus_field("captioning")] = "scenes:",
    recipe: Annotated[str, recipe_field("captioning", others=("auto",))] = "show_attend_tell_demo",
    settings: Annotated[tuple[str, ...], settings_field("fit.epochs=20")] = (),
    workers: Annotated[int, workers_field()] = 1,
    model_name: Annotated[str, MODEL_NAME] = "captioning",
    alias: Annotated[str, ALIAS] = "",
) -> dict[str, Any]:
    """Train a captioner on photos, measure it, and register it.

    Args:
        corpus: KIND:URI, such as coco:/data/flickr8k or captions:s3://bucket/photos.csv (tasks/corpora/readers/).
        recipe: a function of flows/recipes/captioning.py; auto: captioning_small, or show_attend_tell_fine_tune
            where it starts from a model.
        settings: values to replace in the recipe, such as fit.epochs=20; and init_from=NAME@ALIAS or init_from=PATH, a
            model to start from.
        workers: Ray Train workers; each takes a GPU where the cluster has them; 0: the training in this process.
        model_name: what the model is registered as in MLflow.
        alias: of its new version; empty: champion where it is the first or better on the same data, else challenger.
    """
    return train_model(CAPTIONING, TrainingRequest(corpus, recipe, settings, workers, model_name, alias))


if __name__ == "__main__":
    run_flow(train_captioning, training_arguments("train_captioning", partial(check_arguments, CAPTIONING)))
