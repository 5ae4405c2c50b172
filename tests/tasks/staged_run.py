"""The stages of a recognizer, from corpus to transcripts, in a process that a test can hold up before each of them."""

import sys

from training_corpus import training

from infra.errors import one_line_errors
from models.interface import Beam
from tasks.bundles.bundle_files import read_architecture
from tasks.corpora.corpus_uri import IngestConfig, fingerprint, parse_corpus
from tasks.decoding.decode_speech import DecodingConfig, decode_speech
from tasks.features.extract_features import extract_features
from tasks.features.front_end import FrontEnd
from tasks.ingest.ingest_corpus import ingest_corpus
from tasks.steps.in_process import run_in_process
from tasks.text.tokenizer import TokenizerConfig, fit_tokenizer
from tasks.training.run_training import Workers
from tasks.training.train_asr import train_asr

STAGES = ("ingest", "features", "training", "decoding")


def stage(name: str) -> None:
    """Say that it begins, and wait for a line."""
    print(name, flush=True)
    sys.stdin.readline()


def main(place: str, error_budget: float, epochs: int) -> None:
    stage("ingest")
    corpus, every = parse_corpus(place), ("train", "dev", "test")
    shards = ingest_corpus(corpus, fingerprint(corpus), IngestConfig(error_budget=error_budget), every)
    stage("features")
    tokenizer = fit_tokenizer(shards, TokenizerConfig())
    features = extract_features(shards, tokenizer, FrontEnd(sample_rate=8000, mels=8), 0.5)
    stage("training")
    work = training(epochs, checkpoint_steps=1)
    bundle = train_asr(features, tokenizer, work, Workers(count=0))
    stage("decoding")
    how = DecodingConfig(
        architecture=read_architecture(bundle), split="test", batching=work.batching, beam=Beam(width=2)
    )
    print(shards, tokenizer, features, bundle, decode_speech(bundle, features, how))


if __name__ == "__main__":
    with one_line_errors(), run_in_process():
        main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]))
