"""What was made is held against what the undisturbed run made."""

import pytest

from infra import storage
from infra.artifact_store import open_draft
from infra.errors import UserError
from infra.staging.faults import COMPARED, compare, epochs_done, made_artifacts


def write(root, *names):
    for name in names:
        (root / name).mkdir(parents=True)
    return root


def test_what_a_run_made_is_read_from_its_root(tmp_path):
    write(tmp_path, "bundle/aa", "bundle/bb", "report/cc", ".drafts/bundle-dd")
    assert made_artifacts(tmp_path) == {"bundle/aa", "bundle/bb"}


def test_another_digest_is_named_and_so_is_what_is_missing():
    whole = {f"{kind}/aa" for kind in COMPARED}
    compare(whole | {"bundle/of-another-flow"}, whole)
    with pytest.raises(UserError, match="other than undisturbed: bundle/bb"):
        compare(whole, whole | {"bundle/bb"})
    with pytest.raises(UserError, match="not made: bundle, "):
        compare(whole, {"shards/aa"})


@pytest.mark.parametrize(("content", "epochs"), [("", 0), ('{"epoch": 0}', 0), ('{"epoch": 3}', 3)])
def test_how_far_a_training_is_stands_in_its_draft(tmp_path, monkeypatch, content, epochs):
    monkeypatch.setenv("SCRIPTORIUM_ARTIFACTS", str(tmp_path))
    assert epochs_done(tmp_path) == 0, "there is none yet"
    storage.write(storage.join(open_draft("training", "aa").uri, "progress.json"), content.encode())
    assert epochs_done(tmp_path) == epochs
