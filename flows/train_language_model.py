"""From plain text to a language model.

text --ingest_text--> pieces --tokenize--> stream --train--> bundle --evaluate--> scores --report, publish--> model
                         \\--fit_text_tokenizer--> tokenizer

python -m flows.train_language_model --corpus text:/data/fables.txt --recipe char_rnn_fables
"""

from typing import Any

from prefect import flow

from flows.recipes import language_model
from flows.shared.command_line import run_flow, training_arguments
from flows.shared.run_summary import summarize_run
from flows.shared.validate_inputs import resolve_recipe
from tasks.batches.token_stream import fit_text_tokenizer, tokenize_text
from tasks.corpora.corpus_uri import fingerprint
from tasks.ingest.ingest_text import ingest_text
from tasks.publishing.publish_model import Registration, RunOutcome, publish_model
from tasks.reports.report_language_model import LanguagePage, report_language_model
from tasks.scoring.evaluate_language_model import LMScoringConfig, evaluate_language_model
from tasks.training.ray_trainer import Workers
from tasks.training.train_language_model import train_language_model as train


@flow(name="train-language-model", flow_run_name="{recipe} on {corpus}")
def train_language_model(
    corpus: str,
    recipe: str = "char_rnn_fables",
    settings: tuple[str, ...] = (),
    workers: int = 1,
    model_name: str = "language-model",
    alias: str = "champion",
) -> dict[str, Any]:
    """Train a language model on plain text, measure it, and register it.

    Args:
        corpus: text:URI, a file, a folder, an archive or s3://bucket/prefix of .txt, .txt.gz, .txt.zst.
        recipe: a function of flows/recipes/language_model.py.
        settings: values to replace in the recipe, such as training.fit.epochs=20.
        workers: Ray Train workers; each takes a GPU where the cluster has them.
        model_name: what the model is registered as in MLflow.
        alias: the alias that its new version gets.
    """
    place, plan = resolve_recipe(corpus, recipe, settings, language_model)
    text = ingest_text(place, fingerprint(place), plan.ingest)
    tokenizer = fit_text_tokenizer(text, plan.tokens)
    stream = tokenize_text(text, tokenizer)

    title = f"{recipe} on {place}"
    bundle = train(stream, tokenizer, plan.training, Workers(count=workers, run_name=title))
    reading = LMScoringConfig(
        architecture=plan.architecture, chunks=plan.training.chunks, batching=plan.training.batching
    )
    scores = evaluate_language_model(bundle, stream, reading)

    page = report_language_model(bundle, text, stream, scores, LanguagePage(title=title))
    outcome = RunOutcome(bundle=bundle, page=page, splits=("dev",), scores=(scores,), data=(text, stream))
    publication = Registration(run_name=title, corpus=str(place), recipe=recipe, name=model_name, alias=alias)
    run_key = train.key(stream, tokenizer, plan.training)
    return summarize_run(outcome, publish_model(outcome, tokenizer, plan.training, run_key, publication))


if __name__ == "__main__":
    run_flow(train_language_model, training_arguments(__doc__, language_model))
