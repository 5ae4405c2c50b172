"""From plain text to an n-gram language model.

text --ingest_text--> lines --fit_line_tokenizer--> tokenizer
lines, tokenizer --train--> counts, smoothed --evaluate--> scores of the lines held out --report, publish--> model

python -m flows.train_ngram --corpus text:/data/fables.txt --recipe word_trigram
"""

from typing import Annotated, Any

from prefect import flow

from flows.command_line.form_fields import ALIAS, MODEL_NAME, corpus_field, recipe_field, settings_field
from flows.recipes import ngram
from flows.shared.command_line import run_flow, training_arguments
from flows.shared.run_summary import summarize_run
from flows.shared.validate_inputs import resolve_recipe
from tasks.corpora.corpus_uri import fingerprint
from tasks.ingest.ingest_text import ingest_text
from tasks.ngram.evaluate_ngram import evaluate_ngram
from tasks.ngram.fit_line_tokenizer import fit_line_tokenizer
from tasks.ngram.train_ngram import train_ngram as train
from tasks.publishing.publish_model import Registration, RunOutcome, publish_model, track_training
from tasks.reports.report_ngram import NGramPage, report_ngram
from tasks.training.leaderboard import Ranking

RANKING = Ranking(metric="perplexity", curve="", curve_label="")  # on the same lines in the same tokens


@flow(name="train-ngram", flow_run_name="{recipe} on {corpus}")
def train_ngram(
    corpus: Annotated[str, corpus_field("ngram")],
    recipe: Annotated[str, recipe_field("ngram")] = "word_trigram",
    settings: Annotated[tuple[str, ...], settings_field("ngram.order=4")] = (),
    model_name: Annotated[str, MODEL_NAME] = "ngram",
    alias: Annotated[str, ALIAS] = "",
) -> dict[str, Any]:
    """Count the n-grams of plain text on all cores, smooth them, measure the model on lines held out, and register it.

    Args:
        corpus: text:URI, a file, a folder, an archive or s3://bucket/prefix of .txt, .txt.gz, .txt.zst.
        recipe: a function of flows/recipes/ngram.py.
        settings: values to replace in the recipe, such as ngram.order=4.
        model_name: what the model is registered as in MLflow.
        alias: of its new version; empty: champion where it is the first or better on the same data, else challenger.
    """
    place, plan = resolve_recipe(corpus, recipe, settings, ngram)
    title = f"{recipe} on {place}"
    publication = Registration(run_name=title, corpus=str(place), recipe=recipe, name=model_name, alias=alias)
    text = ingest_text(place, fingerprint(place), plan.ingest)
    tokenizer = fit_line_tokenizer(text, plan.tokens, plan.split)
    key = train.key(text, tokenizer, plan.training)
    with track_training(key, publication, plan.training, (text,)):
        model = train(text, tokenizer, plan.training)
        scores = evaluate_ngram(model, text, plan.split)
        page = report_ngram(model, text, scores, NGramPage(title=title))
        outcome = RunOutcome(bundle=model, page=page, splits=("dev",), scores=(scores,), data=(text,), ranking=RANKING)
        published = publish_model(outcome, tokenizer, plan.training, key, publication)
    return summarize_run(outcome, published)


if __name__ == "__main__":
    run_flow(
        train_ngram,
        training_arguments("train_ngram", lambda told: resolve_recipe(told.corpus, told.recipe, told.settings, ngram)),
    )
