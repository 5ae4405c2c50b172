"""Words while they are heard: rewritten in place in a terminal, appended to a file or pipe, or as JSON a line."""

import json
from collections.abc import Sequence
from typing import Protocol, TextIO

from tasks.decoding.alignment.word_timestamps import TimedToken
from tasks.decoding.streaming_recognizer import PartialTranscript

ERASE = "\r\x1b[K"


class TranscriptWriter(Protocol):
    """What shows words, and ends the line that they are in."""

    def show(self, heard: PartialTranscript) -> None: ...
    def close(self) -> None: ...


class TerminalWriter:
    """In a terminal: the line that is being written is written anew each time, and ended where the next word does not
    fit in.
    """

    def __init__(self, out: TextIO, columns: int) -> None:
        self.out, self.columns, self.ended = out, max(columns, 20), 0  # words in lines that are ended

    def show(self, heard: PartialTranscript) -> None:
        words = [word.text for word in heard.words]
        self.out.write(ERASE)
        while (fits := self._fitting(words)) < heard.final:
            self.out.write(" ".join(words[self.ended : fits]) + "\n")
            self.ended = fits
        line = " ".join(words[self.ended :])
        self.out.write(line if len(line) < self.columns else "…" + line[2 - self.columns :])
        self.out.flush()

    def close(self) -> None:
        self.out.write("\n")

    def _fitting(self, words: Sequence[str]) -> int:
        """Where the words of this line end: at least one is in it."""
        length, end = -1, self.ended
        while end < len(words) and (length + 1 + len(words[end]) < self.columns or end == self.ended):
            length, end = length + 1 + len(words[end]), end + 1
        return end


class TextWriter:
    """In a file or a pipe: each word once it is final."""

    def __init__(self, out: TextIO) -> None:
        self.out, self.shown = out, 0

    def show(self, heard: PartialTranscript) -> None:
        for word in heard.words[self.shown : heard.final]:
            self.out.write((" " if self.shown else "") + word.text)
            self.shown += 1
        self.out.flush()

    def close(self) -> None:
        self.out.write("\n")


class JsonLinesWriter:
    """A JSON object a line: each word once it is final, and what comes after the final ones whenever it changes."""

    def __init__(self, out: TextIO) -> None:
        self.out, self.shown, self.partial = out, 0, list[TimedToken]()

    def show(self, heard: PartialTranscript) -> None:
        for word in heard.words[self.shown : heard.final]:
            self._write(word.text, word.begin, word.end, final=True)
        self.shown, partial = heard.final, heard.words[heard.final :]
        if partial and partial != self.partial:
            text = " ".join(word.text for word in partial)
            self._write(text, partial[0].begin, partial[-1].end, final=False)
        self.partial = partial
        self.out.flush()

    def _write(self, text: str, begin: float, end: float, *, final: bool) -> None:
        told = {"text": text, "final": final, "begin": begin, "end": end}
        self.out.write(json.dumps(told, ensure_ascii=False) + "\n")

    def close(self) -> None:
        self.out.flush()
