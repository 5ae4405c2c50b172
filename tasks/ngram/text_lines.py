"""A text artifact to lines, and lines to streams of token ids: what counting and scoring read.

A line belongs to the shard in which it begins, so every line is read once, whatever shards the text lies in. Whether it
is counted or held out is a matter of what it says: neither files nor workers change that, and a line that comes twice
is never in both parts.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any

import numpy as np

from infra import storage
from infra.artifact_store import Artifact
from infra.errors import UserError
from models.special_tokens import BOS, EOS, Tokenizer
from tasks.ingest.ingest_text import read_text_pieces
from tasks.steps.parquet_io import from_parquet

Row = dict[str, Any]  # of a text's index: one piece
LONGEST_LINE = 16 << 20  # characters; a text without line ends must not fill the memory
HASH_BYTES = 6  # as much as a float holds exactly


@dataclass(frozen=True, kw_only=True)
class LineSplitConfig:
    """dev_share: of the different lines of a text about so many are held out, to measure the model on, with 0 none.
    seed: others.
    """

    dev_share: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.dev_share < 1:
            raise ValueError(f"split.dev_share is at least 0 and below 1, unlike {self.dev_share}")

    def place(self, line: str) -> float:
        """In [0, 1), by a hash of the line: below dev_share it is held out."""
        digest = hashlib.blake2b(line.strip().encode(), digest_size=HASH_BYTES, key=str(self.seed).encode()).digest()
        return int.from_bytes(digest) / 256**HASH_BYTES

    def holds_out(self, line: str) -> bool:
        return self.place(line) < self.dev_share


def read_lines(text: Artifact, shard: str) -> Iterator[str]:
    """The lines that begin in a shard and are not blank, without their ends. Raises UserError for one without an
    end.
    """
    index = from_parquet(text.read("index.parquet"), ["shard", "offset", "size", "source"]).to_pylist()
    inside = [i for i, row in enumerate(index) if row["shard"] == shard]
    first, last = inside[0], inside[-1]
    found = _split(text, chain(read_text_pieces(text, shard), _end_of_line(text, index[last:])))
    if first and _goes_on(text, index[first - 1], index[first]):
        next(found)
    return (line for line in found if line.strip())


def _split(text: Artifact, pieces: Iterable[str]) -> Iterator[str]:
    rest = ""
    for piece in pieces:
        *whole, rest = (rest + piece).split("\n")
        yield from (line.removesuffix("\r") for line in whole)
        if len(rest) > LONGEST_LINE:
            raise UserError(
                f"corpus {text.read_json('summary.json')['corpus']}: a line of more than {LONGEST_LINE >> 20} million "
                "characters; give one sentence a line"
            )
    yield rest.removesuffix("\r")


def _goes_on(text: Artifact, row: Row, following: Row) -> bool:
    """Whether a line reaches from one piece into the next."""
    last = storage.read(storage.join(text.uri, row["shard"]), row["offset"] + row["size"] - 1, 1)
    return row["source"] == following["source"] and last != b"\n"


def _end_of_line(text: Artifact, rows: Sequence[Row]) -> Iterator[str]:
    """What follows the first of these pieces of the line that it ends in."""
    for row, following in pairwise(rows):
        if not _goes_on(text, row, following):
            return
        data = storage.read(storage.join(text.uri, following["shard"]), following["offset"], following["size"])
        end, line_feed, _ = data.decode().partition("\n")
        yield end
        if line_feed:
            return


def token_streams(sentences: Iterable[str], tokenizer: Tokenizer, most: int) -> Iterator[np.ndarray]:
    """Sentences as `<s> a b </s> <s> c </s>` (T,) int64, whole ones up to about `most` tokens at a time.

    A line that has no tokens, such as one of punctuation that is dropped, is not a sentence.
    """
    held: list[int] = []
    for sentence in sentences:
        if tokens := tokenizer.encode(sentence):
            held += [BOS, *tokens, EOS]
            if len(held) >= most:
                yield np.array(held, np.int64)
                held = []
    if held:
        yield np.array(held, np.int64)
