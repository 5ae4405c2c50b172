"""A cluster that cannot be reached is said in one line, before Ray begins to try."""

import pytest
from s3_servers import free_port

from infra.errors import UserError
from infra.ray_cluster import connect, explain_failed_start


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "nowhere.invalid", "ray://127.0.0.1"])
def test_nobody_listens(monkeypatch, host):
    address = f"{host}:{free_port()}"
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(UserError, match=f"^no Ray cluster answers at {address} .*; unset RAY_ADDRESS") as caught:
        connect()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("address", ["head", "head:", "head:99999", "head:ray", ":6379", "ray://head", "[::1:6379"])
def test_an_address_that_is_none(monkeypatch, address):
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(UserError) as caught:
        connect()
    assert str(caught.value).startswith(f"RAY_ADDRESS={address}: give HOST:PORT")


def test_ray_that_is_not_up_in_time_is_one_line():
    """Ray waits 30 s for its own node, and has no setting for it and no type for the error."""
    ray_says = "The current node timed out during startup. This could happen because\nthe GCS has become overloaded."
    with (
        pytest.raises(UserError, match=r"^Ray did not start: The current .*Run the same command again"),
        explain_failed_start(""),
    ):
        raise Exception(ray_says)
    with pytest.raises(ValueError, match="ours"), explain_failed_start(""):
        raise ValueError("ours")
