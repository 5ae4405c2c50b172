"""Progress where there is no terminal: lines, and nothing that is drawn over."""

import os
import pty
import re
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from tasks.steps import progress
from tasks.steps.progress import Progress, format_seconds, tell_if_silent

ROOT = Path(__file__).parents[3]


@pytest.fixture
def _often(monkeypatch):
    monkeypatch.setattr(progress, "FIRST_SECONDS", 0.05)


@pytest.mark.usefixtures("_often")
def test_a_log_gets_a_line_now_and_then_also_while_nothing_moves(capfd):
    with Progress("train", 4, "updates") as shown:
        shown.advance(1, note="epoch 1")
        told = ""
        while told.count("25%") < 2:
            time.sleep(0.05)
            told += capfd.readouterr().err
        shown.advance(3, note="epoch 2")
    told += capfd.readouterr().err
    assert "\r" not in told
    lines = told.splitlines()
    assert lines[0] == "train 0%, 0 of 4 updates"
    assert re.fullmatch(r"train 25%, about \d\.\d s left, 1 of 4 updates, \d+\.\d/(s|min), epoch 1, \d\.\d s", lines[1])
    assert re.fullmatch(r"train 100%, 4 of 4 updates, \d+\.\d/(s|min), epoch 2, \d\.\d s", lines[-1])


def test_a_short_job_is_its_first_line_and_its_last(capfd):
    with Progress("ingest", 40) as shown:
        for _ in range(40):
            shown.advance()
    assert capfd.readouterr().err == "ingest 0%\ningest 100%, 0.0 s\n"


def test_what_was_done_before_does_not_count_for_the_pace():
    with Progress("train", 100, start=90) as shown:
        time.sleep(0.2)
        shown.reach(91)
        left, passed = shown.seconds_left(), time.monotonic() - shown.begun
        assert left == pytest.approx(9 * passed, rel=0.1)
        shown.restart()
        assert shown.seconds_left() is None, "the start of the workers does not count either"


@pytest.mark.usefixtures("_often")
def test_a_silent_step_says_what_it_is_doing_and_only_while_nothing_else_is_told(capfd):
    with tell_if_silent("fit_tokenizer"):
        told = ""
        while not told:
            time.sleep(0.05)
            told = capfd.readouterr().err
    assert told.startswith("fit_tokenizer is at work, 0.1 s\n")


def test_a_step_that_is_not_long_is_silent(capfd):
    with tell_if_silent("fit_tokenizer"):
        pass
    assert capfd.readouterr().err == ""


def test_the_pause_between_lines_grows(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    lines = progress._Lines(lambda: "", quiet=True)
    monkeypatch.setattr(progress, "tell", lambda _: None)
    found = []
    for now[0] in (0.0, 60.0, 600.0, 86400.0):
        found.append(lines._pause())
    lines.close()
    assert found == [10.0, 10.0, 60.0, 300.0]


def test_a_terminal_has_a_bar_and_no_lines():
    code = "from tasks.steps.progress import Progress\nwith Progress('ingest', 2, 'parts') as shown: shown.advance(2)"
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=theirs) as child:
        os.close(theirs)
        told = b""
        while b"100%" not in told:
            told += os.read(ours, 100_000)
    os.close(ours)
    assert child.returncode == 0
    assert b"\r" in told
    assert b"2 of 2" not in told


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.04, "0.0 s"), (4, "4.0 s"), (99, "99 s"), (100, "2 min"), (5940, "99 min"), (90000, "25 h 0 min")],
)
def test_seconds_in_words(seconds, said):
    assert format_seconds(seconds) == said
