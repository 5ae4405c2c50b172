"""What a training says of an end from outside."""

import pytest
from ray.exceptions import ActorDiedError, OutOfMemoryError
from ray.train import ControllerError

from infra.errors import UserError
from tasks.training.run_training import explain_killed_processes

REASON = "3 worker(s) were killed due to the node running low on memory. Memory was 21 GB\nOOM kill reason: ..."


@pytest.mark.parametrize(
    "error", [OutOfMemoryError(REASON), ActorDiedError(), ControllerError(OutOfMemoryError(REASON))]
)
def test_processes_that_were_killed_are_one_line_and_the_way_on(error):
    with (
        pytest.raises(UserError, match=r"killed \(.*\); the same command goes on") as found,
        explain_killed_processes(),
    ):
        raise error
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("error", [ZeroDivisionError(), ControllerError(ZeroDivisionError())])
def test_an_error_of_the_code_is_left_as_it_is(error):
    with pytest.raises(type(error)), explain_killed_processes():
        raise error
