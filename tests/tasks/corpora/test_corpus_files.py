"""Files are found as tables name them: accents composed either way, paths of Windows, paths that lead upwards."""

import gzip
import io
import json
import os
import tarfile
import unicodedata
import zipfile

import pytest
import soundfile
from s3_servers import BUCKET
from small_corpora import index_of, quarantine_of, tone

from infra import storage
from infra.artifact_store import open_draft
from infra.errors import UserError
from tasks.corpora.corpus_files import CorpusFiles, open_corpus
from tasks.corpora.corpus_uri import Corpus, parse_corpus
from tasks.corpora.readers import fsdd

COMPOSED, TAKEN_APART = (unicodedata.normalize(form, "caf\u00e9") for form in ("NFC", "NFD"))
HANGUL = [unicodedata.normalize(form, "\ud55c\uae00") for form in ("NFC", "NFD")]
PLACES = ("folder", "tar", "tar.gz", "zip", "s3")


def clip(number):
    out = io.BytesIO()
    soundfile.write(out, tone(number), 8000, format="WAV")
    return out.getvalue()


def manifest(*names):
    return "".join(json.dumps({"audio_filepath": n, "text": f"text {i}"}) + "\n" for i, n in enumerate(names)).encode()


def placed(where, files, tmp_path, request, monkeypatch):
    """The files as a folder, an archive or a prefix: its URI."""
    place = tmp_path / f"corpus.{where}"
    if where == "folder":
        for name, data in files.items():
            path = os.path.join(os.fsencode(place), name.encode(errors="surrogateescape"))
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(data)
    elif where == "s3":
        request.getfixturevalue("moto").use(monkeypatch)
        for name, data in files.items():
            storage.write(f"s3://{BUCKET}/{tmp_path.name}/{name}", data)
        return f"s3://{BUCKET}/{tmp_path.name}"
    elif where == "zip":
        with zipfile.ZipFile(place, "w") as out:
            for name, data in files.items():
                out.writestr(name, data)
    else:
        with tarfile.open(place, "w:gz" if where == "tar.gz" else "w") as out:
            for name, data in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                out.addfile(info, io.BytesIO(data))
    return str(place)


@pytest.fixture
def found(tmp_path, request, monkeypatch, ingested):
    """`found(where, files)`: the text of each clip that was kept, and why others were not. Beside them stand four clips
    that are always found, so that something is left to train on.
    """

    def run(where, files, below="", **options):
        (train,) = [name for name in files if name.rpartition("/")[2] in {"train.jsonl", "train.json"}]
        top = train.rpartition("/")[0]
        others = {f"{top}/other{i}.wav".lstrip("/"): clip(90 + i) for i in range(4)}
        lines = b"".join(b'{"audio_filepath": "other%d.wav", "text": "other text %d"}\n' % (i, i) for i in range(4))
        files = files | others | {train: files[train] + lines}
        uri = placed(where, files, tmp_path, request, monkeypatch)
        shards = ingested(f"manifest:{storage.join(uri, below) if below else uri}", error_budget=1.0, **options)
        kept = {row["source"]: row["text"] for row in index_of(shards) if "other" not in row["text"]}
        return kept, {row["source"]: row["reason"] for row in quarantine_of(shards)}

    return run


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("says", [0, 1])
def test_accents_composed_either_way(where, says, found):
    spellings = [COMPOSED, TAKEN_APART], HANGUL
    files = {f"clips/{words[says]}.wav": clip(i) for i, words in enumerate(spellings)}
    files["train.jsonl"] = manifest(*(f"clips/{words[1 - says]}.wav" for words in spellings), "clips/none\u00e9.wav")
    kept, rejects = found(where, files)
    assert list(kept) == sorted(name for name in files if name.endswith(".wav")), "they are called as they are there"
    assert sorted(kept.values()) == ["text 0", "text 1"]
    assert list(rejects.values()) == ["missing clip"]


def test_both_spellings_side_by_side_are_two_files(found):
    files = {f"{COMPOSED}.wav": clip(0), f"{TAKEN_APART}.wav": clip(1)}
    kept, _ = found("folder", files | {"train.jsonl": manifest(f"{COMPOSED}.wav", f"{TAKEN_APART}.wav")})
    assert kept == {f"{COMPOSED}.wav": "text 0", f"{TAKEN_APART}.wav": "text 1"}


def test_two_rows_for_one_file_are_one(found):
    files = {f"{COMPOSED}.wav": clip(0), "train.jsonl": manifest(f"{TAKEN_APART}.wav", f"{COMPOSED}.wav")}
    kept, rejects = found("folder", files)
    assert (list(kept.values()), list(rejects.values())) == (["text 0"], ["duplicate clip"])


@pytest.mark.parametrize("where", PLACES)
def test_paths_that_lead_upwards_or_are_those_of_windows(where, found):
    files = {"wavs/a.wav": clip(0), "wavs/b/c.wav": clip(1), "manifests/clips/d.wav": clip(2), "e.wav": clip(3)}
    names = ["../wavs/a.wav", "..\\wavs\\b\\c.wav", ".\\d.wav", "../wavs/../e.wav", "../wavs/none.wav"]
    kept, rejects = found(where, files | {"manifests/train.jsonl": manifest(*names)})
    assert kept == {name: f"text {i}" for i, name in enumerate(files)}
    assert list(rejects.values()) == ["missing clip"]


@pytest.mark.parametrize("where", ["folder", "s3"])
def test_paths_that_lead_out_of_the_folder_that_was_named(where, found):
    """As NeMo's do, and as absolute ones always did; their names stay as the manifest has them."""
    files = {"wavs/a.wav": clip(0), f"wavs/{TAKEN_APART}.wav": clip(1), "manifests/b.wav": clip(2)}
    names = ["../wavs/a.wav", f"..\\wavs\\{COMPOSED}.wav", "../manifests/b.wav", "../wavs/none.wav"]
    files |= {"manifests/train.json": manifest(*names), "manifests/dev.json": b""}
    kept, rejects = found(where, files, below="manifests")
    assert kept == {"../wavs/a.wav": "text 0", names[1]: "text 1", "b.wav": "text 2"}
    assert rejects == {"../wavs/none.wav": "missing clip"}
    if where == "folder":
        assert found(where, files, below="manifests/train.json")[0] == kept


@pytest.mark.parametrize("where", ["tar", "tar.gz", "zip"])
@pytest.mark.parametrize("name", ["../secret.wav", "..\\secret.wav", "clips/../../secret.wav", "{place}/secret.wav"])
def test_nothing_leads_out_of_an_archive(where, name, found, tmp_path):
    (tmp_path / "secret.wav").write_bytes(clip(0))
    said = name.format(place=tmp_path)
    kept, rejects = found(where, {"clips/a.wav": clip(1), "train.jsonl": manifest("clips/a.wav", said)})
    assert (kept, list(rejects.values())) == ({"clips/a.wav": "text 0"}, ["missing clip"])


def test_upwards_on_s3_ends_at_the_bucket(moto, monkeypatch):
    moto.use(monkeypatch)
    storage.write(f"s3://{BUCKET}/top.wav", b"1")
    source = CorpusFiles(f"s3://{BUCKET}/corpus", {})
    assert source.locate("../top.wav") == (f"s3://{BUCKET}/top.wav", 0, 1)
    assert source.locate(f"../../{BUCKET}/top.wav") is None
    assert source.locate("../../../../etc/hostname") is None


@pytest.mark.parametrize("where", ["folder", "tar", "tar.gz"])
def test_names_that_are_no_utf_8_are_latin_1(where, found):
    files = {"clips/caf\udce9.wav": clip(0), "train.jsonl": manifest("clips/caf\u00e9.wav", "clips/caf\ufffd.wav")}
    kept, rejects = found(where, files)
    assert kept == {"clips/caf\u00e9.wav": "text 0"}
    assert list(rejects.values()) == ["missing clip"]


@pytest.mark.parametrize("where", ["folder", "zip"])
def test_a_zip_of_macos_and_its_folder(where, found):
    files = {"clips/a.wav": clip(0), "clips/._a.wav": b"\0\5\x16\7", "__MACOSX/._train.jsonl": b"\0\5\x16\7"}
    files |= {".DS_Store": b"x", "._dev.jsonl": b"\0\5\x16\7", "__MACOSX/clips/._a.wav": b"x"}
    kept, rejects = found(where, files | {"train.jsonl": manifest("clips/a.wav")})
    assert (kept, rejects) == ({"clips/a.wav": "text 0"}, {})


def test_resource_forks_are_no_recordings(tmp_path, artifact_root):
    for name in ("0_eve_0.wav", "._0_eve_0.wav", "__MACOSX/1_eve_0.wav"):
        (tmp_path / "d" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "d" / name).write_bytes(b"x")
    source = open_corpus(Corpus(kind="fsdd", uri=str(tmp_path / "d")), open_draft("shards", "test"))
    assert fsdd.group_by_speaker(source) == {"eve": [(0, (0, "0_eve_0.wav"))]}


@pytest.mark.parametrize("where", ["folder", "tar", "tar.gz", "zip", "s3"])
@pytest.mark.parametrize("top", ["mine/", "mine/mine/", "./mine/"])
def test_manifests_in_a_top_folder(where, top, found):
    if where == "s3" and top.startswith("."):
        return
    files = {"clips/a.wav": clip(0), "b.wav": clip(1), "train.jsonl": manifest("clips/a.wav"), "dev.jsonl": b""}
    files["dev.jsonl"] = manifest("b.wav")
    kept, rejects = found(where, {f"{top}{name}": data for name, data in files.items()})
    top = top.removeprefix("./")
    assert (kept, rejects) == ({f"{top}b.wav": "text 0", f"{top}clips/a.wav": "text 0"}, {})


def test_a_place_that_is_no_utf_8_is_one_line(tmp_path):
    place = os.fsencode(tmp_path) + b"/caf\xe9"
    os.mkdir(place)
    for bad in (os.fsdecode(place), f"{tmp_path}/a\0b"):
        with pytest.raises(UserError, match="rename it"):
            parse_corpus(f"manifest:{bad}")


def test_names_that_no_file_can_have_are_missing(tmp_path):
    source = CorpusFiles(str(tmp_path), {"a": ("", 0, 1)})
    assert [source.locate(name) for name in ("a\0b", "../\ud800", "/\ud800", "", ".", "..", "/", "x" * 9000)] == [
        None
    ] * 8


def test_a_gzip_text_is_no_archive(tmp_path, artifact_root):
    (tmp_path / "t.txt.gz").write_bytes(gzip.compress(b"words\n"))
    source = open_corpus(Corpus(kind="text", uri=f"{tmp_path}/t.txt.gz"), open_draft("text", "test"))
    assert source.asked == f"{tmp_path}/t.txt.gz"
