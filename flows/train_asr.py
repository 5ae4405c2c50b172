"""From a speech corpus to a word error rate.

    corpus --ingest--> shards --featurize--> features --train--> bundle --decode--> transcripts --evaluate--> scores
                        | \\--fit_tokenizer--> tokenizer --^     ^        \\--report, publish--> page, registered model
                        \\--train_ngram--> language model --equip-+

Every arrow is a task; every name is an Artifact, a reference to bytes that never change. A task is skipped when its
code and the digests of its inputs are those of an earlier run.

    python -m flows.train_asr --corpus commonvoice:/data/cv-corpus-17.0/fa --recipe deep_speech_2_commonvoice
"""

from typing import Any

from prefect import flow

from flows.command_line import arguments, run
from flows.equipped import equipped
from flows.recipes import asr
from flows.results import summarise
from flows.start import chosen
from tasks.corpus import fingerprint
from tasks.decode import Decoding, decode
from tasks.evaluate import evaluate
from tasks.featurize import featurize
from tasks.ingest_corpus import ingest, splits_of
from tasks.publish import Outcome, Publication, publish
from tasks.report import Material, Page, report
from tasks.tokenizer import fit_tokenizer
from tasks.train import train
from tasks.training_run import Workers


@flow(name="train-asr", flow_run_name="{recipe} on {corpus}")
def train_asr(
    corpus: str = "demo:",
    recipe: str = "deep_speech_2_demo",
    settings: tuple[str, ...] = (),
    workers: int = 1,
    model_name: str = "asr",
    alias: str = "champion",
) -> dict[str, Any]:
    """Train a speech recogniser on a corpus, measure it, and register it.

    Args:
        corpus: KIND:URI, such as commonvoice:/data/cv/fa or an4:s3://bucket/an4 (kinds: tasks/ingest/).
        recipe: a function of flows/recipes/asr.py.
        settings: values to replace in the recipe, such as fit.epochs=20.
        workers: Ray Train workers; each takes a GPU where the cluster has them.
        model_name: what the model is registered as in MLflow.
        alias: the alias that its new version gets.
    """
    place, plan = chosen(corpus, recipe, settings, asr)
    shards = ingest(place, fingerprint(place), plan.ingest, ("train", "dev", "test"))
    tokenizer = fit_tokenizer(shards, plan.tokens)
    features = featurize(shards, tokenizer, plan.features, plan.ingest.error_budget)

    title = f"{recipe} on {place}"
    trained = train(features, tokenizer, plan.training, Workers(count=workers, run_name=title))
    bundle = equipped(trained, shards, tokenizer, plan)

    splits = tuple(split for split in ("test", "dev") if split in splits_of(shards))
    transcripts, scores = [], []
    for split in splits:
        how = {"architecture": plan.architecture, "batching": plan.batching, "adapt": plan.adapt}
        transcripts.append(decode(bundle, features, Decoding(beam=plan.beam, split=split, **how)))
        scores.append(evaluate(transcripts[-1], plan.scoring))

    material = Material(bundle, shards, features, tuple(transcripts), tuple(scores))
    page = report(material, Page(title=title, architecture=plan.architecture, splits=splits, adapt=plan.adapt))
    publication = Publication(run_name=title, corpus=str(place), recipe=recipe, name=model_name, alias=alias)
    data = (shards, features, *transcripts[:1])
    outcome = Outcome(bundle=bundle, page=page, splits=splits, scores=tuple(scores), data=data)
    run_key = train.key(features, tokenizer, plan.training)
    return summarise(outcome, publish(outcome, tokenizer, plan, run_key, publication))


if __name__ == "__main__":
    run(train_asr, arguments(__doc__, asr))
