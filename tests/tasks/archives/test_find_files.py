"""What a source names, in every way to name it; what is wrong there is a row, and nothing is passed over in silence."""

import io
import os
import tarfile
import unicodedata
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from s3_servers import BUCKET

from infra import storage
from infra.errors import UserError
from tasks.archives.find_files import find_files
from tasks.archives.work_list import PartConfig, WorkItem, from_list, group_parts, number_parts, safe_name, to_list

SUFFIXES = {"wav", "flac"}
ODD = [
    b"line\nfeed.wav",
    b"quote'\"`$(x).wav",
    "ü".encode() * 120 + b".wav",
    b"latin \xe9 1.wav",
    b"-rf.wav",
    b"a\\b.wav",
]


@pytest.fixture
def folder(tmp_path):
    top = tmp_path / "in"
    for name in ("b.wav", "a/x.WAV", "a/y.flac", "notes.txt", "a/README", ".hidden.wav", "._a.wav"):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(name.encode())
    return top


def names(found):
    return [item.name for item in found.items]


def test_a_folder(folder):
    found = find_files(str(folder), SUFFIXES)
    assert sorted(names(found)) == ["a/x.WAV", "a/y.flac", "b.wav"]
    assert dict(found.ignored) == {".txt": 1, "(no suffix)": 1, ".hidden.wav": 1, "(left by macOS)": 1}
    assert all(item.size and item.version and not item.problem for item in found.items)
    assert names(find_files(str(folder / "b.wav"), SUFFIXES)) == ["b.wav"]
    assert sorted(names(find_files(f"{folder}/**/*.[wf]*", SUFFIXES))) == ["a/y.flac", "b.wav"]


def test_names_of_any_bytes(tmp_path):
    """They come back from the frozen list, and what is written for them has a name that any file system takes."""
    top = os.fsencode(tmp_path / "in")
    os.mkdir(top)
    for name in ODD:
        with open(os.path.join(top, name), "wb") as file:
            file.write(name)
    numbered = number_parts(find_files(os.fsdecode(top), SUFFIXES).items, 0, PartConfig(), ())
    back, source = from_list(to_list(numbered, os.fsdecode(top)))
    assert (back, source) == (numbered, os.fsdecode(top))
    assert sorted(storage.read(item.place) for item in back) == sorted(ODD)
    for item in back:
        item.file.encode()
        assert len(f"{item.name}.jsonl".encode()) <= 255
        assert item.name.isprintable()
    assert len({item.name for item in back}) == len(ODD)


def test_what_cannot_be_looked_at(folder, monkeypatch):
    (folder / "gone.wav").symlink_to(folder / "nowhere.wav")
    (folder / "a" / "up").symlink_to(folder)
    (folder / "self.wav").symlink_to(folder / "self.wav")
    os.mkfifo(folder / "pipe.wav")
    (folder / "locked").mkdir()
    real = os.scandir

    def scandir(place):  # who runs this as root may look everywhere
        if str(place).endswith("locked"):
            raise PermissionError(13, "Permission denied", place)
        return real(place)

    monkeypatch.setattr(os, "scandir", scandir)
    found = find_files(str(folder), SUFFIXES)
    problems = {item.name: item.problem for item in found.items if item.problem}
    assert problems == {
        "gone.wav": "not there",
        "a/up": "link loop",
        "self.wav": "link loop",
        "pipe.wav": "no file",
        "locked": "no permission",
    }
    assert len(found.items) == 3 + len(problems)


def write_table(path, kind):
    rows = [{"audio_filepath": "b.wav", "text": "x"}, {"audio_filepath": "a/x.WAV", "text": "y"},
            {"audio_filepath": "lost.wav", "text": "z"}]  # fmt: skip
    if kind == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif kind == "csv":
        path.write_text("audio_filepath,text\n" + "".join(f"{r['audio_filepath']},{r['text']}\n" for r in rows))
    elif kind == "jsonl":
        path.write_text("".join(str(row).replace("'", '"') + "\n" for row in rows))
    else:
        path.write_text("".join(f"{row['audio_filepath']}\r\n" for row in rows) + "\nb.wav\n")


@pytest.mark.parametrize("kind", ["txt", "csv", "jsonl", "parquet"])
def test_lists_and_manifests(folder, kind):
    write_table(folder / f"list.{kind}", kind)
    found = find_files(str(folder / f"list.{kind}"), SUFFIXES)
    assert {item.name: item.problem for item in found.items} == {"b.wav": "", "a/x.WAV": "", "lost.wav": "not there"}


def packed(path, members):
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
            for name, data in members.items():
                out.writestr(name, data)
    else:
        with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as out:
            for name, data in members.items():
                member = tarfile.TarInfo(name)
                member.size = len(data)
                out.addfile(member, io.BytesIO(data))
    return path


@pytest.mark.parametrize("name", ["x.tar", "x.zip", "x.tar.gz"])
def test_archives_alone_and_in_folders(artifact_root, tmp_path, name):
    members = {"c/one.wav": b"1" * 700, "two.flac": b"22", "readme.md": b"no"}
    (tmp_path / "in").mkdir()
    for place in (packed(tmp_path / "in" / name, members), tmp_path / "in"):
        found = find_files(str(place), SUFFIXES)
        got = {item.name: storage.read(item.place, item.offset, item.size) for item in found.items}
        assert got == {f"{name}/{member}": members[member] for member in ("c/one.wav", "two.flac")}
        assert found.ignored == {".md": 1}


def test_archives_that_lead_outside_or_are_damaged(artifact_root, tmp_path):
    with pytest.raises(UserError, match="leads outside the archive"):
        find_files(str(packed(tmp_path / "evil.tar", {"../../etc/x.wav": b"1"})), SUFFIXES)
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04 and no more")
    (tmp_path / "good.wav").write_bytes(b"1")
    found = {item.name: item.problem for item in find_files(str(tmp_path), SUFFIXES).items}
    assert found.pop("good.wav") == ""
    assert len(found) == 2
    assert all(found.values()), "in a folder it is a row, and the others go on"
    assert {problem.partition(" (")[0] for problem in found.values()} == {"archive cannot be read"}
    assert not any(str(tmp_path) in problem for problem in found.values()), "the same reason for all of a kind"


@pytest.mark.parametrize(("make", "says"), [
    (lambda top: top / "nowhere", "no such file, folder or pattern"),
    (lambda top: top / "*.mp3", "no file to work on is there"),
    (lambda top: top / "empty", "no file to work on is there"),
    (lambda top: top / "texts", "no file to work on is there beside 1 other files"),
    (lambda top: top / "list.csv", "row 2: no file in it"),
])  # fmt: skip
def test_what_names_nothing_is_one_line(tmp_path, make, says):
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("x")
    (tmp_path / "list.csv").write_text("name,text\na,b\n")
    with pytest.raises(UserError, match=says) as caught:
        find_files(str(make(tmp_path)), SUFFIXES)
    assert "\n" not in str(caught.value)


def test_a_prefix(moto, monkeypatch, tmp_path):
    moto.use(monkeypatch)
    top = f"s3://{BUCKET}/{tmp_path.name}"
    for name in ("b.wav", "a/ü x.flac", "notes.txt"):
        storage.write(storage.join(top, name), name.encode())
    found = find_files(top, SUFFIXES)
    assert sorted(names(found)) == ["a/ü x.flac", "b.wav"]
    assert found.ignored == {".txt": 1}
    assert sorted(storage.read(item.place) for item in found.items) == ["a/ü x.flac".encode(), b"b.wav"]


def test_parts_by_bytes_and_by_count():
    small = [WorkItem(f"s{k:05d}", f"s{k:05d}", 32_000) for k in range(10_000)]
    parts = group_parts(number_parts(small, 5, PartConfig(), ()))
    assert min(parts) == 5
    assert {len(part.items) for part in parts.values()} == {200}
    large = [WorkItem(f"l{k}", "", 300 << 20) for k in range(3)]
    assert [len(p.items) for p in group_parts(number_parts(large, 0, PartConfig(), ())).values()] == [1, 1, 1]
    assert number_parts(reversed(small), 5, PartConfig(), ()) == number_parts(small, 5, PartConfig(), ())
    again = number_parts(small[:2], 0, PartConfig(), ["S00000"])
    assert [item.name for item in again] == ["s00000~2", "s00001"]
    assert safe_name("/../a/./..") == "__/a/__"


def test_a_list_in_any_spelling(folder):
    """A file that is named twice is done once; what is no file is said to be none; a comment is none of them."""
    os.mkfifo(folder / "pipe.wav")
    lines = ["# calls of May", "b.wav", "", "./b.wav", f"../{folder.name}/b.wav", "b.wav", "a", "pipe.wav", "#1.wav"]
    (folder / "#1.wav").write_bytes(b"1")
    text = "".join(f"{line}\r\n" for line in lines)
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"):
        mark = {"utf-16-le": "\ufeff", "utf-16-be": "\ufeff"}.get(encoding, "")
        (folder / "list.txt").write_bytes((mark + text).encode(encoding))
        found = find_files(str(folder / "list.txt"), SUFFIXES)
        told = [(item.name, item.problem) for item in found.items]
        assert told == [("b.wav", ""), ("a", "no file"), ("pipe.wav", "no file"), ("#1.wav", "")], encoding
        assert found.ignored == {"(comment)": 1}
    with pytest.raises(UserError, match="neither a file nor a folder"):
        find_files(str(folder / "pipe.wav"), SUFFIXES)


def test_a_pattern_takes_folders_whole(folder):
    """As a shell's does; each file once, however often the pattern comes to it."""
    for pattern, expected in (("*", {"a/x.WAV", "a/y.flac", "b.wav"}), ("a*", {"a/x.WAV", "a/y.flac"})):
        assert set(names(find_files(f"{folder}/{pattern}", SUFFIXES))) == expected
    found = find_files(f"{folder}/**", SUFFIXES)
    assert sorted(item.place for item in found.items) == [
        f"{folder}/{name}" for name in ("a/x.WAV", "a/y.flac", "b.wav")
    ]


def test_folders_as_deep_as_paths_are_long(tmp_path):
    os.chdir(tmp_path)
    try:
        for _ in range(1200):
            os.mkdir("d")
            os.chdir("d")
        with open("x.wav", "wb") as file:
            file.write(b"1")
        (item,) = number_parts(find_files(str(tmp_path), SUFFIXES).items, 0, PartConfig(), ())
        assert storage.read(item.place) == b"1"
        assert item.name.endswith("/x.wav")
        assert len(item.name) < 800
    finally:  # no tool removes what is so deep, and pytest's fails
        for _ in range(1200):
            os.chdir("..")
            if os.path.exists("d/x.wav"):
                os.remove("d/x.wav")
            os.rmdir("d")


def test_names_that_some_file_system_takes_for_one():
    same = ["caf\u00e9.wav", "cafe\u0301.wav", "CAFE\u0301.wav", "stra\u00dfe.wav", "STRASSE.wav"]
    found = number_parts([WorkItem(name, name) for name in same], 0, PartConfig(), ())
    folded = {unicodedata.normalize("NFD", item.name).casefold() for item in found}
    assert len(folded) == len(same)
