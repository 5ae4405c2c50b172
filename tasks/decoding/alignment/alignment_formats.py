"""Words and tokens with their times, as other programs read them.

CTM (NIST sclite): a line a word, of recording, channel, begin, duration, word and confidence. TextGrid (Praat): a tier
of words and one of tokens, each without gaps, what is between two marks being empty.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from infra.errors import UserError
from tasks.decoding.alignment.forced_alignment import AlignedTranscript
from tasks.decoding.alignment.word_timestamps import TimedToken

Format = Literal["ctm", "textgrid"]
SUFFIXES: dict[Format, str] = {"ctm": ".ctm", "textgrid": ".TextGrid"}
SPACE = "<space>"  # in place of a token that is only space, which nobody would see


def format_alignment(aligned: AlignedTranscript, name: str, how: Format) -> str:
    """name: of the recording."""
    return ctm(aligned, name) if how == "ctm" else textgrid(aligned)


def write_split(found: dict[str, AlignedTranscript | str], split: str, folder: Path, how: Format) -> str:
    """The files of a split; what was done in one line. Raises UserError where nothing could be aligned."""
    good = {key: format_alignment(aligned, key, how) for key, aligned in found.items() if not isinstance(aligned, str)}
    bad = [f"{key}\t{problem}\n" for key, problem in found.items() if isinstance(problem, str)]
    files = {split: "".join(good.values())} if how == "ctm" else good
    for name, content in files.items():
        write_file(folder / f"{name}{SUFFIXES[how]}", content)
    write_file(folder / "problems.txt", "".join(bad))
    if not good:
        raise UserError(
            f"split {split}: none of {len(found)} utterances could be aligned; see {folder / 'problems.txt'}"
        )
    return f"{len(good)} of {len(found)} utterances aligned, in {folder}" + (
        f"; {len(bad)} not, see there" if bad else ""
    )


def write_file(path: Path, content: str) -> None:
    """Raises UserError where that cannot be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from error


def ctm(aligned: AlignedTranscript, name: str, channel: int = 1) -> str:
    """Blanks in a name become underscores, for they separate the columns. channel: from 1 on."""
    recording = "_".join(name.split()) or "-"
    lines = []
    for word in aligned.words:
        begin, length = f"{word.begin:.3f}", f"{word.end - word.begin:.3f}"
        lines.append(f"{recording} {channel} {begin} {length} {'_'.join(word.text.split())} {word.confidence:.3f}\n")
    return "".join(lines)


def textgrid(aligned: AlignedTranscript) -> str:
    tokens = [timed._replace(text=timed.text.strip() or SPACE) for timed in aligned.tokens]
    return textgrid_tiers({"words": aligned.words, "tokens": tokens}, aligned.seconds)


def textgrid_tiers(tiers: dict[str, Sequence[TimedToken]], seconds: float) -> str:
    """Tiers by their names, of a recording of so many seconds."""
    end = max([seconds, *(timed.end for tier in tiers.values() for timed in tier)])
    head = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {end:.4f}"]
    head += ["tiers? <exists>", f"size = {len(tiers)}", "item []:"]
    lines = [_tier(number, name, timed, end) for number, (name, timed) in enumerate(tiers.items(), 1)]
    return "\n".join([*head, *(line for tier in lines for line in tier)]) + "\n"


def _tier(number: int, name: str, timed: Sequence[TimedToken], end: float) -> list[str]:
    intervals = _without_gaps(timed, end)
    lines = [f"    item [{number}]:", '        class = "IntervalTier"', f'        name = "{name}"']
    lines += ["        xmin = 0", f"        xmax = {end:.4f}", f"        intervals: size = {len(intervals)}"]
    for k, (begin, stop, text) in enumerate(intervals, 1):
        quoted = text.replace('"', '""')
        lines += [f"        intervals [{k}]:", f"            xmin = {begin:.4f}", f"            xmax = {stop:.4f}"]
        lines.append(f'            text = "{quoted}"')
    return lines


def _without_gaps(timed: Sequence[TimedToken], end: float) -> list[tuple[float, float, str]]:
    """Praat takes no interval without length: what has none is left out."""
    found, at = [], 0.0
    for mark in timed:
        if mark.begin > at:
            found.append((at, mark.begin, ""))
        if mark.end > mark.begin:
            found.append((mark.begin, mark.end, mark.text))
        at = max(at, mark.end)
    return [*found, (at, end, "")] if at < end else found
