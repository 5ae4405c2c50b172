"""The page of an archive: what failed and why, names that no page may be upset by, and what can be played."""

import json
import os
from collections import Counter

import pytest
from archives.conftest import store_at

from tasks.archives.plan_work import Work
from tasks.archives.report_archive import TooManyFailures, report_archive
from tasks.archives.run_parts import RunSummary
from tasks.archives.transcript_tables import FileTranscript, build_tables
from tasks.transcription.transcript import Alternative, Segment, Transcript, Word


def transcribed(file):
    words, flags = (Word("<b>", 0.0, 1.0, 0.1),), ("low_confidence",)
    segment = Segment(start=0.0, end=2.0, n_best=(Alternative("", 0.0),), words=words, flags=flags)
    told = {"file": file, "name": file, "status": "transcribed", "rate": 1, "seconds": 2.0, "frames": 2}
    return FileTranscript(told, Transcript(segments=(segment,), coverage=(), seconds=2, rate=1))


def test_a_page(tmp_path):
    here = tmp_path / "a #1?.wav"
    here.write_bytes(b"sound")
    failed = {"file": "/in/x.wav", "name": "x", "status": "quarantined", "stage": "read", "reason": "empty file"}
    files = [transcribed(str(here)), transcribed("/in/c.zip/in it.wav"), transcribed("s3://in/c.wav"),
             transcribed("/in/\u202ef\n<script>.wav"), FileTranscript(failed, None)]  # fmt: skip
    out = tmp_path / os.fsdecode(b"out \xff")
    store = store_at(out)
    store.open()
    store.commit(0, build_tables(files, {"model": "m", "decoding": "d"}, ()))
    work = Work("/in/\u202e", {}, ignored=Counter())
    with pytest.raises(TooManyFailures):
        report_archive(store, work, RunSummary(), 0.1)
    page = (out / "report.html").read_text()
    assert f'src="file://{tmp_path}/a%20%231%3F.wav#t=0.00,2.00"' in page
    assert page.count("<audio") == 1
    assert page.count("not played here") == 3
    assert "/in/\\u202ef\\n&lt;script&gt;.wav" in page
    assert "\u202e" not in page
    (row,) = (line for line in page.split("<tr>") if "/in/x.wav" in line)
    assert ">quarantined<" in row
    assert ">empty file<" in row
    assert json.loads((out / "run.json").read_text())["output"] == f"{tmp_path}/out \\xff"
