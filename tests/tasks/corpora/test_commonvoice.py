"""Common Voice as it comes: any release's columns, line ends, a language deep in an archive."""

import json
import shutil

import pytest
from small_corpora import COLUMNS, index_of, rows_of, summary, write_common_voice, write_table


def test_the_language_may_lie_deep_in_an_archive(ingested, tmp_path):
    write_common_voice(tmp_path / "up" / "cv-corpus-17.0-2024-03-15" / "xx")
    shutil.make_archive(str(tmp_path / "cv"), "gztar", tmp_path / "up")
    shards = ingested(f"commonvoice:{tmp_path}/cv.tar.gz")
    assert summary(shards)["train"]["kept"] == 12
    assert index_of(shards)[0]["source"].startswith("cv-corpus-17.0-2024-03-15/xx/clips/")


@pytest.mark.parametrize(("start", "end"), [("\ufeff", "\n"), ("", "\r\n"), ("\ufeff", "\r\n")])
def test_line_ends_and_byte_order_mark_change_nothing(start, end, common_voice, ingested):
    plain = ingested(f"commonvoice:{common_voice}")
    for split, count, first in (("train", 12, 0), ("dev", 3, 12), ("test", 3, 15)):
        rows = rows_of(count, first, name=split)
        write_table(common_voice / f"{split}.tsv", rows, end=end, start=start)
    assert ingested(f"commonvoice:{common_voice}") == plain


def test_columns_of_every_release(common_voice, ingested):
    first = ("client_id", "path", "sentence", "up_votes", "down_votes", "age", "gender", "accent")
    last = ("client_id", "path", "sentence_id", "sentence", "sentence_domain", *COLUMNS[3:8], "variant", *COLUMNS[8:])
    for columns, known in (
        (first, {"accent": "north", "age": "forties"}),
        (last, {"accents": "north", "variant": "v"}),
    ):
        rows = [row | known | {"path": row["path"].removesuffix(".wav")} for row in rows_of(12)]
        write_table(common_voice / "train.tsv", rows, columns)
        row = index_of(ingested(f"commonvoice:{common_voice}", splits=("train",)))[0]
        tags = json.loads(row["tags"])
        assert tags.pop("accent") == "north"
        assert set(tags) <= {"age", "variant"}
        assert (row["text"], row["speaker"]) == ("Sentence number 0.", "s0")
