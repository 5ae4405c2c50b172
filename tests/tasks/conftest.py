"""What the tests of tasks share: small corpora on the disk, and ingest with or without Ray."""

import pytest
from small_corpora import write_common_voice

from tasks.alone import alone
from tasks.corpus import Corpus, Ingest, fingerprint, parse
from tasks.ingest_corpus import ingest


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
def generated(ingested):
    """The same for a kind without a place."""
    return lambda kind, options: ingest.fn(Corpus(kind=kind, uri=""), "", options, ("train",))
