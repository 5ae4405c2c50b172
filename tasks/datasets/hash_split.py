"""Our division of what no official split has: speakers and sentences apart, and no speaker ever changes sides.

A speaker's side is drawn from a hash of the name, with the shares as probabilities, and stays what it was in the
versions before. Of a sentence that speakers of several sides have read, only one side keeps its rows: the one that had
it in dev or test before, else the one that a hash of the sentence draws; the other rows are left out.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from tasks.ingest.split_corpus import LARGEST

LEFT_OUT = ""
MEASURED = ("test", "dev")


def draw_side(name: str, shares: Mapping[str, float], seed: int) -> str:
    """One of the splits of `shares`, each with its share as probability, else train: the same for the same name."""
    lot = int.from_bytes(hashlib.blake2b(f"{seed} {name}".encode(), digest_size=8).digest(), "big") / 2**64
    for split, share in shares.items():
        if lot < share:
            return split
        lot -= share
    return "train"


def assign_sides(
    speakers: Sequence[str], sentences: Sequence[int], shares: Mapping[str, float], seed: int, known: Mapping[str, str]
) -> list[str]:
    """The side of each row: its speaker's, or where nobody is named its sentence's.

    known: the sides of speakers in the versions before. One who is seen for the first time and has more than LARGEST
    times the share of a split's rows is for train.
    """
    rows, sides = Counter(speakers), dict(known)
    for speaker in sorted(rows.keys() - sides.keys() - {""}):
        side = draw_side(speaker, shares, seed)
        too_large = side != "train" and rows[speaker] > max(1.0, LARGEST * shares[side] * len(speakers))
        sides[speaker] = "train" if too_large else side
    return [
        sides[speaker] if speaker else draw_side(str(sentence), shares, seed)
        for speaker, sentence in zip(speakers, sentences, strict=True)
    ]


def settle_sentences(
    rows: Iterable[tuple[str, int, bool]], before: Mapping[int, str], shares: Mapping[str, float], seed: int
) -> list[str]:
    """The split of each row, LEFT_OUT for one whose sentence another side keeps.

    rows: side, sentence and whether the side is our division's; official rows stay what they are. before: the split
    that a sentence had in the version before, of dev and test.
    """
    rows = list(rows)
    sides, official = defaultdict[int, set[str]](set), dict[int, str]()
    for side, sentence, divided in rows:
        sides[sentence].add(side)
        if not divided and (side in MEASURED or sentence not in official):
            official[sentence] = side
    owners = dict[int, str]()
    for sentence, those in sides.items():
        if len(those) > 1:
            drawn = draw_side(str(sentence), shares, seed)
            chosen = official.get(sentence) or before.get(sentence) or drawn
            owners[sentence] = chosen if chosen in those else next(s for s in (*MEASURED, "train") if s in those)
    return [LEFT_OUT if divided and owners.get(sentence, side) != side else side for side, sentence, divided in rows]
