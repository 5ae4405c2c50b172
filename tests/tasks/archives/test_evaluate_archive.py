"""References of whole recordings in each format, and rates that are those of the texts put side by side by hand."""

import jiwer
import numpy as np
import pytest
from archives.conftest import store_at

from infra.errors import UserError
from tasks.archives.evaluate_archive import evaluate_archive, text_scores
from tasks.archives.reference_words import match_references, read_references
from tasks.archives.transcript_tables import FileTranscript, build_tables
from tasks.scoring.evaluate_asr import ScoringConfig
from tasks.transcription.transcript import Alternative, Segment, Transcript, Word

SHALOM, NI_HAO = "\u05e9\u05dc\u05d5\u05dd", "\u4f60\u597d"
CTM = ";; made by hand\nx 1 2.0 0.5 two\nx 1 1.0 0.5 One 0.9\nx 2 1.5 0.1 and\n"
STM = "x 1 bob 3 4 <o,f0> two words\nx 1 ann 0 1 <o> First [x]\nx 1 z 1 2 ignore_time_segment_in_scoring\ny 1 a 0 1\n"


@pytest.mark.parametrize(("name", "text", "expected"), [
    ("r.ctm", CTM, {"x": "One and two"}),
    ("r.stm", STM, {"x": "First [x]   two words", "y": ""}),
    ("r.tsv", "id\taudio\ttext\n7\tdev/x.mp3\tone two\n", {"dev/x.mp3": "one two"}),
    ("r.tsv", "dev/x.mp3\tone two\n", {"dev/x.mp3": "one two"}),
    ("r.tsv", f"x\t{SHALOM}\u2028\x0c{NI_HAO}\r\n", {"x": f"{SHALOM} {NI_HAO}"}),
])  # fmt: skip
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_formats(tmp_path, name, text, expected, encoding):
    (tmp_path / name).write_bytes(text.encode(encoding))
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
    ("r.ctm", "x 1 1.0 .5 a\nx 1 nan .5 word\n", "line 2: 'nan' is no time"),
    ("r.tsv", "x\ta\ny\tna\xefve\n", "line 2 is not UTF-8; save the file as UTF-8"),
])  # fmt: skip
def test_what_is_no_reference(tmp_path, name, text, says):
    (tmp_path / name).write_text(text, encoding="latin-1")
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
            "version": "1",
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


@pytest.mark.parametrize(("files", "names", "expected", "lost"), [
    (["/c/talk.2024.wav", "/c/talk.2025.wav"], ["talk.2024", "talk.2025"], ["talk.2024", "talk.2025"], []),
    (["/c/talk.2024.wav"], ["talk.2024.flac"], ["talk.2024.flac"], []),
    (["/c/1/a.wav", "/c/2/a.wav", "/b.mp3"], ["2/a", "b", "o/c", "1/a.wav"], ["1/a.wav", "2/a", "b"], ["o/c"]),
    (["/c/x.wav"], ["dev/x"], ["dev/x"], []),
    (["/c/a.b.wav", "/c/a.b"], ["a.b.wav"], ["a.b.wav", None], []),
])  # fmt: skip
def test_which_recording_a_reference_is_of(files, names, expected, lost):
    found, without = match_references(names, files)
    assert ([found.get(file) for file in files], without) == (expected, lost)


@pytest.mark.parametrize(("files", "names", "says"), [
    (["/c/1/a.wav", "/c/2/a.wav"], ["a"], "reference 'a' may be of /c/1/a.wav and of /c/2/a.wav; give it with its"),
    (["/c/x.wav"], ["x", "dev/x.wav"], "references 'x' and 'dev/x.wav' are both of /c/x.wav; leave one out"),
])  # fmt: skip
def test_references_that_may_be_of_several(files, names, says):
    with pytest.raises(UserError, match=says):
        match_references(names, files)


def test_of_a_recording_that_changed_the_last_transcript_counts(tmp_path):
    """And of one that then cannot be read there is none."""
    output = written(tmp_path, {"x": ["one", "two"], "y": ["three"]})
    store, digests = store_at(tmp_path / "out"), {"model": "m", "decoding": "d"}
    told = {"status": "transcribed", "rate": 1, "seconds": 1.0, "frames": 1, "version": "2"}
    again = Segment(start=0.0, end=7.0, n_best=(Alternative("", 0.0),), words=(Word("one", 0.0, 1.0, 0.5),))
    transcript = Transcript(segments=(again,), coverage=(), seconds=1, rate=1)
    files = [FileTranscript({"file": "/in/x.wav", "name": "x~2"} | told, transcript)]
    lost = {"file": "/in/y.wav", "name": "y~2", "version": "2", "status": "quarantined", "stage": "read", "reason": "r"}
    store.commit(1, build_tables([*files, FileTranscript(lost, None)], digests, ()))
    store.finish()
    (tmp_path / "r.tsv").write_text("x\tone two\ny\tthree\n")
    found = evaluate_archive(output, str(tmp_path / "r.tsv"), ScoringConfig(resamples=9))
    assert (found["wer"], found["words"]["deletions"], found["without_transcript"]) == (0.5, 1, ["y"])


def test_texts_without_words(tmp_path):
    output = written(tmp_path, {"x": ["said"], "y": []})
    (tmp_path / "r.stm").write_text("x 1 a 0 1\ny 1 a 0 1 words here\n")
    found = evaluate_archive(output, str(tmp_path / "r.stm"), ScoringConfig(resamples=9))
    assert (found["words"]["insertions"], found["words"]["deletions"]) == (1, 2)
    assert "WER" in text_scores(found)
