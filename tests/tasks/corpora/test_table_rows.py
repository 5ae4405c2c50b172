"""Tables as people write them: line feeds, odd headers, and values that are no text or no time."""

import csv
import io
import json
import math
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_corpora import COLUMNS, read, rows_of, write_common_voice, write_table

from infra.errors import UserError
from tasks.corpora.corpus_files import CorpusFiles
from tasks.corpora.readers import commonvoice, labeled, manifest
from tasks.corpora.table_rows import read_rows
from tasks.corpora.utterance import Reject, Utterance


@pytest.fixture
def rows(artifact_root):
    """`rows(reader, place, splits, **options)`: what a reader says, without opening a clip."""
    return partial(read, "utterances")


def kept(rows):
    return [(r.clips[0], r.text) for r in rows if isinstance(r, Utterance)]


def rejected(rows):
    return [r.source for r in rows if isinstance(r, Reject)]


def manifest_of(tmp_path, name, content, clips="abcde"):
    (tmp_path / "m").mkdir(exist_ok=True)
    for clip in clips:
        (tmp_path / "m" / f"{clip}.wav").write_bytes(b"x")
    (tmp_path / "m" / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return tmp_path / "m"


@pytest.mark.parametrize("quoted", [True, False])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_sentence_with_a_line_feed_in_common_voice(quoted, end, tmp_path, rows):
    """The whole sentence where it is quoted, else one reject; the rows beside it are right."""
    root = write_common_voice(tmp_path / "cv")
    table = rows_of(5)
    sentence = "two\nlines, and\nthree"
    table[2]["sentence"] = f'"{sentence}"' if quoted else sentence
    write_table(root / "train.tsv", table, end=end)
    found = rows(commonvoice, root, ("train",))
    expected = [(f"clips/{row['path']}", row["sentence"]) for row in table]
    if quoted:
        expected[2] = (expected[2][0], sentence)
        assert (kept(found), rejected(found)) == (expected, [])
    else:
        assert (kept(found), rejected(found)) == (expected[:2] + expected[3:], ["train.tsv:4"])


@pytest.mark.parametrize("suffix", ["csv", "tsv"])
@pytest.mark.parametrize("columns", [("audio", "text"), ("text", "audio"), ("audio", "text", "speaker")])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_sentence_with_a_line_feed_in_a_manifest(suffix, columns, place, tmp_path, rows):
    """Quoted by a CSV writer it is whole; unquoted no half of it passes for a row. A neighbor may go with it where
    nobody can know, never with a text that is not its own.
    """
    texts = ["one", "two", "three"]
    texts[place] = "first half\nsecond half"
    table = [dict(audio=f"{c}.wav", text=t, speaker="s") for c, t in zip("abc", texts, strict=True)]
    between = "\t" if suffix == "tsv" else ","
    file = io.StringIO()
    writer = csv.DictWriter(file, columns, extrasaction="ignore", delimiter=between, lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    where = manifest_of(tmp_path, f"train.{suffix}", file.getvalue())
    assert kept(rows(manifest, where)) == [(row["audio"], row["text"]) for row in table]
    bare = "\n".join(between.join(row[c] for c in columns) for row in table)
    manifest_of(tmp_path, f"train.{suffix}", f"{between.join(columns)}\n{bare}\n")
    found = rows(manifest, where)
    assert set(kept(found)) <= {(row["audio"], row["text"]) for row in table if "\n" not in row["text"]}
    assert 1 <= len(rejected(found)) <= 2
    if "speaker" in columns:
        assert (len(kept(found)), len(rejected(found))) == (2, 1)


@pytest.mark.parametrize("suffix", ["csv", "tsv"])
def test_a_row_that_is_cut_short_takes_no_other_with_it(suffix, tmp_path, rows):
    between = "\t" if suffix == "tsv" else ","
    lines = [["audio", "text"], ["a.wav", "one"], ["b.wav"], ["c.wav", "three"], ["d.wav", "four", "more"]]
    place = manifest_of(tmp_path, f"train.{suffix}", "\n".join(between.join(fields) for fields in lines))
    found = rows(manifest, place)
    assert kept(found) == [("a.wav", "one"), ("c.wav", "three")]
    assert [r.detail for r in found if isinstance(r, Reject)] == ["1 fields for 2 columns", "3 fields for 2 columns"]
    assert rejected(found) == [f"train.{suffix}:3", f"train.{suffix}:5"]


@given(
    st.lists(
        st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r")), min_size=3, max_size=3)
    )
)
def test_what_a_csv_writer_writes_is_what_is_read(tmp_path_factory, table):
    place = tmp_path_factory.mktemp("t") / "t.csv"
    with place.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows([["a", "b", "c"], *table])
    source = CorpusFiles(str(place.parent), {"t.csv": ("", 0, place.stat().st_size)})
    assert [list(row.values()) for _, row in read_rows(source, "t.csv")] == table


@pytest.mark.parametrize("start", ["", "\ufeff"])
@pytest.mark.parametrize("header", ["audio,text,speaker", " Audio , TEXT,Speaker ", "PATH,Sentence,Client ID"])
@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl"])
def test_headers_in_any_writing(start, header, suffix, tmp_path, rows):
    table = [["a.wav", "one", "ann"], ["b.wav", " two", "bob"]]
    lines = [header, *(",".join(fields) for fields in table)]
    content = "\n".join(lines).replace(",", "\t" if suffix == "tsv" else ",")
    if suffix == "jsonl":
        content = "\n".join(json.dumps(dict(zip(header.split(","), fields, strict=True))) for fields in table)
    found = rows(manifest, manifest_of(tmp_path, f"train.{suffix}", start + content))
    assert [(r.clips[0], r.text.strip(), r.speaker) for r in found] == [
        ("a.wav", "one", "ann"),
        ("b.wav", "two", "bob"),
    ]
    assert {r.speaker_from for r in found} == {
        f"column {header.split(',')[2].strip() if suffix != 'jsonl' else header.split(',')[2]}"
    }


@pytest.mark.parametrize(
    "name", ["speaker", "speaker_id", "spk", "spk_id", "client_id", "speaker-id", "SpeakerID", "Spk"]
)
def test_speakers_under_any_usual_name(name, tmp_path, rows, artifact_root):
    place = manifest_of(tmp_path, "all.jsonl", json.dumps({"audio": "a.wav", "text": "t", "label": "l", name: 7}))
    (row,) = rows(manifest, place)
    assert (row.speaker, row.speaker_from, row.tags) == ("7", f"column {name}", {"label": "l"})
    (place / "all.jsonl").write_text(json.dumps({"text": "t", "label": "l", name: "ann"}))
    (row,) = read("labeled", labeled, place)
    assert (row.speaker, row.speaker_from) == ("ann", f"column {name}")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("train.csv", "audio,text,text\na.wav,b,c\n", "train.csv: the column text is there twice"),
        ("train.csv", "audio,text, Text\na.wav,b,c\n", "train.csv: text and Text are the same column"),
        ("train.tsv", "audio\ttext\tage\tage\na\tb\tc\td\n", "train.tsv: the column age is there twice"),
        ("train.csv", "audio,words\na.wav,b\n", "train.csv: no column text or sentence or .*; it has audio, words"),
        ("all.csv", "clip,text\na.wav,b\n", "all.csv: no column audio_filepath or audio or .*; it has clip, text"),
        ("train.csv", "audio;text\na.wav;b\n", "no column audio_filepath or .*; it has audio;text"),
        ("train.jsonl", '{"wav": "a", "text": "b"}\n', "no column audio_filepath or .*; it has wav, text"),
    ],
)
def test_columns_that_are_missing_or_doubled_are_named(name, content, says, tmp_path, rows):
    with pytest.raises(UserError, match=says) as caught:
        rows(manifest, manifest_of(tmp_path, name, content))
    assert "\n" not in str(caught.value)


TEXTS = {
    "NaN": "text is NaN",
    "Infinity": "text is Infinity",
    "1e999": "text is Infinity",
    '["two", "words"]': 'text is ["two", "words"]',
    '{"a": 1}': 'text is {"a": 1}',
    "true": "text is true",
    '"\\ud800"': "half a surrogate pair, \\ud800",
    '"ok \\uDfff"': "half a surrogate pair, \\udfff",
}


@pytest.mark.parametrize("value", TEXTS)
def test_what_is_no_text_is_a_reject_that_names_its_row(value, tmp_path, rows, ingested):
    lines = [f'{{"audio": "{c}.wav", "text": {v}}}' for c, v in (("a", '"fine"'), ("b", value), ("c", "12"))]
    found = rows(manifest, manifest_of(tmp_path, "train.jsonl", "\n".join(lines)))
    assert kept(found) == [("a.wav", "fine"), ("c.wav", "12")]
    (bad,) = (r for r in found if isinstance(r, Reject))
    assert (bad.source, bad.reason) == ("train.jsonl:2", "malformed row")
    assert bad.detail.startswith(TEXTS[value])
    bad.detail.encode()


@pytest.mark.parametrize("value", ["null", '""', '"  "'])
def test_no_text_is_an_empty_one(value, tmp_path, rows):
    found = rows(manifest, manifest_of(tmp_path, "train.jsonl", f'{{"audio": "a.wav", "text": {value}}}'))
    assert [r.text.strip() for r in found] == [""]


def test_what_else_is_known_of_a_row_may_be_missing_but_not_impossible(tmp_path, rows):
    lines = [
        '{"audio": "a.wav", "text": "a", "speaker": NaN, "age": NaN, "room": 3}',
        '{"audio": "b.wav", "text": "b", "speaker": ["x"]}',
        '{"audio": "c.wav", "text": "c", "text": "d"}',
        '{"audio": "d.wav", "text": "d", "Text": "e"}',
        '{"audio": "e\\u0000.wav", "text": "e"}',
        '{"audio": {"bytes": 1}, "text": "f"}',
        '{"audio": "a.wav", "text": "g", "note": "\\ud83d"}',
    ]
    found = rows(manifest, manifest_of(tmp_path, "train.jsonl", "\n".join(lines)))
    assert [(r.clips, r.speaker, r.tags) for r in found if isinstance(r, Utterance)] == [
        (("a.wav",), "", {"room": "3"})
    ]
    assert [(r.source.partition(":")[2], r.detail) for r in found if isinstance(r, Reject)] == [
        ("2", 'speaker is ["x"], not text'),
        ("3", "not JSON: text is there twice"),
        ("4", "text and Text are the same column"),
        ("5", "a path with a NUL in it"),
        ("6", 'audio is {"bytes": 1}, not text'),
        ("7", "half a surrogate pair, \\ud83d, which is no character"),
    ]


SPANS = {
    (None, None): None,
    (None, 2.5): None,  # NeMo says of every row how long its file is
    (0, None): None,
    ("", ""): None,
    (1.5, 2): (1.5, 2.0),
    ("1.5", " 2 "): (1.5, 2.0),
    (0, 2): (0.0, 2.0),
    (1.5, None): (1.5, math.inf),
    ("1.5", ""): (1.5, math.inf),
}
NO_SPANS = [(-0.5, 2), (0, -1), (1, 0), (None, -1), (math.nan, 1), (1, math.nan), (1, math.inf), (math.inf, 1)]
NO_SPANS += [("a", 1), (1, "1,5"), (True, 1), ([1], 1), ("nan", 1), ("1_0", 1), (None, "long"), (10**400, 1)]


def span_row(rows, tmp_path, offset, duration):
    line = json.dumps({"audio": "a.wav", "text": "t", "Offset": offset, "duration": duration})
    (row,) = rows(manifest, manifest_of(tmp_path, "train.jsonl", line))
    return row


@pytest.mark.parametrize("span", SPANS, ids=repr)
def test_offset_and_duration(span, tmp_path, rows):
    row = span_row(rows, tmp_path, *span)
    assert (row.span, row.tags) == (SPANS[span], {})


@pytest.mark.parametrize("span", NO_SPANS, ids=repr)
def test_offset_and_duration_that_are_no_time(span, tmp_path, rows):
    row = span_row(rows, tmp_path, *span)
    assert (row.source, row.reason) == ("train.jsonl:1", "malformed row")
    assert row.detail.startswith(("Offset is ", "duration is "))


def test_pieces_a_millisecond_apart_are_different_rows(tmp_path, rows):
    lines = [{"audio": "a.wav", "text": "t", "offset": 12345.678 + i / 1000, "duration": 1} for i in range(3)]
    found = rows(manifest, manifest_of(tmp_path, "train.jsonl", "\n".join(map(json.dumps, lines))))
    assert len({r.source for r in found}) == 3


def test_a_carriage_return_is_not_the_end_of_a_row(tmp_path, rows):
    root = write_common_voice(tmp_path / "cv")
    table = rows_of(3)
    table[1]["sentence"] = "one\rtwo\u2028three\x85four\x0bfive"
    write_table(root / "train.tsv", table, COLUMNS)
    assert [r.text for r in rows(commonvoice, root, ("train",))][1] == table[1]["sentence"]


def test_a_carriage_return_in_a_field_without_quotes_costs_its_row(tmp_path, rows):
    """In quotes it is text, as is a line feed; in the header, or as the only end of lines, nothing can be read."""
    table = 'audio,text\na.wav,one\rtwo\nb.wav,b b\nc.wav,"c\rc"\nd.wav,d d\r\n'
    found = rows(manifest, manifest_of(tmp_path, "t.csv", table), ("train",))
    assert kept(found) == [("b.wav", "b b"), ("c.wav", "c\rc"), ("d.wav", "d d")]
    assert [(r.source, r.reason) for r in found if isinstance(r, Reject)] == [("t.csv:2", "malformed row")]
    with pytest.raises(UserError, match="t.csv, near line 1"):
        rows(manifest, manifest_of(tmp_path, "t.csv", "audio,text\ra.wav,a\rb.wav,b\r"), ("train",))


def test_a_header_that_no_row_fits_is_said_by_its_columns(tmp_path, rows):
    for header, needed in (("audio", "text or sentence"), ("text", "audio_filepath or audio")):
        place = manifest_of(tmp_path, "t.csv", f"{header}\na.wav,one\nb.wav,two\n")
        with pytest.raises(UserError, match=f"t.csv: no column {needed} .*; it has {header}$"):
            rows(manifest, place, ("train",))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
@pytest.mark.parametrize("name", ["t.csv", "t.jsonl"])
def test_a_table_in_utf_16_is_said(encoding, name, tmp_path, rows):
    row = "audio,text\na.wav,one\n" if name.endswith("csv") else '{"audio": "a.wav", "text": "one"}\n'
    with pytest.raises(UserError, match=f"{name}: in UTF-16; write it in UTF-8"):
        rows(manifest, manifest_of(tmp_path, name, row.encode(encoding)), ("train",))
