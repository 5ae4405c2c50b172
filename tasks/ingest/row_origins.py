"""What the splits and the speakers of a corpus' rows were taken from."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any

from tasks.corpora.utterance import Reject, Utterance

ORIGINS_SHOWN = 100  # names of folders, tars and values of a column, the most frequent

Row = Utterance | Reject


class Origins:
    """What the splits and the speakers of the rows were taken from, and those of how many rows."""

    def __init__(self) -> None:
        self.splits, self.speakers = defaultdict[str, Counter[str]](Counter), Counter[str]()

    def count(self, rows: Iterator[Row]) -> Iterator[Row]:
        for row in rows:
            if isinstance(row, Utterance):
                self.splits[row.split][row.split_from] += 1
                self.speakers[row.speaker_from if row.speaker else ""] += 1
            yield row

    def told(self) -> dict[str, Any]:
        splits = {split: _shown(counts, "the reader") for split, counts in self.splits.items()}
        return {"split_from": splits, "speaker_from": _shown(self.speakers, "no speaker")}


def _shown(counts: Counter[str], unsaid: str) -> dict[str, int]:
    return {said or unsaid: count for said, count in counts.most_common(ORIGINS_SHOWN)}
