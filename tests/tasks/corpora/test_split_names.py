"""What corpora call their splits is known in any spelling, and what is no split is not taken for one."""

import json
from collections import Counter
from functools import partial

import pytest
from small_corpora import read, rows_of, write_common_voice, write_table

from infra.artifact_store import open_draft
from infra.errors import UserError
from tasks.corpora.corpus_files import open_corpus
from tasks.corpora.corpus_uri import Corpus
from tasks.corpora.readers import an4, commonvoice, labeled, librispeech, manifest, text
from tasks.corpora.split_names import resolve_splits, split_in_path
from tasks.corpora.utterance import Reject, Utterance

SPELLINGS = {
    "train": "train Train TRAIN training trn train-clean-100 train_clean_5 train.other.500 train-960 train_nodev",
    "dev": "dev DEV devel development val valid VALIDATION dev-clean dev_other validation.clean train_dev test_dev93",
    "test": "test Test tst testing test-clean test_other test.clean test_eval92 TEST2 testset",
}
OTHERS = (
    "validated invalidated other reported holdout xl train-test dev+test not_train train_excluded 0 - tested pretest"
)


@pytest.fixture
def rows(artifact_root):
    """`rows(reader, place, splits, **options)`: what a reader says, without opening a clip."""
    return partial(read, "utterances")


def write_lines(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(map(json.dumps, rows)))


def line(i, **more):
    return {"audio": f"{i}.wav", "text": f"line {i}"} | more


def places(rows):
    """Split and clip of each utterance."""
    return sorted((r.split, r.clips[0]) for r in rows if isinstance(r, Utterance))


def test_spellings():
    for split, names in SPELLINGS.items():
        for name in [*names.split(), f" {names.split()[0]} ", f"{names.split()[0]}-00000-of-00002", f"x_{split}Set_1"]:
            assert resolve_splits([name]) == {name: split}, name
    for name in OTHERS.split():
        assert resolve_splits([name]) == {}, name
    for name, split in {"tr05_real": "train", "si_dt_05": "dev", "et05_bus_simu": "test"}.items():
        assert resolve_splits([name]) == {name: split}


@pytest.mark.parametrize("name", ["eval", "Evaluation", "eval2000", "eval_clean", "EVAL-other"])
def test_eval_is_a_test_set_unless_the_corpus_has_one_and_no_dev_set(name):
    assert resolve_splits([name])[name] == "test"
    assert resolve_splits([name, "train"])[name] == "test"
    assert resolve_splits([name, "train", "dev"])[name] == "test"
    assert resolve_splits([name, "train", "dev-clean", "test"])[name] == "test"
    assert resolve_splits([name, "train", "test_other"])[name] == "dev"


def test_the_innermost_part_of_a_path_that_names_a_split():
    assert split_in_path("my-test-corpus/train_clean/11/1/11-1.trans.txt") == "train_clean"
    assert split_in_path("a/b.csv", "/data/LibriSpeech/dev-clean") == "dev-clean"
    assert split_in_path("a/b.csv", "/data/dev-clean.tar.gz") == "dev-clean.tar.gz"
    assert split_in_path("a/b.csv", "/data/my_test_folder") == "", "it says something else as well"


@pytest.mark.parametrize("column", ["split", "Split", " SPLIT ", "Data Split", "split_name", "subset", "Partition"])
@pytest.mark.parametrize("name", ["data.csv", "train.csv", "test.tsv"])
def test_a_split_column_counts_wherever_its_file_lies(column, name, tmp_path, rows):
    """Spellings as values; the same whether the folder or the file is named."""
    said = [(split, spelling) for split, names in SPELLINGS.items() for spelling in names.split()]
    between = "\t" if name.endswith("tsv") else ","
    table = [["audio", "text", column], *([f"{i}.wav", f"line {i}", f" {s}"] for i, (_, s) in enumerate(said))]
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / name).write_text("\n".join(between.join(fields) for fields in table))
    for place in (tmp_path / "m", tmp_path / "m" / name):
        found = rows(manifest, place)
        assert places(found) == sorted((split, f"{i}.wav") for i, (split, _) in enumerate(said))
        assert {r.split_from for r in found if r.clips == ("0.wav",)} == {f"column {column.strip()}: train"}


def test_a_file_is_of_the_split_that_its_folder_says_whichever_of_the_two_is_named(tmp_path, rows):
    write_lines(tmp_path / "dev-clean" / "all.jsonl", [line(0)])
    for place in (tmp_path / "dev-clean", tmp_path / "dev-clean" / "all.jsonl"):
        (row,) = rows(manifest, place)
        assert (row.split, row.split_from) == ("dev", "name dev-clean")


@pytest.mark.parametrize("said", OTHERS.split())
def test_a_row_of_no_split_that_is_known_is_rejected_by_name(said, tmp_path, rows):
    write_lines(tmp_path / "m" / "all.jsonl", [line(0, split="train"), line(1, split=said), line(2, split="")])
    for reader, verb in ((manifest, "utterances"), (labeled, "labeled")):
        if reader is labeled:
            lines = [{"text": "a", "label": "b", "split": s} for s in ("train", said, "")]
            write_lines(tmp_path / "m" / "all.jsonl", lines)
        good, *bad = read(verb, reader, tmp_path / "m")
        assert (good.split, isinstance(good, Utterance)) == ("train", True)
        assert [(r.source, r.reason) for r in bad] == [
            ("all.jsonl:2", "unknown split"),
            ("all.jsonl:3", "no split"),
        ]
        assert repr(said) in bad[0].detail
        assert [r.split for r in read(verb, reader, tmp_path / "m", own_splits=True)] == [""] * 3


def test_a_subset_that_is_no_split_is_a_tag(tmp_path, rows):
    write_lines(tmp_path / "m" / "a.jsonl", [line(0, subset="xl"), line(1, subset="test")])
    assert [(r.split, r.tags["subset"]) for r in rows(manifest, tmp_path / "m")] == [("train", "xl"), ("train", "test")]


def test_a_row_without_a_value_is_of_its_file_s_split(tmp_path, rows):
    write_lines(tmp_path / "m" / "dev.jsonl", [line(0), line(1, split="test"), line(2, split=None)])
    assert places(rows(manifest, tmp_path / "m")) == [("dev", "0.wav"), ("dev", "2.wav"), ("test", "1.wav")]


@pytest.mark.parametrize(
    "names",
    [
        ("train-clean-100.jsonl", "dev_other.csv", "Test-Clean.TSV"),
        ("mine.training.json", "mine.valid.json", "mine.eval.json"),
        ("train/a.jsonl", "dev_clean/a.jsonl", "eval/a.jsonl"),
    ],
)
def test_files_and_folders_that_name_their_splits(names, tmp_path, rows):
    for i, name in enumerate(names):
        path = tmp_path / "m" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        between = "\t" if name.lower().endswith("tsv") else ","
        table = f"audio{between}text\n{i}.wav{between}a\n"
        path.write_text(table if "sv" in name.lower()[-2:] else json.dumps(line(i)))
    found = rows(manifest, tmp_path / "m")
    assert [r.split for r in found] == ["test", "dev", "train"]
    assert {r.split_from for r in found} == {f"name {n.split('/')[0]}" for n in names}


def test_a_manifest_of_no_split_beside_others_is_named(tmp_path, rows):
    for name in ("train", "dev", "holdout"):
        write_lines(tmp_path / "m" / f"{name}.jsonl", [line(name)])
    with pytest.raises(UserError, match="holdout.jsonl: says no split, and there are others that do"):
        rows(manifest, tmp_path / "m")
    (tmp_path / "m" / "holdout.jsonl").rename(tmp_path / "m" / "invalidated.jsonl")
    (tmp_path / "m" / "speakers.csv").write_text("speaker,age\nann,3\n")
    assert [r.split for r in rows(manifest, tmp_path / "m")] == ["dev", "train"]


def test_parts_of_librispeech(tmp_path, rows):
    def part(name, speaker):
        folder = tmp_path / "c" / "LibriSpeech" / name / f"{speaker}" / "1"
        folder.mkdir(parents=True)
        (folder / f"{speaker}-1.trans.txt").write_text(f"{speaker}-1-0000 A\n")

    for i, name in enumerate(("train_clean_5", "Train-Other-500", "dev_clean", "test_other", "EVAL")):
        part(name, i)
    assert Counter(r.split for r in rows(librispeech, tmp_path / "c")) == {"train": 2, "dev": 1, "test": 2}
    assert {r.split for r in rows(librispeech, tmp_path / "c" / "LibriSpeech" / "dev_clean")} == {"dev"}
    part("holdout", 9)
    with pytest.raises(UserError, match=r"no folder of LibriSpeech/holdout/9/1/9-1.trans.txt says its split"):
        rows(librispeech, tmp_path / "c")
    assert {r.split for r in rows(librispeech, tmp_path / "c", own_splits=True)} == {""}


def test_common_voice_takes_its_splits_and_nothing_else(tmp_path, rows):
    root = write_common_voice(tmp_path / "cv")
    for i, name in enumerate(("validated", "invalidated", "other")):
        write_table(root / f"{name}.tsv", rows_of(5, 100 * (i + 1)))
    (root / "dev.tsv").rename(root / "Validation.tsv")
    assert Counter(r.split for r in rows(commonvoice, root)) == {"train": 12, "dev": 3, "test": 3}
    write_table(root / "holdout.tsv", rows_of(2, 900))
    with pytest.raises(UserError, match=r"holdout.tsv: clips of no split that is known"):
        rows(commonvoice, root)
    assert len(rows(commonvoice, root, own_splits=True)) == 5, "what was validated"


def test_lists_of_an4(tmp_path, rows):
    for name in ("an4-train", "an4_eval", "AN4_valid"):
        (tmp_path / "etc").mkdir(exist_ok=True)
        (tmp_path / "etc" / f"{name}.fileids").write_text(f"s/{name}\n")
        (tmp_path / "etc" / f"{name}.transcription").write_text(f"A ({name})\n")
    assert [(r.split, r.split_from) for r in rows(an4, tmp_path)] == [
        ("test", "list an4_eval"),
        ("dev", "list AN4_valid"),
        ("train", "list an4-train"),
    ]
    (tmp_path / "etc" / "holdout.fileids").write_text("s/x\n")
    with pytest.raises(UserError, match="the name of etc/holdout.fileids says no split"):
        rows(an4, tmp_path)


def test_plain_text_that_is_divided_is_not_read_as_a_whole(tmp_path, artifact_root):
    def documents():
        return text.documents(open_corpus(Corpus(kind="text", uri=str(tmp_path)), open_draft("text", "test")))

    (tmp_path / "ptb.train.txt").write_text("a")
    assert documents() == ["ptb.train.txt"]
    (tmp_path / "ptb.valid.txt").write_text("b")
    with pytest.raises(UserError, match="ptb.train.txt and ptb.valid.txt are different splits by their names"):
        documents()
    (tmp_path / "ptb.train.txt").unlink()
    assert documents() == ["ptb.valid.txt"]


def test_rejects_count_as_training(tmp_path, rows):
    write_lines(tmp_path / "m" / "all.jsonl", [line(0, split="xl"), line(1, split="dev")])
    assert [(r.split, type(r)) for r in rows(manifest, tmp_path / "m")] == [("dev", Utterance), ("train", Reject)]
