"""Counting without Ray: the jobs one after the other, in this process."""

from contextlib import nullcontext

import pytest

from tasks.alone import alone


@pytest.fixture(autouse=True)
def _in_this_process(request):
    with nullcontext() if "on_ray" in request.fixturenames else alone():
        yield


@pytest.fixture
def on_ray():
    """Asks for the real thing."""
