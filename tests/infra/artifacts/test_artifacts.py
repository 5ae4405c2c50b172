"""The store cleaned up: whatever a registered model needs stays, the rest can go, and it is said what made it."""

import contextlib
import json
import os
import sys
import time
from pathlib import Path

import pytest

from infra import artifact_store, mlflow_client, model_registry, storage, tracking
from infra.artifact_store import Artifact, find_result, new_draft, open_draft, record_result
from infra.artifacts import __main__ as artifacts

DAY = 86400.0


@pytest.fixture(autouse=True)
def _record(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/record.db")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "tests")


@pytest.fixture
def local_root(tmp_path, monkeypatch):
    monkeypatch.setenv("SCRIPTORIUM_ARTIFACTS", str(tmp_path / "root"))
    return str(tmp_path / "root")


@pytest.fixture
def later(monkeypatch):
    """`later(days)`: so many days from now."""
    now = time.time
    return lambda days: monkeypatch.setattr(time, "time", lambda: now() + days * DAY)


def make(kind, content, *inputs):
    with new_draft(kind) as out:
        out.put("content", content.encode())
        if kind == "publication":
            out.put("publication.json", content.encode())
    record_result(content.encode().hex()[:40], out.result(), f"make_{kind}", inputs)
    return out.result()


def register(name, *digests, bundle_tag=""):
    """A version of a model in the registry, as publishing makes it; its publication."""
    run_id = tracking.open_run(
        f"{name}{time.monotonic_ns()}", name, {tracking.BUNDLE_TAG: bundle_tag} if bundle_tag else {}
    )
    told = {artifact.kind: artifact.digest for artifact in digests}
    version = tracking.register(run_id, name, told)
    model_registry.set_alias(name, "champion", version)
    about = {"run_id": run_id, "name": name, "alias": "champion", "version": version, "digests": told}
    return make("publication", json.dumps(about), *digests)


def command(monkeypatch, capsys, *arguments):
    """Exit status, what it wrote, and what it complained of."""
    monkeypatch.setattr(sys, "argv", ["artifacts", *arguments])
    try:
        artifacts.main()
        status = 0
    except SystemExit as ended:
        status = ended.code
    return status, *capsys.readouterr()


def chain():
    """A corpus, what was made of it, and a model that is registered."""
    shards = make("shards", "shards")
    features = make("features", "features", shards)
    bundle = make("bundle", "bundle", features)
    return shards, features, bundle


def test_collect_keeps_what_a_registered_model_needs(root, monkeypatch, capsys, later):
    shards, features, bundle = chain()
    lost = make("bundle", "not registered", features)
    report = make("report", "of the lost one", lost)
    register("asr", bundle)
    register("asr", make("bundle", "second", features))  # the alias moves on, the first version stays
    abandoned = open_draft("training", "ab" * 16)
    abandoned.put("state.pt", b"half")
    later(40)
    status, out, error = command(monkeypatch, capsys, "collect", "--dry-run", "--json")
    assert (status, error) == (0, "")
    expected = {(one.kind, one.digest[:16]) for one in (lost, report)} | {("draft", "training-" + "ab" * 16)}
    assert {(row["kind"], row["digest"]) for row in json.loads(out)} == expected
    assert lost.exists()
    assert command(monkeypatch, capsys, "collect")[0] == 0
    assert all(one.exists() and not one.find_damage() for one in (shards, features, bundle))
    left = storage.list_files(root)
    assert not [name for name in left if name.startswith((".drafts", "report", str(lost)))]
    assert find_result(b"not registered".hex()[:40]) is None
    assert find_result(b"bundle".hex()[:40]) == bundle
    assert json.loads(command(monkeypatch, capsys, "collect", "--json")[1]) == []


def test_what_is_recent_stays_with_what_it_was_made_of(local_root, monkeypatch, capsys, later):
    register("other", make("bundle", "something else"))
    shards, features, bundle = chain()
    later(40)
    assert find_result(b"features".hex()[:40]) == features  # used again now
    rows = json.loads(command(monkeypatch, capsys, "collect", "--json")[1])
    assert [row["kind"] for row in rows] == ["bundle"]
    assert shards.exists()
    assert features.exists()
    assert not bundle.exists()
    recent = [open_draft("training", "new"), open_draft("training", "old")]
    for draft in recent:
        draft.put("a", b"1")
    for path in Path(recent[0].uri).rglob("*"):
        os.utime(path, (time.time() - DAY, time.time() - DAY))
    Path(recent[1].uri, f"{storage.PARTIAL}of-a-killed-writer").write_bytes(bytes(1000))
    for path in Path(recent[1].uri).rglob("*"):
        os.utime(path, (time.time() - 9 * DAY, time.time() - 9 * DAY))
    (row,) = json.loads(command(monkeypatch, capsys, "collect", "--json")[1])
    assert row["digest"] == "training-old"
    assert row["bytes"] > 1000
    assert recent[0].finished() == {"a"}
    assert not Path(recent[1].uri).exists()


def test_remove_names_what_needs_it(local_root, monkeypatch, capsys):
    shards, features, bundle = chain()
    register("asr", bundle)
    alone = make("report", "alone")
    for one in (bundle, shards):
        status, _, error = command(monkeypatch, capsys, "remove", alone.digest, one.digest)
        assert (status, error.count("\n")) == (1, 1)
        assert "the registered model asr/1 needs it" in error
        assert alone.exists()
    late = make("features", "late", other := make("shards", "other"))
    status, _, error = command(monkeypatch, capsys, "remove", other.digest)
    assert (status, f"{late} was made from it" in error) == (1, True)
    status, out, _ = command(monkeypatch, capsys, "remove", other.digest[:9], str(late), f"report/{alone.digest}")
    assert (status, "remove: 3 in all" in out) == (0, True)
    assert not any(one.exists() for one in (other, late, alone))
    for text, told in (("0" * 64, "no artifact"), ("../../evil", "no digest"), ("ab", "no digest"), ("", "no digest")):
        status, _, error = command(monkeypatch, capsys, "remove", text)
        assert (status, told in error, error.count("\n")) == (1, True, 1)


def test_list_says_what_made_it_and_what_needs_it(local_root, monkeypatch, capsys):
    shards, features, bundle = chain()
    register("asr", bundle)
    storage.write(artifact_store.note_uri("old"), json.dumps({"kind": "shards", "digest": shards.digest}).encode())
    storage.write(artifact_store.note_uri("broken"), b"")
    Path(local_root, "mlflow/1/abcd/artifacts").mkdir(parents=True)
    Path(local_root, "mlflow/1/abcd/artifacts/manifest.json").write_text("{}")
    rows = {row["kind"]: row for row in json.loads(command(monkeypatch, capsys, "list", "--json")[1])}
    assert set(rows) == {"shards", "features", "bundle", "publication"}
    assert rows["shards"]["made_by"] == "make_shards"
    assert rows["shards"]["needed_by"] == ["model asr/1", str(features)]
    assert rows["shards"]["bytes"] == sum(entry.size for entry in storage.list_files(shards.uri).values())
    assert "needed by model asr/1" in command(monkeypatch, capsys, "list")[1]


def test_what_mlflow_keeps_below_the_root_is_never_touched(local_root, monkeypatch, capsys, later):
    """The bundles of registered models lie there: <root>/mlflow/<experiment>/<run>/artifacts/bundle."""
    register("asr", make("bundle", "bundle"))
    kept = [Path(local_root, "mlflow", experiment, "ab" * 16, "artifacts/weights.pt") for experiment in ("1", "1" * 16)]
    for path in kept:
        path.parent.mkdir(parents=True)
        path.write_bytes(b"weights")
    later(400)
    assert command(monkeypatch, capsys, "collect", "--days", "0", "--drafts-older-than", "0")[0] == 0
    assert all(path.exists() for path in kept)


def test_another_registry_and_none(local_root, monkeypatch, capsys, later, tmp_path):
    shards, _, bundle = chain()
    register("asr", bundle)
    later(40)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/none.db")
    for verb in (["collect"], ["remove", shards.digest]):
        status, _, error = command(monkeypatch, capsys, *verb)
        assert (status, error.count("\n")) == (1, 1)
        assert "no MLflow record at" in error
    status, out, error = command(monkeypatch, capsys, "list", "--json")
    assert (status, len(json.loads(out)), error.count("\n")) == (0, 4, 1)
    assert not (tmp_path / "none.db").exists()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/other.db")
    tracking.open_run("of", "another registry", {})
    assert json.loads(command(monkeypatch, capsys, "collect", "--json")[1]) == []
    assert "asr/1 of another registry needs it" in command(monkeypatch, capsys, "remove", bundle.digest)[2]


def test_a_version_that_was_registered_by_its_run_alone(local_root, monkeypatch, capsys, later):
    """Without digests beside it, as by hand: its run says the bundle."""
    _, _, bundle = chain()
    run_id = tracking.open_run("key", "by hand", {tracking.BUNDLE_TAG: bundle.digest})
    mlflow_client.client().create_registered_model("mine")
    mlflow_client.client().create_model_version("mine", f"runs:/{run_id}/bundle", run_id)
    later(40)
    assert json.loads(command(monkeypatch, capsys, "collect", "--json")[1]) == []


@pytest.mark.parametrize("when", range(4))
def test_a_removal_that_is_killed_leaves_no_half_artifact(root, monkeypatch, capsys, when):
    class Killed(BaseException):
        pass

    register("other", make("bundle", "something else"))
    gone, changes, real = make("report", "gone"), [], storage.remove

    def counted(uri):
        if len(changes) == when:
            raise Killed
        changes.append(uri)
        real(uri)

    with monkeypatch.context() as patched:
        patched.setattr(storage, "remove", counted)
        with contextlib.suppress(Killed):
            command(patched, capsys, "remove", gone.digest)
    assert not gone.exists() if when else not gone.find_damage()
    assert (find_result(b"gone".hex()[:40]) is None) == bool(when)
    assert make("report", "gone") == gone
    assert not gone.find_damage()


def test_a_reference_goes_nowhere_else():
    for kind, digest in (("../x", "ab" * 32), ("shards", "../../evil"), ("shards", ""), (".memory", "ab"), ("a", "AB")):
        with pytest.raises(artifact_store.UserError, match="no (kind|digest)"):
            Artifact(kind, digest)
