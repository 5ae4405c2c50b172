"""Archives: what is in them can be read at random, and those that mean harm are refused."""

import gzip
import hashlib
import io
import tarfile
import zipfile
from dataclasses import replace

import pytest

from infra import storage
from infra.artifact_store import open_draft
from infra.errors import UserError
from tasks.corpora import archive_index, archive_members
from tasks.corpora.corpus_files import open_corpus
from tasks.corpora.corpus_uri import Corpus

CONTENT = {"a/one.txt": b"1" * 700, "a/b/two.bin": bytes(range(256)) * 9, "three": b"", "a/four": b"4"}
KINDS = ("tar", "tar.gz", "tgz", "zip")


def tar_bytes(members, kind="tar.gz", folders=()):
    """members: (TarInfo or name, content)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w" if kind == "tar" else "w:gz") as tar:
        for name in folders:
            folder = tarfile.TarInfo(name)
            folder.type = tarfile.DIRTYPE
            tar.addfile(folder)
        for member, content in members:
            header = member if isinstance(member, tarfile.TarInfo) else tarfile.TarInfo(member)
            header.size = len(content)
            tar.addfile(header, io.BytesIO(content))
    return out.getvalue()


def write(path, members, kind):
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            for name, content in members:
                file.writestr(name, content)
    else:
        path.write_bytes(tar_bytes(members, kind, folders=["a", "./a/b"]))
    return path


def opened(path):
    return open_corpus(Corpus(kind="commonvoice", uri=str(path)), open_draft("shards", "test"))


@pytest.mark.parametrize("kind", KINDS)
def test_members_can_be_read_at_random(kind, tmp_path, artifact_root, monkeypatch):
    monkeypatch.setattr(archive_index, "PIECE_BYTES", 1000)
    path = write(tmp_path / f"corpus.{kind}", [(f"./{name}", content) for name, content in CONTENT.items()], kind)
    for _ in range(2):  # the second finds what the first laid out
        source = opened(path)
        assert source.names() == sorted(CONTENT)
        for name, content in reversed(CONTENT.items()):
            uri, offset, size = source.locate(name)
            assert storage.read(uri, offset, size) == content
        monkeypatch.setattr(archive_index, "_fill", None)
    assert source.locate("/etc/hostname") is None
    assert source.locate("../../etc/hostname") is None


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "tar"])
def test_what_is_known_is_not_copied_out(kind, tmp_path, artifact_root, monkeypatch):
    monkeypatch.setattr(archive_index, "PIECE_BYTES", 1000)
    path = write(tmp_path / f"corpus.{kind}", list(CONTENT.items()), kind)
    draft, digests = open_draft("shards", "test"), {n: hashlib.sha256(c).hexdigest() for n, c in CONTENT.items()}
    known = {digest for _, digest in list(digests.items())[::2]}
    for _ in range(2):
        found = archive_index.unpack_archive(str(path), draft, known)
        assert {name: found.digests[place] for name, place in found.files.items()} == digests
        copied = {name: storage.read(*place) for name, place in found.files.items() if place not in found.left_out}
        assert copied == {name: content for name, content in CONTENT.items() if digests[name] not in known}
    pieces = [entry.size for name, entry in storage.list_files(draft.uri).items() if name.startswith("pieces/0")]
    assert sum(pieces) == sum(map(len, copied.values()))
    assert len(archive_index.unpack_archive(str(path), open_draft("shards", "all"), {*digests.values()}).left_out)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/tmp/evil", "C:\\evil", "a\\..\\evil"])
def test_names_that_lead_outside_are_refused(kind, name, tmp_path, artifact_root):
    path = write(tmp_path / f"corpus.{kind}", [("fine", b"x"), (name, b"evil")], kind)
    with pytest.raises(UserError, match=r"leads outside") as caught:
        opened(path)
    assert "evil" in str(caught.value)


@pytest.mark.parametrize("kind", ["tar", "tar.gz"])
@pytest.mark.parametrize("link", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(kind, link, tmp_path, artifact_root):
    member = tarfile.TarInfo("clips/evil")
    member.type, member.linkname = link, "/etc/passwd"
    path = tmp_path / f"corpus.{kind}"
    path.write_bytes(tar_bytes([("fine", b"x"), (member, b"")], kind))
    with pytest.raises(UserError, match="'clips/evil' is a link or a device"):
        opened(path)


def test_links_in_a_zip_are_refused(tmp_path, artifact_root):
    path = tmp_path / "corpus.zip"
    with zipfile.ZipFile(path, "w") as file:
        member = zipfile.ZipInfo("evil")
        member.external_attr = 0o120777 << 16
        file.writestr(member, "/etc/passwd")
    with pytest.raises(UserError, match="'evil' is a link"):
        opened(path)


@pytest.mark.parametrize("kind", ["tar.gz", "zip"])
def test_contents_out_of_proportion_are_refused(kind, tmp_path, artifact_root, monkeypatch):
    monkeypatch.setattr(archive_members, "ALLOWANCE_BYTES", 1 << 20)
    path = write(tmp_path / f"corpus.{kind}", [("bomb", bytes(30 << 20))], kind)
    with pytest.raises(UserError, match="'bomb' it has unpacked to"):
        opened(path)


def test_an_oversized_header_is_not_read(tmp_path, artifact_root):
    header = tarfile.TarInfo("x")
    path = tmp_path / "corpus.tar.gz"
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", format=tarfile.PAX_FORMAT) as tar:
        header.pax_headers = {"comment": "y" * (1 << 20)}
        tar.addfile(header, io.BytesIO())
    path.write_bytes(out.getvalue())
    with pytest.raises(UserError, match="a header of 1,048,5.. bytes"):
        opened(path)


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_archives_are_named(kind, tmp_path, artifact_root):
    noise = bytes(i * i % 251 for i in range(200_000))
    path = write(tmp_path / f"corpus.{kind}", [("one", noise), ("two", noise)], kind)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(UserError, match=f"corpus.{kind}: .*download it again"):
        opened(path)
    path.write_bytes(b"no archive at all" * 100)
    with pytest.raises(UserError, match=r"download it again|nothing is there"):
        opened(path)


def test_a_full_disk_is_named_before_it_is_full(tmp_path, artifact_root, monkeypatch):
    usage = archive_members.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(archive_members.shutil, "disk_usage", lambda _: usage._replace(free=0))
    with pytest.raises(UserError, match="does not fit on the disk"):
        opened(write(tmp_path / "corpus.tar.gz", [("one", b"1")], "tar.gz"))


def test_names_outside_are_files_of_a_folder_corpus_only(tmp_path, artifact_root):
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "inside").write_bytes(b"1")
    (tmp_path / "outside").write_bytes(b"22")
    source = opened(tmp_path / "corpus")
    assert source.locate(str(tmp_path / "outside")) == (str(tmp_path / "outside"), 0, 2)
    assert source.locate(f"{tmp_path}/corpus/x/../inside") == (f"{tmp_path}/corpus/inside", 0, 1)
    assert replace(source, archive=True).locate(str(tmp_path / "outside")) is None


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 1000])
def test_lines_do_not_depend_on_how_they_are_fetched(limit, tmp_path, artifact_root, monkeypatch):
    monkeypatch.setattr("tasks.corpora.corpus_files.LINES_BYTES", max(limit, 3))
    (tmp_path / "t.tsv").write_bytes("\ufeffä\tb\r\n\r\nzwölf\n".encode() + b"bad \xff byte")
    assert list(opened(tmp_path).lines("t.tsv")) == ["ä\tb", "", "zwölf", "bad \ufffd byte"]


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
def test_a_tar_damaged_between_its_members_is_refused(suffix, tmp_path):
    """tarfile takes a header that is none for the end of the archive."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as tar:
        for i in range(3):
            info = tarfile.TarInfo(f"{i}.txt")
            info.size = 5
            tar.addfile(info, io.BytesIO(b"words"))
    for name, change in (("flip", lambda data: data[:1030] + b"?" + data[1031:]), ("cut", lambda data: data[:1024])):
        data = change(whole.getvalue())
        path = tmp_path / f"{name}{suffix}"
        path.write_bytes(gzip.compress(data) if suffix.endswith("gz") else data)
        corpus = Corpus(kind="webdataset", uri=str(path), verb="documents")
        with pytest.raises(UserError, match="damaged or cut off"):
            open_corpus(corpus, open_draft("shards", ""))
