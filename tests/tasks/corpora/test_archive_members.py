"""Archives of every kind that people and attackers send: the right members, or one line; nothing is written outside."""

import bz2
import gzip
import io
import lzma
import random
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from infra import storage
from infra.artifact_store import open_draft
from infra.errors import UserError
from tasks.corpora import archive_members
from tasks.corpora.archive_format import archive_format
from tasks.corpora.corpus_files import open_corpus
from tasks.corpora.corpus_uri import Corpus

FINE = {"one.txt": b"1" * 700, "a/two.wav": bytes(range(256)) * 9, "three.txt": b""}


def member(name, kind=tarfile.REGTYPE, link="", **fields):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def tar(*members, form=tarfile.PAX_FORMAT, content=FINE):
    """Files by name and content, and other members before them."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as file:
        for info in members:
            file.addfile(info)
        for name, data in content.items():
            file.addfile(member(name, size=len(data)), io.BytesIO(data))
    return out.getvalue()


def header(name, kind=b"0", size=b"00000000000\0", content=b""):
    """A block that is a valid header, whatever its fields say, and what follows."""
    block = bytearray(tarfile.TarInfo(name).tobuf(tarfile.USTAR_FORMAT))
    block[124:136], block[156:157], block[148:156] = size, kind, b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + content + bytes(-len(content) % 512)


def unix_v7(content):
    """As tar wrote before it had a magic word."""
    blocks = []
    for name, data in content.items():
        block = bytearray(header(name, b"\0", octal(len(data))))
        block[257:], block[148:156] = bytes(255), b" " * 8
        block[148:156] = b"%06o\0 " % sum(block)
        blocks += [block, data, bytes(-len(data) % 512)]
    return b"".join(blocks) + bytes(1024)


def octal(size):
    return b"%011o\0" % size


def negative(size):
    return b"\xff" * 4 + struct.pack(">q", size)


def pax(records):
    content = b"".join(b"%d %s" % (n, r) for r in records for n in (len(r) + 3 + (len(r) > 95),))
    return header("pax", b"x", octal(len(content)), content)


def zipped(content=FINE, method=zipfile.ZIP_DEFLATED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as file:
        for name, data in content.items():
            file.writestr(name, data)
    return out.getvalue()


def encrypted():
    data = bytearray(zipped({"secret.txt": b"words"}, zipfile.ZIP_STORED))
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


def method(number):
    data = bytearray(zipped({"odd.txt": b"words"}, zipfile.ZIP_STORED))
    data[8] = data[data.index(b"PK\x01\x02") + 10] = number
    return bytes(data)


def claims(size):
    """A zip whose only member says that it unpacks to so many bytes."""
    data = bytearray(zipped({"bomb.txt": b"words"}, zipfile.ZIP_STORED))
    data[22:26] = data[data.index(b"PK\x01\x02") + 24 :][:4] = struct.pack("<I", size)
    at = data.index(b"PK\x01\x02")
    data[at + 24 : at + 28] = struct.pack("<I", size)
    return bytes(data)


def renamed(data, old, new):
    return data.replace(old, new)


def gnu_sparse(size):
    block = bytearray(header("sparse", b"S"))
    block[386:410], block[483:495], block[148:156] = b"00000000000\0" * 2, octal(size), b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


GZ, PLAIN, ZIP = "corpus.tar.gz", "corpus.tar", "corpus.zip"
LINK, OUTSIDE, DAMAGED = "is a link or a device", "leads outside", "not a sound archive"
NOISE = random.Random(0).randbytes(200_000)
# Kind to the file's name, its content, and the members that are read or what is said.
BATTERY = {
    "plain": (PLAIN, tar(), FINE),
    "gzip": (GZ, gzip.compress(tar()), FINE),
    "zip": (ZIP, zipped(), FINE),
    "gzip called .tar": (PLAIN, gzip.compress(tar()), FINE),
    "plain called .tar.gz": (GZ, tar(), FINE),
    "plain called .tgz": ("corpus.tgz", tar(), FINE),
    "zip called .tar": (PLAIN, zipped(), FINE),
    "zip called .tar.gz": (GZ, zipped(), FINE),
    "tar called .zip": (ZIP, tar(), FINE),
    "bzip2 called .tar.gz": (GZ, bz2.compress(tar()), FINE),
    "xz called .tar.gz": (GZ, lzma.compress(tar()), FINE),
    "bzip2": ("corpus.tar.bz2", bz2.compress(tar()), FINE),
    "xz": ("corpus.tar.xz", lzma.compress(tar()), FINE),
    "gzip of two members": (GZ, gzip.compress(tar()[:700]) + gzip.compress(tar()[700:]), FINE),
    "two archives, one after the other": (PLAIN, tar() + tar(content={"more": b"m"}), FINE | {"more": b"m"}),
    "two gzip archives": (GZ, gzip.compress(tar()) + gzip.compress(tar(content={"more": b"m"})), FINE | {"more": b"m"}),
    "the format of 1979": (PLAIN, unix_v7(FINE), FINE),
    "GNU's long names": (PLAIN, tar(form=tarfile.GNU_FORMAT, content={"n" * 300: b"1"}), {"n" * 300: b"1"}),
    "PAX's long names": (GZ, gzip.compress(tar(content={"é" * 300: b"1"})), {"é" * 300: b"1"}),
    "a folder alone": (PLAIN, tar(member("a", tarfile.DIRTYPE), content={}), "nothing is there"),
    "no member": (PLAIN, tar(content={}), "nothing is there"),
    "no member, gzip": (GZ, gzip.compress(tar(content={})), "nothing is there"),
    "no member, zip": (ZIP, zipped({}), "nothing is there"),
    "no byte": (GZ, b"", "in spite of its name neither"),
    "an error page": (ZIP, b"<!doctype html><title>404</title>" * 40, "in spite of its name neither"),
    "a text that was compressed": (GZ, gzip.compress(b"words of a text\n" * 99), "in spite of its name neither"),
    "zstd": ("corpus.tar.zst", b"\x28\xb5\x2f\xfd" + NOISE[:900], "in spite of its name neither"),
    "7z": ("corpus.7z", b"7z\xbc\xaf'\x1c" + NOISE[:900], "in spite of its name neither"),
    "cut in a member": (PLAIN, tar(content={"noise": NOISE})[:9000], "cut off in member 'noise'"),
    "cut in a header": (PLAIN, tar()[:1800], r"cut off|damaged"),
    "cut between members": (PLAIN, tar()[:1536], "cut off between its members"),
    "cut gzip": (GZ, gzip.compress(tar(content={"noise": NOISE}))[:90_000], DAMAGED),
    "cut gzip in its first bytes": (
        GZ,
        gzip.compress(tar(content={"noise": NOISE}))[:40],
        "in spite of its name neither",
    ),
    "cut bzip2": (
        "corpus.tar.bz2",
        bz2.compress(tar(content={"noise": NOISE}))[:90_000],
        "in spite of its name neither",
    ),
    "cut xz": ("corpus.tar.xz", lzma.compress(tar(content={"noise": NOISE}))[:90_000], DAMAGED),
    "cut zip": (ZIP, zipped({"noise": NOISE})[:90_000], DAMAGED),
    "a changed byte in gzip": (GZ, gzip.compress(tar(content={"noise": NOISE}))[:-6] + bytes(6), DAMAGED),
    "a changed byte in zip": (ZIP, renamed(zipped({"a": b"words"}, 0), b"words", b"wordz"), DAMAGED),
    "a header that is flipped": (PLAIN, tar()[:1540] + b"?" + tar()[1541:], DAMAGED),
    "zeros where a header was": (PLAIN, tar()[:1536] + bytes(512) + tar()[2048:], DAMAGED),
    "the rest never arrived": (PLAIN, tar()[:1536] + bytes(3 << 20), "stands more than any header"),
    "a symbolic link": (PLAIN, tar(member("l", tarfile.SYMTYPE, "/etc/passwd")), LINK),
    "a hard link, gzip": (GZ, gzip.compress(tar(member("l", tarfile.LNKTYPE, "../x"))), LINK),
    "a device": (PLAIN, tar(member("d", tarfile.CHRTYPE)), LINK),
    "a pipe": (PLAIN, tar(member("d", tarfile.FIFOTYPE)), LINK),
    "an absolute name": (PLAIN, tar(content={"/tmp/evil": b"x"}), OUTSIDE),
    "a name that climbs": (GZ, gzip.compress(tar(content={"../evil": b"x"})), OUTSIDE),
    "a folder that climbs": (PLAIN, tar(member("../../evil", tarfile.DIRTYPE)), OUTSIDE),
    "a name that climbs in Windows": (ZIP, zipped({"a\\..\\..\\evil": b"x"}), OUTSIDE),
    "a drive": (ZIP, zipped({"C:\\evil": b"x"}), OUTSIDE),
    "a name that comes again": (PLAIN, tar(content={"a": b"1"})[:-8704] + tar(content={"a": b"22"}), {"a": b"22"}),
    "a name of 5 MB, PAX": (PLAIN, tar(content={"n" * (5 << 20): b""}), r"a header of 5,242,8\d\d bytes"),
    "a name of 5 MB, GNU": (GZ, gzip.compress(tar(form=1, content={"n" * (5 << 20): b""})), r"a header of 5,242,8"),
    "a name of 9,000 characters": (PLAIN, tar(content={"n" * 9000: b""}), "has 9,000 characters"),
    "a name of 9,000 characters, zip": (ZIP, zipped({"n" * 9000: b""}), "has 9,000 characters"),
    "a name with a NUL": (PLAIN, pax([b"path=a\0b\n"]) + header("x") + bytes(1024), "it is not read"),
    "a size below zero": (PLAIN, header("x", size=negative(-512)) + bytes(1024), DAMAGED),
    "a size below zero, gzip": (GZ, gzip.compress(header("x", size=negative(-512)) + bytes(1024)), DAMAGED),
    "a long name of a size below zero": (GZ, gzip.compress(header("x", b"L", negative(-512)) + bytes(9999)), DAMAGED),
    "PAX with a size below zero": (PLAIN, pax([b"size=-1024\n"]) + header("x") + bytes(1024), DAMAGED),
    "PAX with a size that is none": (PLAIN, pax([b"size=many\n"]) + header("x") + bytes(1024), {"x": b""}),
    "PAX that ends nowhere": (PLAIN, header("p", b"x", octal(20), b"99999 path=") + bytes(1024), DAMAGED),
    "digits without end": (
        PLAIN,
        header("p", b"x", octal(16000), b"1" * 16000) + header("x") + bytes(1024),
        {"x": b""},
    ),
    "long names behind each other": (PLAIN, header("x", b"L", octal(1), b"x") * 3000 + bytes(1024), DAMAGED),
    "10 GB that are not there": (
        PLAIN,
        header("x", size=negative(10 << 30)[:0] + b"\x80\0\0\0" + struct.pack(">q", 10 << 30)) + bytes(1024),
        "cut off in member 'x'",
    ),
    "10 GB that are not there, gzip": (
        GZ,
        gzip.compress(header("x", size=b"\x80\0\0\0" + struct.pack(">q", 10 << 30)) + bytes(1024)),
        "more than 100 times its size",
    ),
    "10 GB of holes": (PLAIN, gnu_sparse(10 << 30) + bytes(1024), "is sparse"),
    "holes of 2006": (
        PLAIN,
        pax([b"GNU.sparse.major=1\n", b"GNU.sparse.minor=0\n"]) + header("x") + bytes(1024),
        DAMAGED,
    ),
    "a bomb, gzip": (GZ, gzip.compress(tar(content={"bomb": bytes(90 << 20)})), "more than 100 times its size"),
    "a bomb, zip": (ZIP, zipped({"bomb": bytes(90 << 20)}), "more than 100 times its size"),
    "a zip that claims 4 GB": (ZIP, claims(0xFFFFFFF0), "more than 100 times its size"),
    "a zip whose content is shorter than it claims": (ZIP, claims(700), DAMAGED),
    "encrypted": (ZIP, encrypted(), "'secret.txt' is encrypted"),
    "deflate64": (ZIP, method(9), "'odd.txt' is compressed by method 9.*unpack it and name"),
    "a method of nobody": (ZIP, method(77), "'odd.txt' is compressed by method 77"),
    "a name that is no UTF-8 though it says so": (
        ZIP,
        renamed(zipped({"caf\u00e9": b"x"}), b"\xc3\xa9", b"\xe9\xe9"),
        DAMAGED,
    ),
    "what macOS keeps": (
        ZIP,
        zipped(FINE | {"__MACOSX/a/._two.wav": b"x", "a/.DS_Store": b"x", "a/._two.wav": b"x"}),
        FINE,
    ),
    "what macOS keeps, tar": (PLAIN, tar(content=FINE | {"./._one.txt": b"x", ".DS_Store": b"x"}), FINE),
    "UTF-8 without its flag": (
        ZIP,
        renamed(zipped({"cafxx.wav": b"x"}), b"fxx", "f\u00e9".encode()),
        {"caf\u00e9.wav": b"x"},
    ),
    "CP437": (ZIP, renamed(zipped({"cafx.wav": b"x"}), b"fx", b"f\x82"), {"caf\u00e9.wav": b"x"}),
    "Latin-1": (PLAIN, tar(form=1, content={"caf\udce9.wav": b"x"}), {"caf\u00e9.wav": b"x"}),
    "Latin-1, gzip": (GZ, gzip.compress(tar(form=1, content={"caf\udce9.wav": b"x"})), {"caf\u00e9.wav": b"x"}),
}


@pytest.fixture
def nothing_escapes(tmp_path, artifact_root):
    """Beside the corpus and the store nothing is there afterwards."""
    yield
    kept = {"corpus", "artifacts"}
    assert {path.name for path in tmp_path.iterdir()} <= kept
    assert not Path("/tmp/evil").exists()
    assert not (tmp_path.parent / "evil").exists()


def read(corpus):
    source = open_corpus(corpus, open_draft("shards", "test"))
    assert source.spellings.keys().isdisjoint(source.files)
    return {name: storage.read(*source.locate(name)) for name in source.names()}


@pytest.mark.parametrize("sharded", [False, True], ids=["manifest", "webdataset"])
@pytest.mark.parametrize("kind", BATTERY)
def test_the_right_members_or_one_line(kind, sharded, tmp_path, nothing_escapes):
    name, data, expected = BATTERY[kind]
    if sharded and not name.endswith((".tar", ".tar.gz", ".tgz")):
        name = "corpus.tar"
    path = tmp_path / "corpus" / name
    path.parent.mkdir()
    path.write_bytes(data)
    corpus = Corpus(kind="webdataset" if sharded else "manifest", uri=str(path))
    if isinstance(expected, dict):
        found = read(corpus)
        if sharded and kind == "a name that comes again":  # which is a reject there, see test_webdataset.py
            assert found == {f"{name}/a": b"1", f"{name}/a//2": b"22"}
        else:
            assert found == {(f"{name}/" if sharded else "") + k: v for k, v in expected.items()}
        return
    with pytest.raises(UserError, match=expected) as caught:
        read(corpus)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400 + len(str(path)), "a name is not shown whole"
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["x.zip", "x.tar.gz", "x.tar", "x.tgz"])
def test_a_folder_may_be_called_as_archives_are(name, tmp_path, nothing_escapes):
    (tmp_path / "corpus" / name).mkdir(parents=True)
    (tmp_path / "corpus" / name / "one.txt").write_bytes(b"1")
    assert read(Corpus(kind="manifest", uri=str(tmp_path / "corpus" / name))) == {"one.txt": b"1"}
    (tmp_path / "corpus" / name / "0.tar").write_bytes(tar())
    found = read(Corpus(kind="webdataset", uri=str(tmp_path / "corpus" / name)))
    assert found == {f"0.tar/{k}": v for k, v in FINE.items()}


@pytest.mark.parametrize("name", ["data.csv", "a.txt.gz", "notes.zip.txt", "x"])
def test_other_files_are_no_archives(name, tmp_path):
    path = tmp_path / name
    for content in (b"", b"a,b\n", gzip.compress(b"text"), bz2.compress(b"text"), bytes(2000), gzip.compress(b"x")[:5]):
        path.write_bytes(content)
        assert archive_format(str(path)) == ""
    path.write_bytes(gzip.compress(tar()))
    assert archive_format(str(path)) == "gzip"


ARCHIVES = {"corpus.tar": tar(), "corpus.tar.gz": gzip.compress(tar(), 0), "corpus.zip": zipped(method=0)}


@pytest.mark.parametrize("name", ARCHIVES)
def test_damage_anywhere_is_one_line(name, tmp_path, artifact_root):
    """Bytes changed at random: members, or a UserError, and an end to it."""
    path, luck = tmp_path / name, random.Random(1)
    told = list[str]()
    for number in range(400):
        data = bytearray(ARCHIVES[name])
        if number % 2:
            at = luck.randrange(len(data))
            del data[at : at + luck.choice((1, 7, 512))]
        for _ in range(luck.randint(1, 4)):
            data[luck.randrange(len(data))] = luck.choice((0, 1, 0x20, 0x37, 0x80, 0xFF, luck.randrange(256)))
        path.write_bytes(data)
        try:
            if archive_format(str(path)) == "tar":
                list(archive_members.index_plain_tar(str(path)))
            else:
                for _, _, content in archive_members.read_members(str(path)):
                    content.read()
        except UserError as error:
            told.append(str(error))
    assert told
    assert not any("\n" in line for line in told)


PARTS = st.text(st.characters(exclude_characters="/\\\0", exclude_categories=["Cs"]), min_size=1, max_size=12)
PARTS = PARTS.filter(lambda p: p not in {".", ".."} and p[1:2] != ":" and not p.startswith(("._", ".partial-")))
PARTS = PARTS.filter(lambda p: p not in {"__MACOSX", ".DS_Store"} and len(p.encode()) < 60)
TREES = st.dictionaries(
    st.lists(PARTS, min_size=1, max_size=3).map("/".join), st.binary(max_size=40), min_size=1, max_size=6
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TREES)
@example({"cafe\u0301/a.wav": b"1", "caf\u00e9.wav": b"2", " x ": b"3"})
def test_a_folder_and_its_archives_hold_the_same(tmp_path_factory, artifact_root, tree):
    place = tmp_path_factory.mktemp("tree")
    folders = {name[:at] for name in tree for at in range(len(name)) if name[at] == "/"}
    tree = {name: data for name, data in tree.items() if name not in folders}
    for name, data in tree.items():
        (place / "folder" / name).parent.mkdir(parents=True, exist_ok=True)
        (place / "folder" / name).write_bytes(data)
    (place / "x.tar").write_bytes(tar(content=tree))
    (place / "x.tar.gz").write_bytes(gzip.compress(tar(content=tree, form=tarfile.GNU_FORMAT), 1))
    (place / "x.zip").write_bytes(zipped(tree))
    for name in ("folder", "x.tar", "x.tar.gz", "x.zip"):
        source = open_corpus(
            Corpus(kind="manifest", uri=str(place / name)),
            open_draft("shards", str(place / name)[-40:].replace("/", "_")),
        )
        assert {k: storage.read(*source.locate(k)) for k in source.names()} == tree
