"""Sentence pairs from every kind of file; what is wrong with a pair is a reject, with a file one line."""

import csv
import gzip
import json
import tarfile

import pytest

from infra.artifact_store import open_draft
from infra.errors import UserError
from tasks.corpora.corpus_files import open_corpus
from tasks.corpora.corpus_uri import IngestConfig, parse_corpus
from tasks.corpora.readers import multi30k, parallel
from tasks.corpora.tmx_file import find_language
from tasks.corpora.utterance import Reject
from tasks.ingest.split_corpus import split_corpus

EN_DE = IngestConfig(source_language="en", target_language="de")
PAIRS = [("A dog runs.", "Ein Hund rennt."), ("Two cats.", "Zwei Katzen."), ("It rains.", "Es regnet.")]
UNIT = '<tu><tuv xml:lang="en-US"><seg>{}</seg></tuv><tuv xml:lang="DE"><seg>{}</seg></tuv></tu>'
TMX = '<?xml version="1.0"?>\n<!DOCTYPE tmx SYSTEM "tmx14.dtd">\n{}<tmx version="1.4"><header/><body>{}</body></tmx>'


def read(place, options=EN_DE, splits=("train", "dev", "test"), reader=parallel):
    kind = reader.__name__.rpartition(".")[2]
    source = open_corpus(parse_corpus(f"{kind}:{place}", "pairs"), open_draft("shards"))
    return list(reader.pairs(source, options, splits))


def sides(rows):
    return [(row.content, row.text) for row in rows if not isinstance(row, Reject)]


def rejects(rows):
    return [(row.source, row.reason) for row in rows if isinstance(row, Reject)]


def lines(path, texts, encoding="utf-8"):
    path.parent.mkdir(parents=True, exist_ok=True)
    data = "".join(f"{text}\n" for text in texts).encode(encoding)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def aligned(folder, name="train", pairs=PAIRS, packed=""):
    for side, language in enumerate(("en", "de")):
        lines(folder / f"{name}.{language}{packed}", [pair[side] for pair in pairs])
    return folder


@pytest.fixture(autouse=True)
def _here(artifact_root):
    """Drafts lie in the test's own store."""


@pytest.mark.parametrize("packed", ["", ".gz", ".txt", ".txt.gz"])
def test_aligned_files(tmp_path, packed):
    place = aligned(tmp_path / "corpus", packed=packed)
    aligned(place, "newstest-dev", PAIRS[:1], packed)
    lines(place / f"train.fr{packed}", ["Un chien."])
    rows = read(place)
    assert sides(rows) == [PAIRS[0], *PAIRS]
    assert [row.split for row in rows] == ["dev", "train", "train", "train"]
    assert rows[1].source == f"train.en{packed}:1"
    assert sides(read(place, IngestConfig(source_language="de", target_language="en"))) == [
        (german, english) for english, german in [PAIRS[0], *PAIRS]
    ]


def test_of_a_language_s_varieties_the_first_with_words():
    assert find_language({"en-gb": " ", "en_us": "color", "de": ""}, "en") == "color"
    assert find_language({"en-gb": "colour", "en": "hue"}, "EN") == "hue"
    assert find_language({"en-gb": "colour"}, "en-US") == find_language({"de": " "}, "de") == ""


def test_one_file_of_two_names_both(tmp_path):
    place = aligned(tmp_path / "corpus", "mine")
    aligned(place, "other", PAIRS[:1])
    rows = read(place / "mine.de")
    assert sides(rows) == PAIRS
    assert {row.split for row in rows} == {""}


def test_an_archive(tmp_path):
    place = aligned(tmp_path / "corpus")
    with tarfile.open(tmp_path / "corpus.tar.gz", "w:gz") as archive:
        archive.add(place, "corpus")
    assert sides(read(tmp_path / "corpus.tar.gz")) == PAIRS


@pytest.mark.parametrize("header", [("en", "de"), ("Source", "Target"), ("src", "tgt")])
@pytest.mark.parametrize(("suffix", "mark"), [("tsv", "\t"), ("csv", ",")])
def test_delimited_tables(tmp_path, header, suffix, mark):
    rows = [(*header, "split"), *((*pair, "dev" if i else "train") for i, pair in enumerate(PAIRS))]
    lines(tmp_path / f"pairs.{suffix}", [mark.join(row) for row in rows])
    found = read(tmp_path / f"pairs.{suffix}")
    assert sides(found) == [*PAIRS[1:], PAIRS[0]]
    assert [row.split for row in found] == ["dev", "dev", "train"]


@pytest.mark.parametrize("quoted", [True, False])
def test_quotes_of_a_tsv(quoted, tmp_path):
    """Where the columns' names are in quotes, whoever wrote the table put every text in quotes; else they are said."""
    told = [('"It rains."', "Es regnet."), ('He said "no".', '"Ja."'), ('"', "Quote")]
    with (tmp_path / "pairs.tsv").open("w", newline="") as file:
        how = csv.QUOTE_ALL if quoted else csv.QUOTE_NONE
        writer = csv.writer(file, "excel-tab", quoting=how, quotechar='"' if quoted else None, lineterminator="\n")
        writer.writerows([("en", "de"), *told])
    assert sides(read(tmp_path / "pairs.tsv")) == told


@pytest.mark.parametrize("made", [
    lambda en, de: {"en": en, "de": de},
    lambda en, de: {"source": en, "target": de},
    lambda en, de: {"id": 3, "translation": {"de": de, "en": en}},
])  # fmt: skip
def test_json_lines(tmp_path, made):
    lines(tmp_path / "train.jsonl", [json.dumps(made(*pair)) for pair in PAIRS])
    lines(tmp_path / "dev.jsonl", [json.dumps(made(*PAIRS[0])), json.dumps(made("Alone.", None))])
    rows = read(tmp_path)
    assert sides(rows) == [PAIRS[0], *PAIRS]
    assert rejects(rows) == [("dev.jsonl:2", "empty target")]


@pytest.mark.parametrize("packed", [False, True])
def test_tmx(tmp_path, packed):
    inline = UNIT.format('A <bpt i="1">&lt;b></bpt><hi>big</hi> dog<ept i="1">&lt;/b></ept>.', "Ein gro&#223;er Hund.")
    text = TMX.format("", UNIT.format(*PAIRS[0]) + inline + UNIT.format("Alone.", " "))
    path = tmp_path / ("memory.tmx.gz" if packed else "memory.tmx")
    lines(path, [text])
    rows = read(path)
    assert sides(rows) == [PAIRS[0], ("A big dog.", "Ein großer Hund.")]
    assert rejects(rows) == [("memory.tmx" + ".gz" * packed + ":3", "empty target")]


BOMB = '<!DOCTYPE tmx [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]>'
OUTSIDE = '<!DOCTYPE tmx [<!ENTITY a SYSTEM "file:///etc/passwd">]>'


@pytest.mark.parametrize("head", [BOMB, OUTSIDE])
def test_entities_are_refused(tmp_path, head):
    text = TMX.replace('<!DOCTYPE tmx SYSTEM "tmx14.dtd">', head).format("", UNIT.format("&a;", "Ein Hund."))
    (tmp_path / "memory.tmx").write_text(text)
    with pytest.raises(UserError, match="it declares XML entities") as caught:
        read(tmp_path)
    assert "\n" not in str(caught.value)


def test_what_is_wrong_with_a_pair_is_a_reject(tmp_path):
    wrong = [
        (("", "Ein Hund."), "empty source"),
        (("A dog.", " \t"), "empty target"),
        (("A \x07dog.", "Ein Hund."), "control character in source"),
        (("A dog.", "Ein\x85 Hund\x00."), "control character in target"),
        (("A \u2028dog", "Ein Hund"), ""),
    ]
    place = aligned(tmp_path / "corpus", pairs=[pair for pair, _ in wrong])
    data = (place / "train.de").read_bytes()
    (place / "train.de").write_bytes(data + "Ein Bär.\n".encode("latin-1"))
    (place / "train.en").write_bytes((place / "train.en").read_bytes() + b"A bear.\n")
    rows = read(place)
    assert rejects(rows) == [
        *((f"train.en:{n}", reason) for n, (_, reason) in enumerate(wrong, 1) if reason),
        ("train.en:6", "target is not UTF-8"),
    ]
    assert sides(rows) == [("A dog", "Ein Hund")]


def test_of_two_variants_of_a_language_the_one_with_words_is_read(tmp_path):
    unit = UNIT.format('</seg></tuv><tuv xml:lang="en-US"><seg>A dog.', "Ein Hund.")
    (tmp_path / "memory.tmx").write_text(TMX.format("", unit))
    assert sides(read(tmp_path)) == [("A dog.", "Ein Hund.")]


def test_markup_of_any_depth_within_a_segment(tmp_path):
    deep = "<hi>" * 3000 + "A dog" + "<ph>%s</ph>" + "</hi>" * 2999 + " ran</hi>."
    (tmp_path / "memory.tmx").write_text(TMX.format("", UNIT.format(deep, "Ein Hund.")))
    assert sides(read(tmp_path)) == [("A dog ran.", "Ein Hund.")]


@pytest.mark.parametrize("charset", ["shift_jis", "bogus"])
def test_a_tmx_in_what_the_parser_cannot_read_is_one_line(tmp_path, charset):
    (tmp_path / "memory.tmx").write_text(TMX.replace("?>", f" encoding='{charset}'?>", 1).format("", ""))
    with pytest.raises(UserError, match=r"memory\.tmx: not well-formed XML .*export it again in UTF-8"):
        read(tmp_path)


@pytest.mark.parametrize(("change", "says"), [
    (lambda place: lines(place / "train.en", ["A dog."]), "sides of different length: .* 1 lines and .* 3 lines"),
    (lambda place: aligned(place, "odd"), "2 files say their splits by their names, but odd says none"),
    (lambda place: (place / "m.tmx").write_text("x"), "aligned files and TMX"),
    (lambda place: (place / "train.de").unlink(), r"train\.en is there without its other side, train\.de"),
    (lambda place: lines(place / "dev.de.gz", ["Hund."]), r"dev\.de\.gz is there without its other side, dev\.en"),
    (lambda place: lines(place / "train.en", ["A dog."], "utf-16"), "UTF-16"),
    (lambda place: lines(place / "train.en.gz", ["A dog."]), r"train\.en and train\.en\.gz are one side of the same"),
])  # fmt: skip
def test_what_is_wrong_with_files_is_one_line(tmp_path, change, says):
    place = aligned(tmp_path / "corpus")
    change(place)
    with pytest.raises(UserError, match=says) as caught:
        read(place)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("pair", "says"),
    [
        (("", ""), "--source-language"),
        (("en", "EN"), "two languages"),
        (("en", "fr"), r"train\.fr; put it beside it, or move train\.en away, or say --target-language de$"),
        (("english", "german"), r"there are NAME\.de, NAME\.en: say which by --source-language"),
    ],
)
def test_the_languages_have_to_be_named(tmp_path, pair, says):
    with pytest.raises(UserError, match=says):
        read(aligned(tmp_path / "corpus"), IngestConfig(source_language=pair[0], target_language=pair[1]))


def test_pairs_without_splits_are_divided_by_their_sources(tmp_path):
    many = [(f"Sentence {i // 2}.", f"Satz {i}.") for i in range(200)]
    place = aligned(tmp_path / "corpus", "mine", many)
    rows = list(split_corpus(lambda wanted: iter(read(place, EN_DE, wanted)), EN_DE, ("train", "dev", "test")))
    found = {split: {row.content for row in rows if row.split == split} for split in ("train", "dev", "test")}
    assert sum(map(len, found.values())) == 100
    assert all(len(sentences) >= 5 for sentences in found.values())


def test_multi30k(tmp_path):
    for name in ("train", "val", "test_2016_flickr", "test_2017_flickr"):
        aligned(tmp_path / "multi30k" / "raw", name, [(f"{name} en", f"{name} de")], ".gz")
    rows = read(tmp_path / "multi30k", reader=multi30k)
    assert [(row.split, row.content, row.text) for row in rows] == [
        (split, f"{name} en", f"{name} de")
        for split, name in (("train", "train"), ("dev", "val"), ("test", "test_2016_flickr"))
    ]
    other = IngestConfig(source_language="de", target_language="en", test_set="test_2017_flickr")
    assert sides(read(tmp_path / "multi30k", other, ("test",), multi30k)) == [
        ("test_2017_flickr de", "test_2017_flickr en")
    ]
    for wrong in (
        IngestConfig(source_language="en", target_language="fr"),
        IngestConfig(source_language="en", target_language="de", test_set="test_2018_flickr"),
    ):
        with pytest.raises(UserError, match="is not there; its test sets .* are test_2016_flickr, test_2017_flickr"):
            read(tmp_path / "multi30k", wrong, ("test", "train"), multi30k)
