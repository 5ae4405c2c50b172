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

from flows.recipes import asr
from flows.shared.command_line import run_flow, training_arguments
from flows.shared.decoder_setup import add_decoder
from flows.shared.run_summary import summarize_run
from flows.shared.validate_inputs import resolve_recipe
from tasks.corpora.corpus_uri import fingerprint
from tasks.decoding.decode_speech import DecodingConfig, decode_speech
from tasks.features.extract_features import extract_features
from tasks.ingest.ingest_corpus import ingest_corpus, list_splits
from tasks.publishing.publish_model import Registration, RunOutcome, publish_model
from tasks.reports.report_asr import ASRPage, ReportInputs, report_asr
from tasks.scoring.evaluate_asr import evaluate_asr
from tasks.text.tokenizer import fit_tokenizer
from tasks.training.ray_trainer import Workers
from tasks.training.train_asr import train_asr as train


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
        corpus: KIND:URI, such as commonvoice:/data/cv/fa or an4:s3://bucket/an4 (kinds: tasks/corpora/readers/).
        recipe: a function of flows/recipes/asr.py.
        settings: values to replace in the recipe, such as fit.epochs=20.
        workers: Ray Train workers; each takes a GPU where the cluster has them.
        model_name: what the model is registered as in MLflow.
        alias: the alias that its new version gets.
    """
    place, plan = resolve_recipe(corpus, recipe, settings, asr)
    shards = ingest_corpus(place, fingerprint(place), plan.ingest, ("train", "dev", "test"))
    tokenizer = fit_tokenizer(shards, plan.tokens)
    features = extract_features(shards, tokenizer, plan.features, plan.ingest.error_budget)

    title = f"{recipe} on {place}"
    trained = train(features, tokenizer, plan.training, Workers(count=workers, run_name=title))
    bundle = add_decoder(trained, shards, tokenizer, plan)

    splits = tuple(split for split in ("test", "dev") if split in list_splits(shards))
    transcripts, scores = [], []
    for split in splits:
        how = {"architecture": plan.architecture, "batching": plan.batching, "adapt": plan.adapt}
        transcripts.append(decode_speech(bundle, features, DecodingConfig(beam=plan.beam, split=split, **how)))
        scores.append(evaluate_asr(transcripts[-1], plan.scoring))

    material = ReportInputs(bundle, shards, features, tuple(transcripts), tuple(scores))
    page = report_asr(material, ASRPage(title=title, architecture=plan.architecture, splits=splits, adapt=plan.adapt))
    publication = Registration(run_name=title, corpus=str(place), recipe=recipe, name=model_name, alias=alias)
    data = (shards, features, *transcripts[:1])
    outcome = RunOutcome(bundle=bundle, page=page, splits=splits, scores=tuple(scores), data=data)
    run_key = train.key(features, tokenizer, plan.training)
    return summarize_run(outcome, publish_model(outcome, tokenizer, plan, run_key, publication))


if __name__ == "__main__":
    run_flow(train_asr, training_arguments(__doc__, asr))
