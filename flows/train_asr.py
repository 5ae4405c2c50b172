"""From a speech corpus to a word error rate.

    corpus --ingest--> shards ---extract---> features --train--> bundle --decode--> transcripts --evaluate--> scores
                        | \\--fit_tokenizer--> tokenizer --^     ^        \\--report, publish--> page, registered model
                        \\--train_ngram--> language model --add---+

Every arrow is a task; every name is an Artifact, a reference to bytes that never change. A task is skipped when its
code and the digests of its inputs are those of an earlier run.

    python -m flows.train_asr --corpus commonvoice:/data/cv-corpus-17.0/fa
    python -m flows.train_asr --corpus manifest:/data/ten_minutes.jsonl --from asr@champion
"""

from functools import partial
from typing import Annotated, Any

from prefect import flow

from flows.command_line.form_fields import ALIAS, MODEL_NAME, corpus_field, recipe_field, settings_field, workers_field
from flows.kinds.speech import SPEECH
from flows.shared.command_line import run_flow, training_arguments
from flows.shared.training_flow import TrainingRequest, check_arguments, train_model


@flow(name="train-asr", flow_run_name="{recipe} on {corpus}")
def train_asr(
    corpus: Annotated[str, corpus_field("asr")] = "demo:",
    recipe: Annotated[str, recipe_field("asr", others=("auto",))] = "auto",
    settings: Annotated[tuple[str, ...], settings_field("fit.epochs=20")] = (),
    workers: Annotated[int, workers_field()] = 1,
    model_name: Annotated[str, MODEL_NAME] = "asr",
    alias: Annotated[str, ALIAS] = "",
) -> dict[str, Any]:
    """Train a speech recognizer on a corpus, measure it, and register it.

    Args:
        corpus: KIND:URI, such as commonvoice:/data/cv/fa or an4:s3://bucket/an4 (kinds: tasks/corpora/readers/).
        recipe: a function of flows/recipes/asr.py; auto: the one that fits the corpus' hours and the machine.
        settings: values to replace in the recipe, such as fit.epochs=20; and init_from=NAME@ALIAS or init_from=PATH, a
            model to start from (fine-tuning).
        workers: Ray Train workers; each takes a GPU where the cluster has them; 0: the training in this process.
        model_name: what the model is registered as in MLflow.
        alias: of its new version; empty: champion where it is the first or better on the same data, else challenger.
    """
    return train_model(SPEECH, TrainingRequest(corpus, recipe, settings, workers, model_name, alias))


if __name__ == "__main__":
    run_flow(train_asr, training_arguments("train_asr", partial(check_arguments, SPEECH)))
