"""An artifact is whole or not there; a draft outlives whoever was filling it."""

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from infra import artifact_store, storage
from infra.artifact_store import Artifact, artifact_at, find_result, new_draft, open_draft, record_result
from infra.errors import UserError


class Killed(BaseException):
    """Stands for a process that ends here and now: no handler of the code under test may notice it."""


def make(kind="shards", files=None):
    with new_draft(kind) as out:
        for name, content in (files or {"a.bin": b"one", "deep/b.bin": b"two"}).items():
            out.put(name, content)
    return out.result()


def fill(key, files):
    out = open_draft("shards", key)
    for name, content in files.items():
        out.put(name, content)
    return out


def readable(root):
    """Every artifact of the store that a reader would accept."""
    names = storage.list_files(root)
    return [name for name in names if name.endswith(artifact_store.MANIFEST) and not name.startswith(".drafts")]


def test_what_was_put_can_be_read(root):
    artifact = make()
    assert artifact.names() == ["a.bin", "deep/b.bin"]
    assert artifact.names(".bin") == artifact.names()
    assert (artifact.read("a.bin"), artifact.read("deep/b.bin")) == (b"one", b"two")
    assert artifact.file("deep/b.bin").read_bytes() == b"two"
    assert artifact.exists()
    assert artifact_at(artifact.uri) == artifact
    held = set(storage.list_files(artifact.uri))
    assert held == {"a.bin", "deep/b.bin", "manifest.json"}
    assert not storage.list_files(storage.join(root, ".drafts"))
    files = artifact.manifest()["files"]
    assert files["a.bin"] == {"size": 3, "sha256": hashlib.sha256(b"one").hexdigest()}


def test_the_same_bytes_are_the_same_artifact(root, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"one")
    first = make(files={"x": b"one", "y": b"two"})
    before = storage.list_files(root)
    second = make(files={"y": b"two", "x": path})
    assert first == second
    assert storage.list_files(root) == before
    assert make(files={"x": b"one", "z": b"two"}) != first
    assert make(files={"x": b"one"}) != first
    assert make(kind="report", files={"x": b"one", "y": b"two"}).uri != first.uri


def broken_block():
    with new_draft("shards") as out:
        out.put("a.bin", b"one")
        raise RuntimeError("broke")


def test_a_failed_block_leaves_nothing(root):
    with pytest.raises(RuntimeError, match="broke"):
        broken_block()
    assert storage.list_files(root) == {}
    with pytest.raises(RuntimeError, match="only after"):
        artifact_store.DraftResult(open_draft("shards")).result()


def test_a_draft_is_continued(root):
    first = open_draft("shards", "key")
    first.put("a.bin", b"one")
    storage.write(storage.join(first.uri, "half.bin"), b"hal")  # killed before its mark
    again = open_draft("shards", "key")
    assert again.finished() == {"a.bin"}
    assert again.read("a.bin") == b"one"
    again.put("b.bin", b"two")
    artifact = again.commit()
    assert artifact.names() == ["a.bin", "b.bin"]
    assert "half.bin" not in storage.list_files(artifact.uri)
    assert artifact == make(files={"a.bin": b"one", "b.bin": b"two"})


def test_what_is_written_bit_by_bit_counts_when_it_is_whole(root):
    here = open_draft("shards", "key")
    with here.writing("deep/a.bin") as file:
        file.write(b"on")
        file.write(b"e")
        assert here.finished() == set()
    broken = pytest.raises(RuntimeError, match="broke")
    with broken, here.writing("b.bin") as file:
        file.write(b"half")
        raise RuntimeError("broke")
    assert here.finished() == {"deep/a.bin"}
    artifact = here.commit()
    assert artifact == make(files={"deep/a.bin": b"one"})
    assert set(storage.list_files(artifact.uri)) == {"deep/a.bin", "manifest.json"}


def test_an_expected_file_that_is_missing_is_named(root):
    with pytest.raises(UserError, match=r"2 files are missing, first b\.bin"):
        fill("key", {"a.bin": b"one"}).commit({"a.bin", "c.bin", "b.bin"})
    assert readable(root) == []
    assert open_draft("shards", "key").finished() == {"a.bin"}


def test_a_file_can_be_taken_back(root):
    here = open_draft("shards", "key")
    here.put("a.bin", b"one")
    here.put("b.bin", b"two")
    here.put_json("c.json", {"ü": [1, None]})
    here.remove("a.bin")
    artifact = here.commit()
    assert artifact.names() == ["b.bin", "c.json"]
    assert artifact.read_json("c.json") == {"ü": [1, None]}


def test_an_empty_artifact(root):
    artifact = open_draft("quarantine", "key").commit()
    assert artifact.names() == []
    assert artifact_at(artifact.uri) == artifact


def test_memory(root):
    artifact = make()
    assert find_result("key") is None
    record_result("key", artifact)
    assert find_result("key") == artifact
    storage.remove(artifact.uri)
    assert find_result("key") is None


def test_a_prefix_without_a_manifest_is_refused(root):
    artifact = make()
    storage.remove(storage.join(artifact.uri, artifact_store.MANIFEST))
    with pytest.raises(UserError, match="never finished"):
        artifact.names()
    for place in (artifact.uri, storage.join(root, "nothing")):
        with pytest.raises(UserError, match="no artifact there"):
            artifact_at(place)
    assert make() == artifact  # a ruin is replaced
    assert artifact.read("a.bin") == b"one"


CHANGES = ("write", "upload", "copy", "move", "remove")


@pytest.mark.parametrize("when", range(12))
def test_a_commit_that_is_killed_anywhere_loses_nothing(root, monkeypatch, when):
    """Killed before the nth change of the store: then the artifact is whole, or the draft still is."""
    here = open_draft("shards", "key")
    here.put("a.bin", b"one")
    here.put("deep/b.bin", b"two")
    storage.write(storage.join(here.uri, "half.bin"), b"hal")
    changes = []

    def counted(verb, act):
        def change(*arguments):
            if len(changes) == when:
                raise Killed
            changes.append(verb)
            return act(*arguments)

        return change

    with monkeypatch.context() as patched:
        for verb in CHANGES:
            patched.setattr(storage, verb, counted(verb, getattr(storage, verb)))
        try:
            here.commit()
        except Killed:
            pass
        else:
            assert len(changes) <= when
    expected = Artifact(
        "shards", artifact_store.hash_files({n: _entry(c) for n, c in (("a.bin", b"one"), ("deep/b.bin", b"two"))})
    )
    if expected.exists():
        assert all(hashlib.sha256(expected.read(name)).hexdigest() for name in expected.names())
    else:
        assert readable(root) == []
        assert here.finished() == {"a.bin", "deep/b.bin"}
        assert here.commit() == expected
    assert (expected.read("a.bin"), expected.read("deep/b.bin")) == (b"one", b"two")


def _entry(content):
    return {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def test_a_process_killed_while_it_fills_a_draft(tmp_path, monkeypatch):
    monkeypatch.setenv("SCRIPTORIUM_ARTIFACTS", str(tmp_path / "root"))
    code = (
        "from infra.artifact_store import open_draft\n"
        "out = open_draft('shards', 'key')\n"
        "for i in range(100_000):\n"
        "    out.put(f'{i:06}.bin', bytes([i % 256]) * 50_000)\n"
        "    print(i, flush=True)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    for _ in range(20):
        child.stdout.readline()
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert readable(str(tmp_path / "root")) == []
    here = open_draft("shards", "key")
    assert len(here.finished()) >= 20
    for name in here.finished():
        assert here.read(name) == bytes([int(name[:6]) % 256]) * 50_000
    Path(here.uri, f"{storage.PARTIAL}of-the-killed").write_bytes(b"half")  # whether or not this one left some
    artifact = here.commit()
    there = {str(path.relative_to(artifact.uri)) for path in Path(artifact.uri).rglob("*") if path.is_file()}
    assert there == {*artifact.names(), "manifest.json"}


def test_many_at_once_make_one_artifact(root):
    failures, made = [], []

    def work():
        try:
            made.append(make(files={f"{i}.bin": bytes([i]) * 1000 for i in range(5)}))
        except BaseException as error:  # shown by the assertion below
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(set(made)) == 1
    assert [made[0].read(f"{i}.bin") for i in range(5)] == [bytes([i]) * 1000 for i in range(5)]
    assert set(storage.list_files(root)) == {
        f"shards/{made[0].digest[:16]}/{n}" for n in [*made[0].names(), artifact_store.MANIFEST]
    }


def test_a_full_disk_reaches_the_caller_and_the_draft_goes_on(tmp_path, monkeypatch):
    monkeypatch.setenv("SCRIPTORIUM_ARTIFACTS", str(tmp_path / "root"))
    real, full = storage.write, {"full": True}

    def write(uri, data):
        if full["full"] and "b.bin" in uri:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), uri)
        real(uri, data)

    monkeypatch.setattr(storage, "write", write)
    with pytest.raises(OSError, match="No space left") as caught:
        fill("key", {"a.bin": b"one", "b.bin": b"two"})
    assert caught.value.errno == errno.ENOSPC
    full["full"] = False
    again = open_draft("shards", "key")
    assert again.finished() == {"a.bin"}
    again.put("b.bin", b"two")
    assert again.commit().names() == ["a.bin", "b.bin"]


def test_a_reference_is_small_and_plain():
    artifact = Artifact("shards", "ab" * 32)
    assert str(artifact) == "shards/" + "ab" * 8
    assert json.dumps([artifact.kind, artifact.digest])


BROKEN_NOTES = [b"", b"{", b"[]", b"null", b'{"kind": "shards"}', b'{"kind": "../x", "digest": "ab"}', b"\xff"]


@pytest.mark.parametrize("note", [*BROKEN_NOTES, b'{"kind": "shards", "digest": "../../evil"}', b"[" * 100_000])
def test_a_broken_note_is_told_and_written_again(root, caplog, note):
    artifact = make()
    storage.write(artifact_store.note_uri("key"), note)
    assert find_result("key") is None
    assert len(caplog.messages) == 1
    assert ".memory/key.json" in caplog.text
    record_result("key", artifact)
    assert find_result("key") == artifact


def test_a_note_of_an_earlier_version_is_read(root):
    artifact = make()
    storage.write(artifact_store.note_uri("key"), json.dumps({"kind": "shards", "digest": artifact.digest}).encode())
    assert find_result("key") == artifact


def cut(uri):
    storage.write(uri, storage.read(uri)[:-1])


@pytest.mark.parametrize("act", [storage.remove, cut], ids=["deleted", "cut off"])
@pytest.mark.parametrize("name", ["a.bin", "deep/b.bin", artifact_store.MANIFEST])
def test_a_damaged_artifact_is_told_and_made_again(root, caplog, act, name):
    artifact = make()
    record_result("key", artifact)
    act(storage.join(artifact.uri, name))
    assert find_result("key") is None
    assert len(caplog.messages) == 1
    assert f"{artifact.uri}" in caplog.text
    assert make() == artifact  # what its step does then
    assert find_result("key") == artifact
    assert (artifact.read("a.bin"), artifact.read("deep/b.bin")) == (b"one", b"two")


def test_a_manifest_of_another_artifact_is_none(root):
    one, other = make(), make(files={"c.bin": b"three"})
    storage.copy(storage.join(other.uri, artifact_store.MANIFEST), storage.join(one.uri, artifact_store.MANIFEST))
    record_result("key", one)
    assert find_result("key") is None
    with pytest.raises(UserError, match="is of shards"):
        one.names()


def test_a_missing_file_is_one_line(root):
    artifact = make()
    storage.remove(storage.join(artifact.uri, "a.bin"))
    for read in (artifact.read, artifact.file, artifact.read_json):
        with pytest.raises(UserError, match=r"a\.bin is missing; run the command that made"):
            read("a.bin")


@pytest.mark.parametrize("name", ["../../evil", "/etc/passwd", "a/../b", "C:x", "a\\b", "", "a\0", "manifest.json"])
def test_a_name_that_leaves_the_folder_is_refused_wherever_it_comes_from(root, name):
    """An index from elsewhere names shards, say."""
    artifact, draft = make(), open_draft("shards", "key")
    for act in (artifact.read, artifact.file, lambda name: draft.put(name, b"evil")):
        with pytest.raises(UserError, match="names"):
            act(name)
    assert set(storage.list_files(root)) == {
        f"shards/{artifact.digest[:16]}/{n}" for n in ("a.bin", "deep/b.bin", "manifest.json")
    }


def test_a_draft_after_a_power_cut_makes_again_what_it_lost(root):
    """A file system may keep a name and lose what was written."""
    here = fill("key", {"a.bin": b"one", "b.bin": b"two", "c.bin": b"three"})
    storage.write(storage.join(here.uri, artifact_store.MARKS, "a.bin"), b"")
    assert here.finished() == {"b.bin", "c.bin"}
    storage.write(storage.join(here.uri, "b.bin"), b"")
    with pytest.raises(UserError, match=r"1 files are not as they were written, first b\.bin"):
        here.commit()
    assert here.finished() == {"c.bin"}
    assert fill("key", {"a.bin": b"one", "b.bin": b"two"}).commit().names() == ["a.bin", "b.bin", "c.bin"]
