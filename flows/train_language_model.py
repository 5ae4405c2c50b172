"""From plain text to a language model.

text --ingest_text--> pieces --tokenize--> stream --train--> bundle --evaluate--> scores --report, publish--> model
                         \\--fit_text_tokenizer--> tokenizer

python -m flows.train_language_model --corpus text:/data/fables.txt --recipe char_rnn_fables
"""

from functools import partial
from typing import Annotated, Any

from prefect import flow

from flows.command_line.form_fields import ALIAS, MODEL_NAME, corpus_field, recipe_field, settings_field, workers_field
from flows.kinds.language import LANGUAGE
from flows.shared.command_line import run_flow, training_arguments
from flows.shared.training_flow import TrainingRequest, check_arguments, train_model


@flow(name="train-language-model", flow_run_name="{recipe} on {corpus}")
def train_language_model(
    corpus: Annotated[str, corpus_field("language_model")],
    recipe: Annotated[str, recipe_field("language_model")] = "char_rnn_fables",
    settings: Annotated[tuple[str, ...], settings_field("fit.epochs=20")] = (),
    workers: Annotated[int, workers_field()] = 1,
    model_name: Annotated[str, MODEL_NAME] = "language-model",
    alias: Annotated[str, ALIAS] = "",
) -> dict[str, Any]:
    """Train a language model on plain text, measure it, and register it.

    Args:
        corpus: text:URI, a file, a folder, an archive or s3://bucket/prefix of .txt, .txt.gz, .txt.zst.
        recipe: a function of flows/recipes/language_model.py.
        settings: values to replace in the recipe, such as training.fit.epochs=20.
        workers: Ray Train workers; each takes a GPU where the cluster has them; 0: the training in this process.
        model_name: what the model is registered as in MLflow.
        alias: of its new version; empty: champion where it is the first or better on the same data, else challenger.
    """
    return train_model(LANGUAGE, TrainingRequest(corpus, recipe, settings, workers, model_name, alias))


if __name__ == "__main__":
    run_flow(train_language_model, training_arguments("train_language_model", partial(check_arguments, LANGUAGE)))
