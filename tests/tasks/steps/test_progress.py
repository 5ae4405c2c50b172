"""Progress where there is no terminal: lines, and nothing that is drawn over."""

from tasks.steps import progress
from tasks.steps.progress import Progress


def test_a_log_gets_lines(monkeypatch, capfd):
    monkeypatch.setattr(progress, "LINE_SECONDS", -1.0)
    with Progress("train", 2) as shown:
        shown.advance(1, note="epoch 1")
        shown.advance(1, note="epoch 2")
    told = capfd.readouterr().err
    assert "\r" not in told
    assert [line.split(" after ")[0] for line in told.splitlines()] == ["train 50%", "train 100%"]
    assert told.endswith(", epoch 2\n")


def test_a_short_job_is_one_line(capfd):
    with Progress("ingest", 40) as shown:
        for _ in range(40):
            shown.advance()
    assert capfd.readouterr().err == "ingest 100% after 0 s\n"
