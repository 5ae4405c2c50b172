"""The same verbs on a disk and on two S3 servers; what is wrong is said in one line; nothing half-written is seen."""

import errno
import io
import os
import random
import subprocess
import sys
import tarfile

import pytest

from infra import s3_client, storage
from infra.artifacts import s3_cache
from infra.errors import UserError

DATA = random.Random(1).randbytes(300_000)


def test_bytes_come_back_in_any_range(root):
    uri = storage.join(root, "deep", "er", "file.bin")
    storage.write(uri, DATA)
    assert storage.read(uri) == DATA
    for offset, size in (
        (0, 10),
        (7, 1),
        (1000, 5000),
        (299_990, 10),
        (299_990, 100),
        (300_000, 5),
        (12, None),
        (3, 0),
    ):
        assert storage.read(uri, offset, size) == DATA[offset : None if size is None else offset + size]
    assert storage.read(uri, len(DATA) + 5, 3) == b""


def test_a_large_file_is_copied(root):
    """Some servers have no copy of parts, which boto3 would ask for from 8 MB on."""
    data = DATA * 30
    source, target = storage.join(root, "source"), storage.join(root, "target")
    storage.write(source, data)
    storage.copy(source, target)
    assert storage.read(target) == data


def test_an_empty_file(root):
    uri = storage.join(root, "empty")
    storage.write(uri, b"")
    assert storage.read(uri) == b""
    assert storage.stat(uri).size == 0
    with storage.open_binary(uri) as file:
        assert file.read() == b""


def test_names_that_are_not_plain(root):
    for name in ("with space", "plus+percent%20", "日本語", "quote'\"", "#hash?query=1"):
        storage.write(storage.join(root, name), name.encode())
    assert {name: storage.read(storage.join(root, name)).decode() for name in storage.list_files(root)} == {
        name: name for name in ("with space", "plus+percent%20", "日本語", "quote'\"", "#hash?query=1")
    }


def test_a_file_that_is_not_there(root):
    uri = storage.join(root, "nothing")
    for act in (storage.read, storage.open_binary):
        with pytest.raises(FileNotFoundError, match="nothing"):
            act(uri)
    assert storage.stat(uri) is None
    assert storage.list_files(uri) == {}
    storage.remove(uri)


def test_a_failed_download_leaves_nothing(root, tmp_path):
    with pytest.raises(FileNotFoundError):
        storage.download(storage.join(root, "nothing"), tmp_path / "here" / "copy")
    assert list((tmp_path / "here").iterdir()) == []


def test_a_reader_that_seeks(root):
    uri = storage.join(root, "archive.tar")
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        for i in range(50):
            member = tarfile.TarInfo(f"{i}.bin")
            member.size = 3000
            archive.addfile(member, io.BytesIO(DATA[i * 3000 : i * 3000 + 3000]))
    storage.write(uri, written.getvalue())
    with storage.open_binary(uri) as file, tarfile.open(fileobj=file) as archive:
        for i in (49, 0, 17):
            assert archive.extractfile(f"{i}.bin").read() == DATA[i * 3000 : i * 3000 + 3000]
    with storage.open_binary(uri) as file:
        file.seek(-100, os.SEEK_END)
        assert file.read() == written.getvalue()[-100:]


def test_a_large_file_in_several_requests(root, tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "RANGE_BYTES", 1 << 20)
    large = random.Random(2).randbytes(20 << 20)
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(large)
    uri = storage.join(root, "large")
    storage.upload(source, uri)
    storage.download(uri, target)
    assert target.read_bytes() == large
    with storage.open_binary(uri) as file:
        assert file.read() == large


def test_listing_move_remove(root):
    for name in ("a/1", "a/b/2", "a/b/3", "ab"):
        storage.write(storage.join(root, name), name.encode())
    assert list(storage.list_files(root)) == ["a/1", "a/b/2", "a/b/3", "ab"]
    assert list(storage.list_files(storage.join(root, "a"))) == ["1", "b/2", "b/3"]
    storage.move(storage.join(root, "a"), storage.join(root, "new/place"))
    assert list(storage.list_files(root)) == ["ab", "new/place/1", "new/place/b/2", "new/place/b/3"]
    assert storage.read(storage.join(root, "new/place/b/3")) == b"a/b/3"
    storage.copy(storage.join(root, "ab"), storage.join(root, "copy/ab"))
    assert storage.read(storage.join(root, "copy/ab")) == storage.read(storage.join(root, "ab")) == b"ab"
    storage.remove(storage.join(root, "new"))
    storage.remove(storage.join(root, "ab"))
    assert list(storage.list_files(root)) == ["copy/ab"]


def test_a_version_follows_the_content(root):
    uri = storage.join(root, "file")
    storage.write(uri, b"one")
    first = storage.stat(uri)
    assert storage.stat(uri) == first == storage.list_files(root)["file"]
    storage.write(uri, b"three")
    assert storage.stat(uri) != first


def test_a_move_onto_something_is_refused(tmp_path):
    for name in ("a", "b"):
        storage.write(str(tmp_path / name / "file"), name.encode())
    with pytest.raises(OSError, match="not empty"):
        storage.move(str(tmp_path / "a"), str(tmp_path / "b"))
    assert storage.read(str(tmp_path / "b" / "file")) == b"b"


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    uri = str(tmp_path / "file")
    storage.write(uri, b"old")

    def half(self, data):
        with self.open("wb") as file:
            file.write(data[:2])
        raise OSError(errno.EIO, "the disk broke")

    monkeypatch.setattr("pathlib.Path.write_bytes", half)
    with pytest.raises(OSError, match="broke") as caught:
        storage.write(uri, b"new!")
    assert caught.value.filename == uri
    assert storage.read(uri) == b"old"
    assert os.listdir(tmp_path) == ["file"]
    assert list(storage.list_files(str(tmp_path))) == ["file"]


def test_what_is_being_written_is_not_listed(tmp_path):
    (tmp_path / f"{storage.PARTIAL}abc").write_bytes(b"half")
    assert storage.list_files(str(tmp_path)) == {}


def test_a_full_disk_is_said_to_be_full(tmp_path):
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no right to mount a small disk")
    try:
        storage.write(str(place / "kept"), b"x" * 1000)
        source = tmp_path / "source"
        source.write_bytes(DATA)
        for act in (lambda uri: storage.write(uri, DATA), lambda uri: storage.upload(source, uri)):
            with pytest.raises(OSError, match="No space left") as caught:
                act(str(place / "large"))
            assert caught.value.errno == errno.ENOSPC
            assert caught.value.filename
            assert list(storage.list_files(str(place))) == ["kept"]
            assert os.listdir(place) == ["kept"]
    finally:
        subprocess.run(["umount", str(place)], check=True)


def attempts(uri, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"x")
    return {
        "read": lambda: storage.read(uri),
        "write": lambda: storage.write(uri, b"x"),
        "upload": lambda: storage.upload(path, uri),
        "download": lambda: storage.download(uri, path),
        "entry": lambda: storage.stat(uri),
        "listing": lambda: storage.list_files(uri),
        "copy": lambda: storage.copy(uri, uri + "-2"),
        "remove": lambda: storage.remove(uri),
    }


def told(act):
    with pytest.raises(UserError) as caught:
        act()
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith("s3://")
    return line


@pytest.mark.parametrize(
    ("key", "secret", "hint"), [("stranger", "a-long-secret", "KEY"), ("tester", "wrong", "SECRET")]
)
def test_a_wrong_key_is_one_line(rclone, tmp_path, monkeypatch, key, secret, hint):
    rclone.use(monkeypatch)
    storage.write("s3://bucket/there", b"x")
    rclone.use(monkeypatch, key, secret)
    s3_client.make_client.cache_clear()
    for name, act in attempts("s3://bucket/there", tmp_path).items():
        line = told(act)
        assert "check" in line, f"{name}: {line}"
        assert "AWS_" in line, f"{name}: {line}"
    rclone.use(monkeypatch)
    s3_client.make_client.cache_clear()
    assert storage.read("s3://bucket/there") == b"x"


def test_no_key_at_all(moto, tmp_path, monkeypatch):
    moto.use(monkeypatch)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    s3_client.make_client.cache_clear()
    for act in attempts("s3://bucket/there", tmp_path).values():
        assert "set AWS_ACCESS_KEY_ID" in told(act)
    s3_client.make_client.cache_clear()


FORKED = """
import os
from infra import s3_client, storage
storage.write("s3://bucket/there", b"x")
child = os.fork()
count = s3_client.make_client.cache_info().currsize
if not child:
    os._exit(count)
print(count, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_process_makes_a_client_of_its_own(moto, monkeypatch):
    """In an interpreter of its own, for a fork of this one may wait for locks of threads that it lacks."""
    moto.use(monkeypatch)
    command = [sys.executable, "-c", FORKED]
    assert subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout == "1 0\n"


def test_no_such_bucket(moto, tmp_path, monkeypatch):
    moto.use(monkeypatch)
    several = attempts("s3://no-such-bucket/x", tmp_path)
    for name in ("read", "write", "upload", "listing"):
        assert "bucket does not exist" in told(several[name])
    assert "Invalid bucket name" in told(lambda: storage.read("s3://UP PER/x"))


def test_no_server(tmp_path, monkeypatch, moto):
    monkeypatch.setenv("SCRIPTORIUM_PATIENCE", "0")
    moto.use(monkeypatch)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    for act in (lambda: storage.read("s3://bucket/x"), lambda: storage.write("s3://bucket/x", b"")):
        assert "no S3 server answers at http://127.0.0.1:9" in told(act)


def test_the_cache_is_bounded_and_drops_what_was_read_longest_ago(moto, tmp_path, monkeypatch):
    moto.use(monkeypatch)
    monkeypatch.setenv("SCRIPTORIUM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SCRIPTORIUM_CACHE_MB", "1")
    (tmp_path / "cache" / "models").mkdir(parents=True)  # a folder in there is not a copy
    copies = {}
    for i in range(6):
        uri = f"s3://bucket/{tmp_path.name}/{i}"
        storage.write(uri, bytes([i]) * 300_000)
        copies[i] = s3_cache.local_copy(uri)
        assert copies[i].read_bytes() == bytes([i]) * 300_000
        os.utime(copies[i], (i, i))
        if i == 3:
            s3_cache.local_copy(f"s3://bucket/{tmp_path.name}/1")  # read again: 2 is now the one to leave
    files = [path for path in (tmp_path / "cache").iterdir() if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 1 << 20
    assert [i for i, path in copies.items() if path.exists()] == [1, 4, 5]


def test_a_copy_is_fetched_once_and_a_running_download_is_left_alone(moto, tmp_path, monkeypatch):
    moto.use(monkeypatch)
    monkeypatch.setenv("SCRIPTORIUM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SCRIPTORIUM_CACHE_MB", "0")
    uri = f"s3://bucket/{tmp_path.name}/once"
    storage.write(uri, b"first")
    running, abandoned = (tmp_path / "cache" / f"{storage.PARTIAL}{name}" for name in ("a", "b"))
    path = s3_cache.local_copy(uri)
    running.write_bytes(b"half")
    abandoned.write_bytes(b"half")
    os.utime(abandoned, (1, 1))
    storage.remove(uri)
    assert s3_cache.local_copy(uri) == path
    assert path.read_bytes() == b"first"
    s3_cache.make_room(tmp_path / "cache", 1)
    assert list((tmp_path / "cache").iterdir()) == [running]
