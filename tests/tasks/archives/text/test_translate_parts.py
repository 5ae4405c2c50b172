"""Documents of an archive: every line exactly once, in its place, whatever is cut, killed or broken."""

import gzip
import io
import json
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from archives.conftest import contents, rows, store_at
from archives.text.small_translator import translator_bundle

from infra import storage
from models.interface import Beam
from tasks.archives.archive_job import TEXT
from tasks.archives.plan_work import plan_work
from tasks.archives.report_archive import TooManyFailures
from tasks.archives.run_parts import ArchiveRun
from tasks.archives.text.cut_documents import CutDocument, TextPartConfig
from tasks.archives.text.report_translations import report_translations, text_summary
from tasks.archives.text.translate_parts import TranslationJob
from tasks.bundles.model_bundle import load_bundle
from tasks.decoding.translate import TranslationConfig, Translator
from tasks.documents.document import DocumentConfig
from tasks.documents.formats import SUFFIXES
from tasks.steps.in_process import run_in_process
from tasks.steps.parquet_io import from_parquet

DOCUMENTS = DocumentConfig(source_language="en", target_language="de")
TMX = """<?xml version="1.0"?>
<tmx version="1.4"><header srclang="en"/><body>
{}</body></tmx>
"""
UNIT = "<tu><tuv xml:lang='{}'><seg>{}</seg></tuv></tu>\n"


@pytest.fixture
def job(artifact_root):
    bundle = translator_bundle()
    config = TranslationConfig(beam=Beam(width=1, max_length=5), max_source_tokens=40)
    formats = ("parquet", "document")
    return TranslationJob(bundle=bundle, config=config, documents=DOCUMENTS, formats=formats, decoding="d")


def run(job, source, output, max_kb=1, error_budget=1.0):
    store, parts = store_at(output, formats=["parquet", "document"]), TextPartConfig(max_kb=max_kb)
    with run_in_process(), store.hold():
        store.open()
        work = plan_work(store, str(source), SUFFIXES, parts, CutDocument(job.documents, parts))
        work.freeze(store)
        summary = ArchiveRun(job, store, 1, TEXT)(list(work.parts.values()), 1.0)
        return report_translations(store, work, summary, job.documents, error_budget)


def sentences(count, name):
    return [f"{name} {chr(97 + i % 13)}{' more' * (i % 2)}." for i in range(count)]


def documents(top):
    """Of each format a small one and one that is cut; what each line says."""
    top.mkdir(parents=True)
    told = {}
    for size, count in (("small", 5), ("large", 110)):
        told |= {
            f"{size}.{kind}": sentences(count, kind) for kind in ("txt", "txt.gz", "jsonl", "parquet", "tmx", "md")
        }
    for name, lines in told.items():
        text = "".join(f"{line}\n" for line in lines)
        if name.endswith("txt"):
            (top / name).write_text(text.replace("txt c", "\n\ntxt c"))
        elif name.endswith("gz"):
            (top / name).write_bytes(gzip.compress(text.encode()))
        elif name.endswith("jsonl"):
            (top / name).write_text("".join(json.dumps({"id": 1, "text": line}) + "\n" for line in lines))
        elif name.endswith("parquet"):
            pq.write_table(pa.table({"text": lines, "id": range(len(lines))}), top / name)
        elif name.endswith("tmx"):
            (top / name).write_text(TMX.format("".join(UNIT.format("en", line) for line in lines)))
        else:
            (top / name).write_text("# A title\n\n```\ncode\n```\n\n" + "\n\n".join(f"- {line}" for line in lines))
    return told


def test_every_format_small_and_cut(job, tmp_path):
    """The document says of each sentence what the translator says of it alone, at its place."""
    told = documents(tmp_path / "in")
    result = run(job, tmp_path / "in", tmp_path / "out")
    counts, out = result["counts"], tmp_path / "out" / "document"
    assert (counts["files"], counts.get("quarantined", 0)) == (12, 0)
    assert counts["lines"] == counts["lines_out"]
    translator = Translator(load_bundle(job.bundle), job.config)
    said = {row["source"]: row["translation"] for row in rows(tmp_path / "out", "translations")}
    alone = dict(zip(said, (made.text for made in translator.translate(list(said))), strict=True))
    assert said == alone
    assert len(set(said.values())) > 5, "else nothing is tested here"

    def expected(line):
        before, mark, after = line.partition("txt c")
        pieces = [before, mark + after] if line.startswith("txt") and mark else [line]
        return [said[piece.strip()] for piece in pieces]

    for name, lines in told.items():
        data = (out / name).read_bytes()
        if name.endswith("jsonl"):
            assert [json.loads(line)["translation"] for line in data.splitlines()] == [said[line] for line in lines]
        elif name.endswith("parquet"):
            table = from_parquet(data)
            assert table["translation"].to_pylist() == [said[line] for line in lines]
            assert table["id"].to_pylist() == list(range(len(lines)))
        elif name.endswith("tmx"):
            assert data.count(b'<tuv xml:lang="de">') == len(lines)
        elif name.endswith("gz"):
            assert gzip.decompress(data).decode() == "".join(f"{said[line]}\n" for line in lines)
        elif name.endswith("md"):
            assert b"```\ncode\n```" in data
            assert data.count(b"\n- ") == len(lines)
        else:
            made = [part.strip() for part in data.decode().split("\n") if part.strip()]
            assert made == [said[line].strip() for line in lines if said[line].strip()]
            assert data.count(b"\n") == (tmp_path / "in" / name).read_bytes().count(b"\n")
    for row in rows(tmp_path / "out", "translations"):
        if row["file"].endswith("txt"):
            lines = (tmp_path / "in" / row["file"].rpartition("/")[2]).read_text().split("\n")
            assert row["source"] in lines[row["line"] - 1]
    assert f"lines       {counts['lines']:,.0f} in, {counts['lines']:,.0f} out" in text_summary(result)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "lines in" in page


def test_only_what_is_new_and_the_same_again(job, tmp_path):
    documents(tmp_path / "in")
    run(job, tmp_path / "in", tmp_path / "out")
    before = contents(tmp_path / "out")
    assert run(job, tmp_path / "in", tmp_path / "out")["parts_done"] == 0
    assert contents(tmp_path / "out") == before
    (tmp_path / "in" / "new.txt").write_text("A new one.\n" * 300)
    assert run(job, tmp_path / "in", tmp_path / "out")["counts"]["files"] == 13
    assert (tmp_path / "out" / "document" / "new.txt").read_text().count("\n") == 300
    run(job, tmp_path / "in", tmp_path / "twice")
    after, twice = contents(tmp_path / "out"), contents(tmp_path / "twice")
    documented = [name for name in after if name.startswith("document/")]
    assert [after[name] for name in documented] == [twice[name] for name in documented]


def test_what_a_run_wrote_is_no_document_of_the_next(job, tmp_path):
    top, output = tmp_path / "in", tmp_path / "in" / "de"
    documents(top)
    result = run(job, top, output)
    before = contents(output)
    again = run(job, top, output)
    assert (again["parts_done"], again["counts"]) == (0, result["counts"])
    assert contents(output) == before
    assert again["ignored"]["(this output)"] > 13
    (top / "de.txt").write_text("Another one.\n")
    assert run(job, f"{top}/**/*", output)["counts"]["files"] == result["counts"]["files"] + 1
    assert run(job, output / "document", tmp_path / "fr")["counts"]["files"] == result["counts"]["files"] + 1


BOMB = '<!DOCTYPE t [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>\n'


def test_what_cannot_be_translated_is_told_and_kept(job, tmp_path):
    """No line is lost: each is in the document, and in the quarantine where it is not translated."""
    top = tmp_path / "in"
    top.mkdir()
    bad = {
        "encoding.txt": b"Good one.\nBad \xe9\xff one.\n\n\tAnother.\r\nlast",
        "controls.txt": b"A \x07 bell.\nGood.\nA \x0c page and \x1b one. Good again.\n",
        "long.txt": b"Go on. " + b"a" * 5000 + b".\n" + b"many words, " * 500 + b"\n",
        "wide.txt": "In UTF-16.\n".encode("utf-16"),
        "empty.txt": b"",
        "broken.jsonl": b'{"text": "Fine."}\n{"text": 3}\n{"text": "a\n[1]\n\n{"no": 1}\n{"text":"b","translation":1}\n'
        b'{"text": "\\ud83d"}\n{"text": "\\u0007"}\n{"text": ""}\n',
        "array.jsonl": b' [\n  {"text": "Fine."}\n]\n',
        "bomb.tmx": (TMX.replace("<tmx", BOMB + "<tmx").format(UNIT.format("en", "&b;"))).encode(),
        "cut.tmx": TMX.format(UNIT.format("en", "Good."))[:-30].encode(),
        "other.tmx": TMX.format(UNIT.format("fr", "Bon.") + UNIT.format("en-US", "Good.")).encode(),
        "html.md": b"# Good\n\nA <b>bold</b> word.\n\n<div>\nof a block\n</div>\n\nGood.\n",
        "no.parquet": b"PAR1 no",
        "half.txt.gz": gzip.compress(b"Good.\n" * 1000)[:-20],
        "plain.txt.gz": b"no gzip",
        "bomb.txt.gz": gzip.compress(b"Go.\n" * (24 << 20), 9),
        "line.txt.gz": gzip.compress(b"\0" * (40 << 20), 9),
    }
    for name, data in bad.items():
        (top / name).write_bytes(data)
    out = io.BytesIO()
    pq.write_table(pa.table({"number": [1]}), out)
    (top / "numbers.parquet").write_bytes(out.getvalue())
    with pytest.raises(TooManyFailures, match=r"of the (lines|files) failed, where error_budget allows 0.0%"):
        run(job, top, tmp_path / "out", error_budget=0.0)
    found = {
        (row["file"].rpartition("/")[2], row["line"], row["sentence"]): row
        for row in rows(tmp_path / "out", "quarantine")
    }
    reasons = {key: row["reason"] for key, row in found.items()}
    whole = {name: reason for (name, line, _), reason in reasons.items() if line is None}
    assert {n: " ".join(r.split()[:3]) for n, r in whole.items()} == {
        "wide.txt": "in UTF-16 or",
        "array.jsonl": "a JSON array",
        "bomb.tmx": "declares entities of",
        "cut.tmx": "no well-formed XML",
        "no.parquet": "no Parquet",
        "half.txt.gz": "no sound gzip",
        "plain.txt.gz": "no sound gzip",
        "bomb.txt.gz": "unpacks without end",
        "line.txt.gz": "a line of",
        "numbers.parquet": "no column text,",
    }
    lines = {key: reason for key, reason in reasons.items() if key[1] is not None}
    assert sorted((name, line) for name, line, _ in lines) == [
        *(("broken.jsonl", n) for n in (2, 3, 4, 6, 7, 8, 9)),
        ("controls.txt", 1), ("controls.txt", 3), ("encoding.txt", 2),
        *(("html.md", n) for n in (3, 5, 6, 7)), ("long.txt", 1), ("other.tmx", 1),
    ]  # fmt: skip
    assert lines["encoding.txt", 2, None] == "not UTF-8"
    assert found["controls.txt", 1, 0]["detail"] == "U+0007"
    assert lines["long.txt", 1, 1].startswith("too long to translate")
    written = tmp_path / "out" / "document"
    for name in bad.keys() - whole.keys():
        made = (written / name).read_bytes()
        assert made.count(b"\n") == bad[name].count(b"\n")
    assert b"\nBad \xe9\xff one.\n\n\t" in (written / "encoding.txt").read_bytes()
    assert (written / "controls.txt").read_bytes().startswith(b"A \x07 bell.\n")
    assert b"a" * 5000 in (written / "long.txt").read_bytes()
    assert sum(row["file"].endswith("long.txt") for row in rows(tmp_path / "out", "translations")) > 20
    assert b"<b>bold</b>" in (written / "html.md").read_bytes()
    objects = [json.loads(line) for line in (written / "broken.jsonl").read_bytes().splitlines()[7:]]
    assert [row.get("translation", "none") for row in objects] == ["none", None, ""]
    assert b"Bon." in (written / "other.tmx").read_bytes()
    assert (written / "other.tmx").read_bytes().count(b'lang="de"') == 1
    files = {row["file"].rpartition("/")[2]: row["status"] for row in rows(tmp_path / "out", "files")}
    assert set(files) == {*bad, "numbers.parquet"}
    assert files["empty.txt"] == "translated"


def test_members_of_archives_and_lists(job, tmp_path):
    text = "".join(f"{line}\n" for line in sentences(110, "Member"))
    with tarfile.open(tmp_path / "books.tar", "w") as tar:
        for name in ("a.txt", "b/c.md", "a.txt/d.txt", "a.txt/e.txt"):
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    (tmp_path / "d.txt").write_text(text)
    (tmp_path / "these.list").write_text("d.txt\n")
    run(job, tmp_path / "books.tar", tmp_path / "out")
    run(job, tmp_path / "these.list", tmp_path / "alone")
    documents = [name for name in contents(tmp_path / "out") if name.startswith("document/")]
    names = ["a.txt", "a.txt~2/d.txt", "a.txt~2/e.txt", "b/c.md"]
    assert documents == [f"document/books.tar/{name}" for name in names], "no file is another's folder"
    made = (tmp_path / "out" / "document" / "books.tar" / "a.txt").read_text()
    assert made == (tmp_path / "alone" / "document" / "d.txt").read_text()


def test_on_s3(job, tmp_path, moto, monkeypatch):
    moto.use(monkeypatch)
    text = "".join(f"{line}\n" for line in sentences(120, "Remote"))
    storage.write("s3://bucket/texts/in/a.txt", text.encode())
    storage.write("s3://bucket/texts/in/", b"")  # as consoles make a folder
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text(text)
    remote = run(job, "s3://bucket/texts/in", "s3://bucket/texts/out")
    local = run(job, tmp_path / "in", tmp_path / "out")
    assert remote["counts"] == local["counts"]
    made = storage.read("s3://bucket/texts/out/document/a.txt")
    for source in ("s3://bucket/texts/in/", "s3://bucket", "s3://bucket/"):
        store = store_at(tmp_path / "none", formats=["parquet", "document"])
        work = plan_work(store, source, SUFFIXES, TextPartConfig())
        assert [item.file.rpartition("/")[2] for item in work.items if "/in/" in item.file] == ["a.txt"]
    run(job, "s3://bucket/texts", "s3://bucket/texts/in/de")
    assert run(job, "s3://bucket/texts", "s3://bucket/texts/in/de")["parts_done"] == 0
    assert made == (tmp_path / "out" / "document" / "a.txt").read_bytes()
    assert remote["parts"] == 2
