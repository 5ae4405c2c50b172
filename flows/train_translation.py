"""From sentence pairs to a translator.

corpus --ingest--> shards ---extract---> features --train--> bundle --decode--> translations --evaluate--> scores
                      \\---fit_vocabularies--> tokens --^         \\--report, publish--> page, registered model

python -m flows.train_translation --corpus multi30k:/data/multi30k --recipe transformer_multi30k_en_de
python -m flows.train_translation --corpus parallel:/data/mine --recipe translation_small \\
    --source-language en --target-language de
python -m flows.train_translation --corpus parallel:/data/of_one_subject --from translation@champion
"""

from functools import partial
from typing import Annotated, Any

from prefect import flow

from flows.command_line.form_fields import ALIAS, MODEL_NAME, corpus_field, recipe_field, settings_field, workers_field
from flows.kinds.translation import TRANSLATION
from flows.shared.command_line import run_flow, training_arguments
from flows.shared.training_flow import TrainingRequest, check_arguments, train_model


@flow(name="train-translation", flow_run_name="{recipe} on {corpus}")
def train_translation(
    corpus: Annotated[str, corpus_field("translation")],
    recipe: Annotated[str, recipe_field("translation", others=("auto",))] = "auto",
    settings: Annotated[tuple[str, ...], settings_field("ingest.source_language=en")] = (),
    workers: Annotated[int, workers_field()] = 1,
    model_name: Annotated[str, MODEL_NAME] = "translation",
    alias: Annotated[str, ALIAS] = "",
) -> dict[str, Any]:
    """Train a translator on sentence pairs, measure it, and register it.

    Args:
        corpus: KIND:URI, such as multi30k:/data/multi30k or parallel:s3://bucket/pairs (kinds: tasks/corpora/readers/).
        recipe: a function of flows/recipes/translation.py; auto: translation_small, or translation_fine_tune where it
            starts from a model.
        settings: values to replace in the recipe, such as ingest.source_language=en and ingest.target_language=de; and
            init_from=NAME@ALIAS or init_from=PATH, a model to start from (fine-tuning), whose languages it then has.
        workers: Ray Train workers; each takes a GPU where the cluster has them; 0: the training in this process.
        model_name: what the model is registered as in MLflow.
        alias: of its new version; empty: champion where it is the first or better on the same data, else challenger.
    """
    return train_model(TRANSLATION, TrainingRequest(corpus, recipe, settings, workers, model_name, alias))


if __name__ == "__main__":
    run_flow(train_translation, training_arguments("train_translation", partial(check_arguments, TRANSLATION)))
