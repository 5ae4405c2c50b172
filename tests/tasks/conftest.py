"""What the tests of tasks share: small corpora on the disk, and ingest with or without Ray."""

import pytest
from small_classifier import LETTERS, texts, training
from small_corpora import write_common_voice

from tasks.alone import alone
from tasks.corpus import Corpus, Ingest, fingerprint, parse
from tasks.featurize import featurize
from tasks.ingest_corpus import ingest
from tasks.train_classifier import train_classifier
from tasks.training_run import Workers
from tasks.vocabularies import LabelSet, fit_vocabularies


@pytest.fixture
def common_voice(tmp_path):
    return write_common_voice(tmp_path / "cv")


@pytest.fixture
def in_this_process(artifact_root):
    """Jobs one after the other, without Ray."""
    with alone():
        yield


@pytest.fixture
def ingested(in_this_process):
    """`ingested("kind:place", **options)`: ingest in this process, without Ray."""

    def run(place, splits=("train", "dev", "test"), **options):
        corpus = parse(place)
        return ingest.fn(corpus, fingerprint(corpus), Ingest(**options), splits)

    return run


@pytest.fixture
def taken_in(in_this_process):
    """`taken_in("labelled:place", **options)`: the same for rows with labels."""

    def run(place, **options):
        corpus = parse(place, "labelled")
        return ingest.fn(corpus, fingerprint(corpus), Ingest(**options), ("train", "dev", "test"))

    return run


@pytest.fixture
def trained(taken_in, tmp_path):
    """Shards, vocabularies, features and the bundle of a small text classifier."""
    shards = taken_in(texts(tmp_path / "lists.jsonl"))
    vocabularies = fit_vocabularies.fn(shards, LabelSet(), LETTERS)
    features = featurize.fn(shards, vocabularies, None, 0.05)
    return shards, vocabularies, features, train_classifier.fn(features, vocabularies, training(), Workers(count=0))


@pytest.fixture
def generated(ingested):
    """The same for a kind without a place."""
    return lambda kind, options: ingest.fn(Corpus(kind=kind, uri=""), "", options, ("train",))
