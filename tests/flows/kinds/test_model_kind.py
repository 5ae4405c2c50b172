"""What the user is told of a corpus before anything is learned from it."""

import pytest

from flows.kinds.model_kind import tell_if_few
from infra.artifact_store import new_draft


@pytest.mark.parametrize(
    ("splits", "said"),
    [
        ({"train": {"kept": 2999}, "dev": {"kept": 9}}, "scriptorium: 2,999 photos to learn from; "),
        ({"dev": {"kept": 9}}, "scriptorium: 0 photos to learn from; "),
        ({"train": {"kept": 3000}}, ""),
    ],
)
def test_few_rows_are_told(artifact_root, capsys, splits, said):
    with new_draft("shards") as out:
        out.put_json("summary.json", {"splits": splits})
    tell_if_few(out.result(), 3000, "photos")
    heard = capsys.readouterr().err
    assert heard.startswith(said)
    assert len(heard.splitlines()) == bool(said)
    assert ("wants 3,000 or more" in heard) == ("--from NAME@ALIAS" in heard) == bool(said)
