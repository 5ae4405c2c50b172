"""A trained translator on lines of text, now and on this machine.

scriptorium translate --model translation@champion < english.txt > german.txt
scriptorium translate --model translation@champion --text "A dog runs across the lawn." --n-best 3

Each line of standard input becomes a line of standard output, an empty one an empty one; what comes together is
translated together, and written as soon as it is done. With --n-best, or --json, a line holds more than the text:
tab-separated the line's number, the score and the text of each hypothesis, or an object. With --prefixes a line may say
what its translation begins with, whole words after a tab: the model writes the rest, which may lengthen the last word
where tokens are parts of words. --model takes several of one vocabulary, A@champion,B@champion, which write together.
"""

import io
import json
import select
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

from flows.command_line.parsers import PARSERS
from infra.errors import WRONG_USE, UserError, one_line_errors, tell_user

if TYPE_CHECKING:
    from tasks.decoding.translate import PrefixError, Translation, Translator

LINES_AT_ONCE = 512  # that wait for one another: enough for batches of similar length
LONGEST_LINE = 1 << 20  # bytes
READ_AT_ONCE = 1 << 16


def main() -> None:
    parser = PARSERS["flows.translate"]()
    given = parser.parse_args()
    if given.n_best < 1:
        parser.error(f"--n-best {given.n_best}: 1 or more")
    if given.file:
        parser.error(f"{given.file}: lines come from standard input, `< {given.file}`; documents: translate-archive")
    with one_line_errors(WRONG_USE):
        if given.text is None and sys.stdin is None:
            raise UserError("there is no standard input; give --text")
    with one_line_errors():
        translate_lines(given)


def translate_lines(given: Namespace) -> None:
    """Everything that comes, a batch at a time, in order."""
    from flows.shared.translation_setup import LanguagePair, load_translator  # takes seconds to import

    languages = LanguagePair(given.source_language, given.target_language)
    translator = load_translator(given.model, given.settings, languages, given.n_best)
    batches = [given.text] if given.text is not None else read_batches(sys.stdin.buffer)
    number, unknown, first = 0, 0, 0
    for lines in batches:
        translations, problem = translate_batch(translator, lines, prefixes=given.prefixes)
        for found in translations:
            number += 1
            sys.stdout.write("".join(f"{line}\n" for line in _written(found, number, given)))
            if found.truncated:
                tell_user(f"line {number}: cut: the source is longer than the model reads, or the translation endless")
            if found.unknown:
                unknown, first = unknown + 1, first or number
        sys.stdout.flush()
        if problem:
            raise UserError(f"line {number + 1}: {problem.told}") from problem
    if unknown:
        told = f"{unknown} of {number} lines hold what the model has no token for, which is lost"
        tell_user(f"{told}: the first is line {first}")


def translate_batch(
    translator: "Translator", lines: Sequence[str], *, prefixes: bool
) -> tuple[list["Translation"], "PrefixError | None"]:
    """The translations of the lines, or of those before one whose prefix the model cannot write, and what is wrong."""
    from tasks.decoding.translate import PrefixError

    if not prefixes:
        return translator.translate(lines), None
    problem = None
    while True:
        try:
            return translator.translate(*split_prefixes(lines)), problem
        except PrefixError as error:
            lines, problem = lines[: error.row], error


def _written(found: "Translation", number: int, given: Namespace) -> list[str]:
    n_best = found.n_best[: given.n_best]
    if given.json:
        told = {"text": found.text, "score": found.score, "truncated": found.truncated, "unknown": found.unknown}
        return [json.dumps(told | {"n_best": [{"text": t, "score": s} for t, s in n_best]}, ensure_ascii=False)]
    if given.n_best == 1:
        return [found.text]
    return [f"{number}\t{score:.4f}\t{text}" for text, score in n_best] or [f"{number}\t0\t"]


def split_prefixes(lines: Sequence[str]) -> tuple[list[str], list[str]]:
    """What stands before the first tab of each line, and what after it."""
    parts = [line.partition("\t") for line in lines]
    return [source for source, _, _ in parts], [prefix for _, _, prefix in parts]


def read_batches(file: BinaryIO) -> Iterator[list[str]]:
    """The lines of a stream: those that are there by now, so many at most; more is not waited for while it holds some.

    Raises UserError for bytes that are not UTF-8 and for a line that is too long, after what came before it.
    """
    number, lines = 0, list[str]()
    for whole, ready in _pieces(file):
        try:
            for line in whole:
                number += 1
                lines.append(decode_line(line, number))
        except UserError:
            yield lines
            raise
        while len(lines) >= LINES_AT_ONCE or (lines and not ready):
            yield lines[:LINES_AT_ONCE]
            lines = lines[LINES_AT_ONCE:]


def _pieces(file: BinaryIO) -> Iterator[tuple[list[bytes], bool]]:
    """Whole lines as they come, one that is longer than any may be as it is, and whether more is there already."""
    raw, rest = file.raw if isinstance(file, io.BufferedReader) else file, b""
    while piece := raw.read(READ_AT_ONCE):
        *whole, rest = (rest + piece).split(b"\n")
        yield [*whole, rest] if len(rest) > LONGEST_LINE else whole, _is_ready(raw)
    yield [rest] if rest else [], False


def decode_line(line: bytes, number: int) -> str:
    """Without what ends it. Raises UserError for bytes that are not UTF-8, and for a line that is too long."""
    if len(line) > LONGEST_LINE:
        raise UserError(f"line {number}: longer than {LONGEST_LINE:,} bytes; put one sentence on a line")
    try:
        return line.removesuffix(b"\r").decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        told = f"line {number}: not UTF-8 ({error.reason} at byte {error.start + 1}); convert it, by iconv say"
        raise UserError(told) from error


def _is_ready(file: Any) -> bool:
    """Whether more can be read without waiting; a file that is no pipe always can."""
    try:
        return bool(select.select([file], [], [], 0)[0])
    except (OSError, ValueError):  # in memory
        return True


if __name__ == "__main__":
    main()
