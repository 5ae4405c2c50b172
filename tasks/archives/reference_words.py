"""Reference transcripts of whole recordings: CTM and STM (NIST), and tables with a file and its text a row.

A recording is known by its name without folders and suffix. Words of several channels or speakers come in the order of
their times.
"""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from infra import storage
from infra.errors import UserError
from tasks.archives.work_list import readable

SUFFIXES = (".ctm", ".stm", ".tsv")
IGNORED = "IGNORE_TIME_SEGMENT_IN_SCORING"
MARKS = re.compile(r"<[^>]*>")  # of noises and labels
FILES, TEXTS = ("file", "audio", "path", "recording", "name", "id"), ("text", "transcript", "transcription", "sentence")


class TimedText(NamedTuple):
    """Words from so many seconds on; order: of rows without times."""

    start: float
    order: int
    text: str


def recording_key(path: str) -> str:
    """What a recording and its reference have in common."""
    base = path.rpartition("/")[2]
    return base.rpartition(".")[0] or base


def read_references(place: str) -> dict[str, str]:
    """Of each recording its text. place: a file, or a folder or prefix of such.

    Raises UserError for a row that is none, and where nothing is there.
    """
    single = storage.stat(place)
    files = [place] if single else [storage.join(place, name) for name in storage.list_files(place)]
    files = [file for file in files if file.lower().endswith(SUFFIXES)]
    if not files:
        raise UserError(f"{readable(place)}: no references are there; they end in {', '.join(SUFFIXES)}")
    found = dict[str, list[TimedText]]()
    for file in files:
        lines = storage.read(file).decode(errors="replace").removeprefix("\ufeff").splitlines()
        read = {".ctm": _ctm, ".stm": _stm, ".tsv": _tsv}[file[-4:].lower()]
        try:
            for key, piece in read(enumerate(lines, 1)):
                found.setdefault(recording_key(key), []).append(piece)
        except ValueError as error:
            raise UserError(f"{readable(file)}: {error}") from error
    return {key: " ".join(piece.text for piece in sorted(pieces)) for key, pieces in found.items()}


Lines = Iterable[tuple[int, str]]


def _ctm(lines: Lines) -> Iterator[tuple[str, TimedText]]:
    """file channel start duration word [confidence]"""
    for number, line in lines:
        fields = line.split()
        if not fields or line.startswith((";;", "#")):
            continue
        if len(fields) < 5:
            raise ValueError(f"line {number}: file, channel, start, duration and word, not {line[:60]!r}")
        yield fields[0], TimedText(_number(fields[2], number), number, MARKS.sub(" ", fields[4]))


def _stm(lines: Lines) -> Iterator[tuple[str, TimedText]]:
    """file channel speaker begin end [<label>] text"""
    for number, line in lines:
        fields = line.split(maxsplit=5)
        if not fields or line.startswith((";;", "#")):
            continue
        if len(fields) < 5:
            raise ValueError(f"line {number}: file, channel, speaker, begin, end and text, not {line[:60]!r}")
        text = fields[5] if len(fields) > 5 else ""
        if IGNORED not in text.upper():
            yield fields[0], TimedText(_number(fields[3], number), number, MARKS.sub(" ", text))


def _tsv(lines: Lines) -> Iterator[tuple[str, TimedText]]:
    """A file and a text, by the names of the columns where the first row has some, else the first two."""
    file, text, begun = 0, 1, False
    for number, line in lines:
        fields = line.split("\t")
        if not line.strip():
            continue
        names = [field.strip().lower() for field in fields]
        if not begun and (texts := [names.index(name) for name in TEXTS if name in names]):
            file = next((names.index(name) for name in FILES if name in names), 0)
            text, begun = texts[0], True
            continue
        begun = True
        if len(fields) <= max(file, text):
            raise ValueError(f"row {number}: {len(fields)} fields, and column {max(file, text) + 1} is asked for")
        yield fields[file], TimedText(0.0, number, fields[text])


def _number(text: str, line: int) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"line {line}: {text[:40]!r} is no time in seconds") from None
