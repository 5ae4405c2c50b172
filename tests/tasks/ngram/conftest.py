"""Counting without Ray: the jobs one after the other, in this process."""

import pytest

from tasks import ingest_text
from tasks.ngram import count, evaluate


@pytest.fixture(autouse=True)
def _in_this_process(request, monkeypatch):
    if "on_ray" not in request.fixturenames:
        for module in (ingest_text, count, evaluate):
            monkeypatch.setattr(module, "run_jobs", lambda work, jobs, label: map(work, jobs))


@pytest.fixture
def on_ray():
    """Asks for the real thing."""
