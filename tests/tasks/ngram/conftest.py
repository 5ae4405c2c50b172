"""Counting without Ray: the jobs one after the other, in this process."""

from contextlib import nullcontext

import pytest

from tasks.steps.in_process import run_in_process


@pytest.fixture(autouse=True)
def _in_this_process(request):
    with nullcontext() if "on_ray" in request.fixturenames else run_in_process():
        yield


@pytest.fixture
def on_ray():
    """Asks for the real thing."""
