"""A cluster that cannot be reached is said in one line, before Ray begins to try."""

import pytest
from s3_servers import free_port

from infra.errors import UserError
from infra.ray_cluster import connect


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
