"""An empty artifact root on each kind of storage."""

import pytest
from s3_servers import BUCKET


@pytest.fixture(params=["local", "moto", "rclone"])
def root(request, tmp_path, monkeypatch):
    """An empty folder or prefix, as SCRIPTORIUM_ARTIFACTS, with an empty cache."""
    where = str(tmp_path / "root")
    if request.param != "local":
        request.getfixturevalue(request.param).use(monkeypatch)
        where = f"s3://{BUCKET}/{tmp_path.name}"
    monkeypatch.setenv("SCRIPTORIUM_ARTIFACTS", where)
    monkeypatch.setenv("SCRIPTORIUM_CACHE", str(tmp_path / "cache"))
    return where
