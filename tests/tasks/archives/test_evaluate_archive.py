"""References of whole recordings in each format, and rates that are those of the texts put side by side by hand."""

import jiwer
import numpy as np
import pytest
from archives.conftest import store_at

from infra.errors import UserError
from tasks.archives.evaluate_archive import evaluate_archive, text_scores
from tasks.archives.reference_words import read_references
from tasks.archives.transcript_tables import FileTranscript, build_tables
from tasks.scoring.evaluate_asr import ScoringConfig
from tasks.transcription.transcript import Alternative, Segment, Transcript, Word

CTM = ";; made by hand\nx 1 2.0 0.5 two\nx 1 1.0 0.5 One 0.9\nx 2 1.5 0.1 and\n"
STM = "x 1 bob 3 4 <o,f0> two words\nx 1 ann 0 1 <o> First [x]\nx 1 z 1 2 ignore_time_segment_in_scoring\ny 1 a 0 1\n"


@pytest.mark.parametrize(("name", "text", "expected"), [
    ("r.ctm", CTM, {"x": "One and two"}),
    ("r.stm", STM, {"x": "First [x]   two words", "y": ""}),
    ("r.tsv", "id\taudio\ttext\n7\tdev/x.mp3\tone two\n", {"x": "one two"}),
    ("r.tsv", "dev/x.mp3\tone two\n", {"x": "one two"}),
])  # fmt: skip
def test_formats(tmp_path, name, text, expected):
    (tmp_path / name).write_text(text)
    (tmp_path / "notes.md").write_text("no reference")
    for place in (tmp_path / name, tmp_path):
        assert {k: v.split() for k, v in read_references(str(place)).items()} == {
            k: v.split() for k, v in expected.items()
        }


@pytest.mark.parametrize(("name", "text", "says"), [
    ("r.ctm", "x 1 one\n", "line 1: file, channel, start"),
    ("r.stm", "x 1 a later 2 text\n", "line 1: 'later' is no time"),
    ("r.tsv", "x\n", "row 1: 1 fields"),
    ("r.txt", "x\n", "no references are there"),
])  # fmt: skip
def test_what_is_no_reference(tmp_path, name, text, says):
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=says):
        read_references(str(tmp_path / name))


def written(tmp_path, texts):
    """An output with these texts, cut into segments anywhere."""
    store = store_at(tmp_path / "out")
    store.open()
    files = []
    for name, words in texts.items():
        cuts = [words[i : i + 7] for i in range(0, len(words), 7)]
        segments = tuple(
            Segment(start=7.0 * k, end=7.0 * k + 7, n_best=(Alternative("", 0.0),),
                    words=tuple(Word(w, 7.0 * k + i, 7.0 * k + i + 1, 0.5) for i, w in enumerate(cut)))
            for k, cut in enumerate(cuts))  # fmt: skip
        told = {
            "file": f"/in/{name}.wav",
            "name": name,
            "status": "transcribed",
            "rate": 1,
            "seconds": 1.0,
            "frames": 1,
        }
        files.append(FileTranscript(told, Transcript(segments=segments, coverage=(), seconds=1, rate=1)))
    store.commit(0, build_tables(files, {"model": "m", "decoding": "d"}, ()))
    store.finish()
    return store.uri


def test_an_hour_is_aligned_as_a_whole(tmp_path):
    """Words lost, doubled and changed all over it are counted as they were made; segments do not matter."""
    random = np.random.default_rng(0)
    spoken = [f"w{k}" for k in random.integers(0, 2000, 12_000)]
    edits = random.random(len(spoken))
    heard = [word for word, e in zip(spoken, edits, strict=True) for word in (
        [] if e < 0.02 else [word, "twice"] if e < 0.03 else ["other"] if e < 0.05 else [word])]  # fmt: skip
    output = written(tmp_path, {"long": heard, "short": ["a", "b"], "more": ["x"]})
    (tmp_path / "r.tsv").write_text(f"long.wav\t{' '.join(spoken).upper()}\nshort\tA, b!\nlost\tz\n")
    told = evaluate_archive(output, str(tmp_path / "r.tsv"), ScoringConfig(resamples=50))
    by_hand = jiwer.process_words(" ".join([*spoken, "a", "b"]), " ".join([*heard, "a", "b"]))
    assert told["wer"] == pytest.approx(by_hand.wer)
    assert 0.045 < told["wer"] < 0.055
    assert [row["recording"] for row in told["by_recording"]] == ["long", "short"]
    assert told["by_recording"][1]["wer"] == 0
    assert (told["recordings"], told["without_reference"], told["without_transcript"]) == (2, 1, ["lost"])
    assert text_scores(told).startswith("WER         4.99%")
    (tmp_path / "r.tsv").write_text("lost\tz\n")
    with pytest.raises(UserError, match="names none of the recordings"):
        evaluate_archive(output, str(tmp_path / "r.tsv"), ScoringConfig())
