"""What the tests of tasks share: small corpora on the disk, and ingest with or without Ray."""

import pytest
from small_classifier import LETTERS, texts, training
from small_corpora import write_common_voice

from tasks.bundles.fit_classifier_vocabulary import LabelConfig, fit_classifier_vocabulary
from tasks.corpora.corpus_uri import Corpus, IngestConfig, fingerprint, parse_corpus
from tasks.corpora.photo_row import PhotoIngestConfig
from tasks.features.extract_features import extract_features
from tasks.ingest.ingest_corpus import ingest_corpus
from tasks.ingest.photos.ingest_photos import ingest_photos
from tasks.steps.in_process import run_in_process
from tasks.training.run_training import Workers
from tasks.training.train_classifier import train_classifier


@pytest.fixture
def common_voice(tmp_path):
    return write_common_voice(tmp_path / "cv")


@pytest.fixture
def in_this_process(artifact_root):
    """Jobs one after the other, without Ray."""
    with run_in_process():
        yield


@pytest.fixture
def ingested(in_this_process):
    """`ingested("kind:place", **options)`: ingest in this process, without Ray."""

    def run(place, splits=("train", "dev", "test"), **options):
        corpus = parse_corpus(place)
        return ingest_corpus.fn(corpus, fingerprint(corpus), IngestConfig(**options), splits)

    return run


@pytest.fixture
def taken_in(in_this_process):
    """`taken_in("labeled:place", **options)`: the same for rows with labels."""

    def run(place, **options):
        corpus = parse_corpus(place, "labeled")
        return ingest_corpus.fn(corpus, fingerprint(corpus), IngestConfig(**options), ("train", "dev", "test"))

    return run


@pytest.fixture
def photographed(in_this_process):
    """`photographed("coco:place", **options)`: the same for photos with captions."""

    def run(place, splits=("train", "dev", "test"), **options):
        corpus = parse_corpus(place, "photos")
        return ingest_photos.fn(corpus, fingerprint(corpus), PhotoIngestConfig(**options), splits)

    return run


@pytest.fixture
def trained(taken_in, tmp_path):
    """Shards, vocabularies, features and the bundle of a small text classifier."""
    shards = taken_in(texts(tmp_path / "lists.jsonl"))
    vocabularies = fit_classifier_vocabulary.fn(shards, LabelConfig(), LETTERS)
    features = extract_features.fn(shards, vocabularies, None, 0.05)
    return shards, vocabularies, features, train_classifier.fn(features, vocabularies, training(), Workers(count=0))


@pytest.fixture
def generated(ingested):
    """The same for a kind without a place."""
    return lambda kind, options: ingest_corpus.fn(Corpus(kind=kind, uri=""), "", options, ("train",))
