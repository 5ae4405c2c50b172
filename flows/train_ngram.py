"""From plain text to an n-gram language model.

text --ingest_text--> lines --fit_line_tokenizer--> tokenizer
lines, tokenizer --train--> counts, smoothed --evaluate--> scores of the lines held out --report, publish--> model

python -m flows.train_ngram --corpus text:/data/fables.txt --recipe word_trigram
"""

from typing import Any

from prefect import flow

from flows.command_line import arguments, run
from flows.recipes import ngram
from flows.results import summarise
from flows.start import chosen
from tasks.corpus import fingerprint
from tasks.ingest_text import ingest_text
from tasks.ngram.evaluate import evaluate_ngram
from tasks.ngram.report import NGramPage, report_ngram
from tasks.ngram.tokenizer import fit_line_tokenizer
from tasks.ngram.train import train_ngram as train
from tasks.publish import Outcome, Publication, publish


@flow(name="train-ngram", flow_run_name="{recipe} on {corpus}")
def train_ngram(
    corpus: str,
    recipe: str = "word_trigram",
    settings: tuple[str, ...] = (),
    model_name: str = "ngram",
    alias: str = "champion",
) -> dict[str, Any]:
    """Count the n-grams of plain text on all cores, smooth them, measure the model on lines held out, and register it.

    Args:
        corpus: text:URI, a file, a folder, an archive or s3://bucket/prefix of .txt, .txt.gz, .txt.zst.
        recipe: a function of flows/recipes/ngram.py.
        settings: values to replace in the recipe, such as ngram.order=4.
        model_name: what the model is registered as in MLflow.
        alias: the alias that its new version gets.
    """
    place, plan = chosen(corpus, recipe, settings, ngram)
    text = ingest_text(place, fingerprint(place), plan.ingest)
    tokenizer = fit_line_tokenizer(text, plan.tokens, plan.split)
    model = train(text, tokenizer, plan.training)
    scores = evaluate_ngram(model, text, plan.split)

    title = f"{recipe} on {place}"
    page = report_ngram(model, text, scores, NGramPage(title=title))
    outcome = Outcome(bundle=model, page=page, splits=("dev",), scores=(scores,), data=(text,))
    publication = Publication(run_name=title, corpus=str(place), recipe=recipe, name=model_name, alias=alias)
    run_key = train.key(text, tokenizer, plan.training)
    return summarise(outcome, publish(outcome, tokenizer, plan.training, run_key, publication))


if __name__ == "__main__":
    run(train_ngram, arguments(__doc__, ngram, workers=False))
