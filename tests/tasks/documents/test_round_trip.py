"""A document whose sentences are translated into themselves comes back byte for byte, wherever it is cut."""

import io
import json
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from documents.translated import passages, translate
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.errors import UserError
from tasks.documents.document import DocumentConfig
from tasks.documents.formats import document_format
from tasks.steps.parquet_io import from_parquet

WORDS = st.lists(
    st.sampled_from(
        [
            "One.",
            "two",
            "Three!",
            "z.B.",
            "4.",
            "«Fünf»",
            "六。七",
            "\u2028",
            "\x85",
            "\x0c",
            "\r",
            "\t",
            "  ",
            "é",
            "😀",
        ]
    ),
    max_size=8,
).map(" ".join)
ENDS = st.sampled_from(["\n", "\r\n", "\n\n"])
TEXT = st.lists(st.tuples(WORDS, ENDS), max_size=12).map(lambda rows: "".join(map("".join, rows)))
MARKDOWN = st.lists(
    st.sampled_from(
        [
            *(
                "# A title ##",
                "Under\n===",
                "- an item",
                "  1. another. And one.",
                "> said so.",
                "```py",
                "```",
                "~~~~",
            ),
            *(
                "    code = 1",
                "",
                "| a | b |",
                "|---|:-:|",
                "[x]: http://y.z 'T'",
                "***",
                "See [the page](a.md), `x y`.",
            ),
            *(
                "- [ ] to do",
                "![i](p.png)",
                "Hard break  ",
                "soft\\",
                "<b>bold</b>",
                "<!-- c",
                "-->",
                "---",
                "[^1]: note",
            ),
        ]
    ),
    max_size=25,
).map("\n".join)
SIZES = st.sampled_from([0, 1, 7, 40])


def same(name, data, most, **config):
    with tempfile.TemporaryDirectory() as folder:
        return translate(name, data, str, Path(folder), most, **config) == data


@given(TEXT, WORDS, SIZES, st.sampled_from(["lines", "sentences"]))
def test_plain_text(text, end, most, how):
    assert same("a.txt", (text + end).encode(), most, split_sentences=how)


@given(st.binary(max_size=60), SIZES)
def test_text_of_any_bytes(data, most):
    if not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        assert same("a.txt", data, most)


@given(MARKDOWN, SIZES)
def test_markdown(text, most):
    assert same("a.md", text.encode(), most)


@given(MARKDOWN)
def test_markdown_is_read_the_same_wherever_it_is_cut(text):
    data = text.encode()
    whole = [(p.line, p.text, p.problem) for p in passages("a.md", data)[0]]
    ranges = document_format("a.md", DocumentConfig()).cut(io.BytesIO(data), 30)
    assert [(p.line, p.text, p.problem) for r in ranges for p in passages("a.md", data, r)[0]] == whole


@given(st.lists(st.dictionaries(st.sampled_from(["id", "n"]), st.integers()), max_size=8), st.data(), SIZES)
def test_json_lines(rows, data, most):
    """Without what was put there, each line is as it was."""
    lines = []
    for row in rows:
        written = json.dumps(row | {"text": data.draw(WORDS)}, ensure_ascii=data.draw(st.booleans()))
        lines.append(written + data.draw(st.sampled_from(["\n", "  \r\n", "\n\n"])))
    before = "".join(lines).encode()
    with tempfile.TemporaryDirectory() as folder:
        after = translate("a.jsonl", before, str, Path(folder), most)
    assert len(after.splitlines()) == len(before.splitlines())
    for old, new in zip(before.split(b"\n"), after.split(b"\n"), strict=True):
        if old.strip():
            told = json.loads(new)
            field = f', "translation": {json.dumps(told["text"], ensure_ascii=False)}'.encode()
            assert told["translation"] == told["text"]
            assert new.replace(field, b"") == old


@settings(max_examples=25)
@given(st.lists(st.one_of(st.none(), WORDS), max_size=20), SIZES)
@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_parquet(kind, texts, most):
    table = pa.table({"id": range(len(texts)), "text": pa.array(texts, pa.string()).cast(kind)})
    out = io.BytesIO()
    pq.write_table(table, out, row_group_size=3)
    with tempfile.TemporaryDirectory() as folder:
        made = from_parquet(translate("a.parquet", out.getvalue(), str, Path(folder), most))
    assert made.select(["id", "text"]).equals(table)
    assert made["translation"].to_pylist() == texts


@pytest.mark.parametrize("most", [0, 1, 40])
def test_parquet_keeps_every_other_column(most):
    lists = pa.array([["a"], None, [], ["b", "a"], [None]], pa.list_(pa.dictionary(pa.int8(), pa.string())))
    deep = pa.array([{"x": [1, None], "y": {"z": b"\xff"}}, None, None, {"x": [], "y": None}, None])
    table = pa.table({"text": ["One.", None, "", "two", "é\nf"], "lists": lists, "deep": deep, "none": pa.nulls(5)})
    out = io.BytesIO()
    pq.write_table(table, out, row_group_size=2)
    with tempfile.TemporaryDirectory() as folder:
        made = pq.read_table(io.BytesIO(translate("a.parquet", out.getvalue(), str, Path(folder), most)))
    assert made.drop_columns("translation").to_pylist() == table.to_pylist()
    assert made["translation"].to_pylist() == table["text"].to_pylist()


def tmx(rows, charset="utf-8", language="en"):
    units = "".join(f"<tu><tuv xml:lang='en'><seg>{row}</seg></tuv></tu>\n  " for row in rows)
    head = f'<?xml version="1.0" encoding="{charset}"?>\n<!DOCTYPE tmx SYSTEM "tmx14.dtd">\n<tmx xmlns:x="y">'
    return f'{head}<header srclang="{language}"/><body x:a="1"><!-- </tu> -->\n{units}</body></tmx>\n'.encode(charset)


@given(
    st.lists(st.sampled_from(["One &amp; two.", "<hi>é</hi> so", "a\nb", "<ph x='&lt;'>%s</ph> c", "😀. Then", ""])),
    st.sampled_from(["utf-8", "utf-16", "iso-8859-1"]),
    SIZES,
)
def test_tmx(rows, charset, most):
    rows = [row.replace("😀", "ü") for row in rows] if charset.startswith("iso") else rows
    before = tmx(rows, charset)
    with tempfile.TemporaryDirectory() as folder:
        after = translate("a.tmx", before, str.upper, Path(folder), most, target_language="de")
    read, _ = passages("a.tmx", before, target_language="de")
    assert [p.text for p in read] == [r for r in map(plain, rows) if r]
    twice, _ = passages("a.tmx", after, source_language="de", target_language="fr")
    assert [p.text for p in twice if not p.problem] == [p.text.upper() for p in read]
    text = after.decode(charset)
    for one in read:
        told = one.text.upper().replace("&", "&amp;")
        text = text.replace(f'<tuv xml:lang="de"><seg>{told}</seg></tuv>', "", 1)
    assert text == before.decode(charset)


@pytest.mark.parametrize("most", [0, 1])
def test_tmx_of_a_namespace(most, tmp_path):
    before = tmx(["One.", "Two."]).replace(b"<tmx xmlns", b"<tmx xmlns='http://www.lisa.org/tmx14' xmlns")
    after = translate("a.tmx", before, str.upper, tmp_path, most, target_language="de")
    assert after.count(b'<tuv xml:lang="de">') == 2
    prefixed = b"<x:tmx xmlns:x='y'><x:header srclang='en'/><x:body><x:tu/></x:body></x:tmx>"
    with pytest.raises(UserError, match="prefix"):
        translate("a.tmx", prefixed, str.upper, tmp_path, most, target_language="de")


EMPTY = "<seg></seg>", "<seg/>", "<seg>\n </seg>", "<seg ><ph x='1'/></seg>", "<seg><!-- <seg> --></seg>", "<seg />"


@given(st.lists(st.sampled_from(EMPTY), max_size=4), st.sampled_from(["utf-8", "utf-16", "iso-8859-1"]), SIZES)
def test_an_empty_variant_of_the_target_language_is_filled(empty, charset, most):
    before = tmx([f"Ü {n}.</seg></tuv><tuv xml:lang='de'>{one}</tuv><tuv xml:lang='fr'><seg>x" for n, one in
                  enumerate(empty)], charset)  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        after = translate("a.tmx", before, str.lower, Path(folder), most, target_language="de").decode(charset)
    read, rest = passages("a.tmx", after.encode(charset), source_language="de", target_language="en-GB")
    assert [p.text.strip() for p in read] == []
    assert rest.lines == len(empty)
    read, _ = passages("a.tmx", after.encode(charset), source_language="de", target_language="es")
    assert [p.text.strip() for p in read] == [f"ü {n}." for n in range(len(empty))]
    for n, one in enumerate(empty):
        begin = one.replace("/>", ">").replace(" >", ">") if "<ph" not in one and one.endswith("/>") else ""
        filled = f"<seg>ü {n}.</seg>" if begin else one.replace("</seg>", f"ü {n}.</seg>")
        assert filled in after
        after = after.replace(filled, one, 1)
    assert after == before.decode(charset)


@pytest.mark.parametrize("charset", ["utf-16-le", "utf-16-be"])
def test_utf_16_needs_no_byte_order_mark(charset, tmp_path):
    before = tmx(["Ü."], "utf-8").decode().replace(' encoding="utf-8"', "").encode(charset)
    after = translate("a.tmx", before, str.lower, tmp_path, target_language="de").decode(charset)
    assert after.replace('<tuv xml:lang="de"><seg>ü.</seg></tuv>', "") == before.decode(charset)


def test_of_several_sources_the_one_with_words_is_translated(tmp_path):
    before = tmx(["</seg></tuv><tuv xml:lang='en-US'><seg>One."])
    after = translate("a.tmx", before, str.upper, tmp_path, target_language="de")
    assert b'<tuv xml:lang="de"><seg>ONE.</seg></tuv>' in after


def test_parquet_is_cut_by_rows_however_it_is_packed(tmp_path):
    out = io.BytesIO()
    pq.write_table(pa.table({"text": pa.array(["the same words"] * 40_000)}), out)
    ranges = list(document_format("a.parquet", DocumentConfig()).cut(io.BytesIO(out.getvalue()), 1 << 18))
    assert len(out.getvalue()) < 1 << 13
    assert max(r.end - r.begin for r in ranges) <= 1 << 14
    assert [r.begin for r in ranges[1:]] == [r.end for r in ranges[:-1]]
    assert ranges[-1].end == 40_000


def test_parquet_that_unpacks_without_end_is_refused(tmp_path):
    out = io.BytesIO()
    pq.write_table(pa.table({"text": pa.array(["x" * (1 << 20)] * 400)}), out, compression="zstd")
    assert len(out.getvalue()) < 1 << 17
    with pytest.raises(UserError, match="unpacks without end"):
        translate("a.parquet", out.getvalue(), str, tmp_path)


def plain(segment):
    for written, read in {"<hi>": "", "</hi>": "", "<ph x='&lt;'>%s</ph>": "", "&amp;": "&"}.items():
        segment = segment.replace(written, read)
    return segment


@given(TEXT, st.sampled_from([1, 40]))
def test_ranges_follow_one_another(text, most):
    data = text.encode()
    reached, line = 0, 1
    for where in document_format("a.txt", DocumentConfig()).cut(io.BytesIO(data), most):
        assert (where.begin, where.line) == (reached, line)
        line += data[where.begin : where.end].count(b"\n")
        reached = where.end
    assert reached == len(data)
