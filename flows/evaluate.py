"""A trained model on a corpus it has never seen: a recogniser, a classifier or a language model.

bundle, corpus --ingest--> shards --featurize--> features --decode--> transcripts --evaluate, report--> page
                                                           \\--predict--> predictions --evaluate, report--> page
               --ingest_text--> text --tokenize--> stream --evaluate, report--> page

python -m flows.evaluate --model asr@champion --corpus commonvoice:/data/cv/fa --split test
python -m flows.evaluate --model language-model@champion --corpus text:/data/other.txt
"""

from typing import Any

from prefect import flow

from flows.command_line import Parser, model_arguments, run
from flows.measured import kind_of
from flows.overrides import override
from flows.results import summarise
from infra import tracking
from tasks.bundle import adopt
from tasks.corpus import parse
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
        split: train, dev or test. A text is divided into train and dev as in training; test is all of it.
        settings: values to replace, such as beam.width=32 or ingest.max_seconds=90; of a recogniser also lm=NAME@ALIAS,
            lexicon=PATH and hotwords=WORD,WORD.
    """
    bundle = adopt(tracking.resolve_model(model))
    kind = kind_of(bundle)
    place, plan = parse(corpus, kind.verb), override(kind.plan(bundle), settings)
    ready = kind.ready(bundle, plan)

    data = kind.data(place, split, bundle, plan)
    scores, page, said = kind.measure(ready, data, plan, (split, f"{model} on {place}"))
    outcome = Outcome(bundle=bundle, page=page, splits=(split,), scores=(scores,), data=(*data, *said))
    return summarise(outcome, record(outcome, Measured(model=model, corpus=str(place), split=split)))


if __name__ == "__main__":
    run(evaluate_model, model_arguments(Parser(description=__doc__), "test", "utterances", "labelled", "documents"))
