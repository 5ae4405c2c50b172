"""What the tests of tasks share: small corpora on the disk, and ingest with or without Ray."""

import pytest
from small_corpora import write_common_voice

from tasks import ingest_corpus
from tasks.corpus import Corpus, Ingest, fingerprint, parse


@pytest.fixture
def common_voice(tmp_path):
    return write_common_voice(tmp_path / "cv")


@pytest.fixture
def ingested(artifact_root, monkeypatch):
    """`ingested("kind:place", **options)`: ingest in this process, without Ray."""
    monkeypatch.setattr(ingest_corpus, "run_jobs", lambda work, jobs, label: map(work, jobs))

    def run(place, splits=("train", "dev", "test"), **options):
        corpus = parse(place)
        return ingest_corpus.ingest.fn(corpus, fingerprint(corpus), Ingest(**options), splits)

    return run


@pytest.fixture
def generated(ingested):
    """The same for a kind without a place."""
    return lambda kind, options: ingest_corpus.ingest.fn(Corpus(kind=kind, uri=""), "", options, ("train",))
