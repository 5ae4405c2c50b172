"""Where artifacts go: said before work starts where they cannot."""

import pytest

from infra.artifacts.artifact_root import check_root
from infra.errors import UserError


def test_a_root_that_cannot_hold_anything_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    for place, reason in (("file", "is a file"), ("file/below", "is a file")):
        monkeypatch.setenv("SCRIPTORIUM_ARTIFACTS", str(tmp_path / place))
        with pytest.raises(UserError, match=f"the artifact root {tmp_path}/{place} {reason}"):
            check_root()
    monkeypatch.setenv("SCRIPTORIUM_ARTIFACTS", "/proc/scriptorium")  # where nobody may make a folder
    with pytest.raises(UserError, match=r"the artifact root /proc/scriptorium: .*; set SCRIPTORIUM_ARTIFACTS"):
        check_root()
    monkeypatch.setenv("SCRIPTORIUM_ARTIFACTS", str(tmp_path / "new"))
    check_root()
    assert list((tmp_path / "new").iterdir()) == []
