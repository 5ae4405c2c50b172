"""Reference transcripts of whole recordings: CTM and STM (NIST), and tables with a file and its text a row.

A recording is known by its name, with or without its suffix, and with as many of its folders as tell it from others of
that name. Words of several channels or speakers come in the order of their times.
"""

import codecs
import math
import re
from collections import defaultdict
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


def recording_name(path: str) -> str:
    """Without folders and suffix."""
    return _without_suffix(path.rpartition("/")[2])


def _without_suffix(path: str) -> str:
    folder, slash, base = path.rpartition("/")
    return folder + slash + (base.rpartition(".")[0] or base)


def match_references(names: Iterable[str], files: Iterable[str]) -> tuple[dict[str, str], list[str]]:
    """Of each file that one of the names in references means, that name; and the names that mean none.

    Raises UserError where a name may be of several files, and where several are of one.
    """
    called, found, lost = defaultdict[str, list[str]](list), dict[str, str](), list[str]()
    for file in files:
        base = file.rpartition("/")[2]
        for name in {base, recording_name(base)}:
            called[name].append(file)
    for name in names:
        base = name.rpartition("/")[2]
        meant = called.get(base) or called.get(recording_name(base)) or []
        if len(meant) > 1:
            ends = tuple(f"/{end}" for end in (name, _without_suffix(name)))
            named = [file for file in meant if f"/{file}".endswith(ends) or f"/{_without_suffix(file)}".endswith(ends)]
            if len(named) != 1:
                raise UserError(f"reference {name!r} may be of {meant[0]} and of {meant[1]}; give it with its folders")
            meant = named
        if not meant:
            lost.append(name)
        elif meant[0] in found:
            raise UserError(f"references {found[meant[0]]!r} and {name!r} are both of {meant[0]}; leave one out")
        else:
            found[meant[0]] = name
    return found, sorted(lost)


def read_references(place: str) -> dict[str, str]:
    """Of each recording, as it is called there, its text. place: a file, or a folder or prefix of such.

    Raises UserError for a row that is none, for text that is not UTF-8 (or UTF-16 with its mark), and where nothing is
    there.
    """
    single = storage.stat(place)
    files = [place] if single else [storage.join(place, name) for name in storage.list_files(place)]
    files = [file for file in files if file.lower().endswith(SUFFIXES)]
    if not files:
        raise UserError(f"{readable(place)}: no references are there; they end in {', '.join(SUFFIXES)}")
    found = dict[str, list[TimedText]]()
    for file in files:
        read = {".ctm": _ctm, ".stm": _stm, ".tsv": _tsv}[file[-4:].lower()]
        try:
            for name, piece in read(enumerate(_lines(storage.read(file)), 1)):
                found.setdefault(name, []).append(piece)
        except ValueError as error:
            raise UserError(f"{readable(file)}: {error}") from error
    return {name: " ".join(piece.text for piece in sorted(pieces)) for name, pieces in found.items()}


def _lines(data: bytes) -> list[str]:
    """Raises ValueError. No character but a line feed ends a line: texts may hold U+2028 or a form feed."""
    marked = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = data.decode("utf-16" if marked else "utf-8-sig")
    except UnicodeDecodeError as error:
        at = 1 + data.count(b"\n", 0, error.start)
        raise ValueError(f"line {at} is not {error.encoding.upper()}; save the file as UTF-8") from None
    return [line.removesuffix("\r") for line in text.split("\n")]


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
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds):
        raise ValueError(f"line {line}: {text[:40]!r} is no time in seconds")
    return seconds
