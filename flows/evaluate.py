"""A trained model, a recogniser or a classifier, on a corpus it has never seen.

bundle, corpus --ingest--> shards --featurize--> features --decode--> transcripts --evaluate, report--> page
                                                           \\--predict--> predictions --evaluate, report--> page

python -m flows.evaluate --model asr@champion --corpus commonvoice:/data/cv/fa --split test
"""

from typing import Any

from prefect import flow

from flows.command_line import Parser, model_arguments, run
from flows.measured import kind_of
from flows.overrides import override
from flows.results import summarise
from infra import tracking
from tasks.bundle import adopt, front_end_of, tokenizer_of
from tasks.corpus import fingerprint, parse
from tasks.featurize import featurize
from tasks.ingest_corpus import ingest
from tasks.publish import Measured, Outcome, record


@flow(name="evaluate", flow_run_name="{model} on {corpus} {split}")
def evaluate_model(
    model: str = "asr@champion",
    corpus: str = "demo:",
    split: str = "test",
    settings: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Measure a trained model on one split of a corpus.

    Args:
        model: NAME@ALIAS in MLflow's registry, or the path of a bundle.
        corpus: KIND:URI, as for training.
        split: train, dev or test.
        settings: values to replace, such as beam.width=32 or ingest.max_seconds=90; of a recogniser also lm=NAME@ALIAS,
            lexicon=PATH and hotwords=WORD,WORD.
    """
    bundle = adopt(tracking.resolve_model(model))
    kind = kind_of(bundle)
    place, plan = parse(corpus, kind.verb), override(kind.plan(bundle), settings)
    ready = kind.ready(bundle, plan)

    shards = ingest(place, fingerprint(place), plan.ingest, (split,))
    features = featurize(shards, tokenizer_of(bundle), front_end_of(bundle), plan.ingest.error_budget)
    said, scores, page = kind.measure(ready, (shards, features), plan, (split, f"{model} on {place}"))
    data = (shards, features, said)
    outcome = Outcome(bundle=bundle, page=page, splits=(split,), scores=(scores,), data=data)
    return summarise(outcome, record(outcome, Measured(model=model, corpus=str(place), split=split)))


if __name__ == "__main__":
    run(evaluate_model, model_arguments(Parser(description=__doc__), "test", "utterances", "labelled"))
