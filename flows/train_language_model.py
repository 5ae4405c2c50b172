"""From plain text to a language model.

text --ingest_text--> pieces --tokenize--> stream --train--> bundle --evaluate--> scores --report, publish--> model
                         \\--fit_text_tokenizer--> tokenizer

python -m flows.train_language_model --corpus text:/data/fables.txt --recipe char_rnn_fables
"""

from typing import Any

from prefect import flow

from flows.command_line import arguments, run
from flows.recipes import language
from flows.results import summarise
from flows.start import chosen
from tasks.corpus import fingerprint
from tasks.evaluate_language_model import Reading, evaluate_language_model
from tasks.ingest_text import ingest_text
from tasks.publish import Outcome, Publication, publish
from tasks.report_language_model import LanguagePage, report_language_model
from tasks.stream import fit_text_tokenizer, tokenize
from tasks.train_language_model import train_language_model as train
from tasks.training_run import Workers


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
        recipe: a function of flows/recipes/language.py.
        settings: values to replace in the recipe, such as training.fit.epochs=20.
        workers: Ray Train workers; each takes a GPU where the cluster has them.
        model_name: what the model is registered as in MLflow.
        alias: the alias that its new version gets.
    """
    place, plan = chosen(corpus, recipe, settings, language)
    text = ingest_text(place, fingerprint(place), plan.ingest)
    tokenizer = fit_text_tokenizer(text, plan.tokens)
    stream = tokenize(text, tokenizer)

    title = f"{recipe} on {place}"
    bundle = train(stream, tokenizer, plan.training, Workers(count=workers, run_name=title))
    reading = Reading(architecture=plan.architecture, chunks=plan.training.chunks, batching=plan.training.batching)
    scores = evaluate_language_model(bundle, stream, reading)

    page = report_language_model(bundle, text, stream, scores, LanguagePage(title=title))
    outcome = Outcome(bundle=bundle, page=page, splits=("dev",), scores=(scores,), data=(text, stream))
    publication = Publication(run_name=title, corpus=str(place), recipe=recipe, name=model_name, alias=alias)
    run_key = train.key(stream, tokenizer, plan.training)
    return summarise(outcome, publish(outcome, tokenizer, plan.training, run_key, publication))


if __name__ == "__main__":
    run(train_language_model, arguments(__doc__, language))
