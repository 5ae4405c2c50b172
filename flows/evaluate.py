"""A trained model, of whatever kind, on a corpus it has never seen.

bundle, corpus --ingest--> shards ---extract---> features --decode--> transcripts --evaluate, report--> page
                                                           \\--predict--> predictions --evaluate, report--> page
               --ingest_text--> text --tokenize--> stream --evaluate, report--> page

python -m flows.evaluate --model asr@champion --corpus commonvoice:/data/cv/fa --split test
python -m flows.evaluate --model language-model@champion --corpus text:/data/other.txt
python -m flows.evaluate --model translation@champion --corpus parallel:/data/pairs
"""

import time
from typing import Annotated, Any

from prefect import flow

from flows.command_line.form_fields import MODEL, SPLIT, corpus_field, settings_field
from flows.kinds.every_kind import model_kind
from flows.shared.command_line import model_arguments, run_flow
from flows.shared.overrides import override
from flows.shared.run_context import RunContext, registered_name
from flows.shared.run_summary import summarize_run
from tasks.bundles.find_model import find_model
from tasks.corpora.corpus_uri import parse_corpus
from tasks.publishing.publish_model import EvaluationRun, log_evaluation


@flow(name="evaluate", flow_run_name="{model} on {corpus} {split}")
def evaluate_model(
    model: Annotated[str, MODEL] = "asr@champion",
    corpus: Annotated[
        str, corpus_field("asr", "classification", "language_model", "translation", "captioning")
    ] = "demo:",
    split: Annotated[str, SPLIT] = "test",
    settings: Annotated[tuple[str, ...], settings_field("beam.width=32")] = (),
) -> dict[str, Any]:
    """Measure a trained model on one split of a corpus.

    Args:
        model: NAME@ALIAS in MLflow's registry, or the path of a bundle; with commas several that write together.
        corpus: KIND:URI, as for training.
        split: train, dev or test. A text is divided into train and dev as in training; test is all of it.
        settings: values to replace, such as beam.width=32 or ingest.max_seconds=90; of a recognizer also lm=NAME@ALIAS,
            lexicon=PATH and hotwords=WORD,WORD.
    """
    started = time.time()
    bundle = find_model(model)
    kind = model_kind(bundle)
    place, plan = parse_corpus(corpus, kind.recipes.VERB), override(kind.plan(bundle), settings)
    ready = kind.ready(bundle, plan)
    data = kind.read(ready, place, split, plan)
    run = RunContext(f"{model} on {place}", started, registered_name(model))
    outcome = kind.outcome(ready, data, plan, (split,), run)
    return summarize_run(outcome, log_evaluation(outcome, EvaluationRun(model=model, corpus=str(place), split=split)))


if __name__ == "__main__":
    run_flow(evaluate_model, model_arguments("evaluate", "utterances", "labeled", "documents", "pairs", "photos"))
