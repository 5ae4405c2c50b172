"""What the user can mend: one exception whose message says how, and the one line that a command ends with."""

import errno
import os
import re
import select
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import TextIO
from urllib.parse import unquote

FAILED, WRONG_USE, INTERRUPTED, UNREAD = 1, 2, 130, 141  # exit statuses; the last as of a program that SIGPIPE ends


SECRET_NAME = re.compile(r"pass|pwd|secret|token|key|sig|cred|auth|sas", re.IGNORECASE)
# Up to the last @: a password that was not encoded may hold any of / @ : # ? itself.
USER_INFO = re.compile(r"(://[^\s:]*):\S*@")
QUERY_NAME, QUERY_VALUE = re.compile(r"[?&;]([^\s=&;?]+)="), re.compile(r"[^\s&]*")
OPTION = re.compile(r"(?i)(?<![\w.?&;])((?:ssl|pg)?(?:password|passwd|pwd)|\w*secret\w*|(?:\w+_)?token|api_?key)=(\S+)")
SHORTEST_SECRET = 3  # characters of a part of one that an error may quote alone


class UserError(Exception):  # noqa: N818  (not an error of the program: something the user can mend)
    """One line saying what is wrong, where, and what to do. Shown to the user without a traceback."""


def suggest_name(
    name: str, known: Iterable[str], otherwise: str | None = None, *, before: str = "", after: str = ""
) -> str:
    """For a name that there is not: the one that was meant, if any is near, else `otherwise`, by default all there are.

    before, after: what stands around each name where it is written.
    """
    names = list(known)
    if near := get_close_matches(name, names, 1):
        return f"did you mean {before}{near[0]}{after}?"
    return f"there are {', '.join(before + one + after for one in names)}" if otherwise is None else otherwise


def tell_user(line: str) -> None:
    """A line on stderr while work goes on, clear of a progress bar there may be in a terminal."""
    start = "\n" if sys.stderr.isatty() else ""
    print(f"{start}scriptorium: {line}\n", end="", file=sys.stderr, flush=True)


@contextmanager
def explain_full_disk(what: str = "") -> Iterator[None]:
    """Turn "no space left on device" into a UserError: while writing what (by default the file), and what to do."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        place = what or error.filename or "a file"
        raise UserError(f"the disk is full while writing {place}; make room and run the same command again") from error


@contextmanager
def explain_bad_file(place: str) -> Iterator[None]:
    """Turn whatever comes of what is in a file, which may be anything, into a UserError that names the file."""
    try:
        yield
    except OSError as error:
        if error.errno:  # of the machine, not of the content
            raise
        raise _bad_file(place, error) from error
    except UserError as error:
        if place in str(error):
            raise
        raise UserError(f"{place}: {error}") from error
    except Exception as error:  # a parser of any kind, given anything, raises anything
        raise _bad_file(place, error) from error


def _bad_file(place: str, error: Exception) -> UserError:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
    reason = lines[0][:200] if isinstance(error, ValueError) else f"{type(error).__name__}: {lines[0][:200]}"
    return UserError(f"{place}: {reason}; use the version that made it, or fetch it again")


@contextmanager
def one_line_errors(status: int = FAILED, *, interrupted: str = "interrupted") -> Iterator[None]:
    """For a command line: a UserError or Ctrl-C ends the process with one line on stderr and an exit status, and that
    nobody reads on (`| head -1`) without a word.
    """
    with end_unread():
        try:
            yield
        except UserError as problem:
            print(f"scriptorium: {redact_url(str(problem))}", file=sys.stderr)
            raise SystemExit(status) from None
        except KeyboardInterrupt:
            print(f"scriptorium: {interrupted}", file=sys.stderr)
            raise SystemExit(INTERRUPTED) from None


@contextmanager
def end_unread() -> Iterator[None]:
    """Where the pipe that is written to is closed, the process ends without a word.

    SIGPIPE would do so as well, but by a server that closes its connection, too.
    """
    try:
        try:
            yield
        finally:
            if sys.stdout:  # none where it was closed before Python began
                sys.stdout.flush()
    except BrokenPipeError:
        closed = [stream for stream in (sys.stdout, sys.stderr) if stream and _is_closed(stream)]
        if not closed:  # it was another's pipe
            raise
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in closed:  # which Python flushes when it ends
            os.dup2(nowhere, stream.fileno())
        raise SystemExit(UNREAD) from None


def _is_closed(stream: TextIO) -> bool:
    poll = select.poll()
    poll.register(stream.fileno(), 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def redact_url(text: str, *secret_urls: str) -> str:
    """The text without the passwords of the URLs in it (`scheme://user:password@host`), and without the secrets of
    their queries (`?password=`, `&token=`) and of options (`password=`).

    secret_urls: URLs whose secrets are known, and are left out wherever they or parts of them stand: who takes a URL
    apart wrongly quotes what it holds for the port.
    """
    for secret in sorted({part for url in secret_urls for part in _secrets(url)}, key=len, reverse=True):
        text = text.replace(secret, "***")
    for start, end in reversed(_query_secrets(text)):
        text = f"{text[:start]}***{text[end:]}"
    return OPTION.sub(r"\1=***", USER_INFO.sub(r"\1:***@", text))


def _query_secrets(text: str) -> list[tuple[int, int]]:
    """Where in a text the values of a query's secrets begin and end."""
    found, end = list[tuple[int, int]](), 0
    for name in QUERY_NAME.finditer(text):
        if name.start() >= end and SECRET_NAME.search(unquote(name[1])):
            value = QUERY_VALUE.match(text, name.end())
            end = value.end() if value else name.end()
            found.append((name.end(), end))
    return found


def _secrets(url: str) -> set[str]:
    """As they are written, decoded, and the parts between what divides a URL."""
    found = {m[0].removeprefix(m[1])[1:-1] for m in USER_INFO.finditer(url)}
    found |= {url[start:end] for start, end in _query_secrets(url)}
    found |= {unquote(secret) for secret in found}
    divided = [re.split(r"([/@:#?])", secret) for secret in found]
    parts = {"".join(d[i:j]) for d in divided for i in range(len(d)) for j in range(i + 1, len(d) + 1)}
    return {part for part in parts if len(part) >= SHORTEST_SECRET}
