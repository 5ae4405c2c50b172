"""Our own division of a corpus into train, dev and test: no speaker and no sentence in two of them.

Also carves a dev split out of train where a corpus has none. Deterministic: the same rows and seed, the same division.
Rows that would break it are left out, as rejects that no error budget is charged for.
"""

import hashlib
import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from infra.errors import UserError
from tasks.corpora.corpus_uri import IngestConfig
from tasks.corpora.utterance import NOT_CHARGED, SPLITS, Reject, Utterance
from tasks.text.normalization import NormalizationConfig, normalize_text

Row = Utterance | Reject
Reader = Callable[[tuple[str, ...]], Iterator[Row]]
SAME_SENTENCE = NormalizationConfig(unicode="NFKC")  # what counts as the same sentence
CARVE_SPEAKERS = 10  # with fewer, a dev split carved from train shares its speakers
OWN_DIVISION = "our own division: speakers and sentences apart"
CARVED = "held out of train: the corpus has no dev split"
LARGEST = 2.0  # times its share: a speaker with more rows is not for dev or test

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SplitConfig:
    """splits: for each row the split, "" for one to leave out. speakers: whether they too are disjoint."""

    splits: list[str]
    speakers: bool


def split_corpus(reader: Reader, options: IngestConfig, splits: tuple[str, ...]) -> Iterator[Row]:
    """The rows of these splits, those without a split placed, and a dev split made where the corpus has none.

    reader: reads the corpus' rows of some splits; called more than once, so that none are kept.
    Raises UserError where the corpus has none of the splits asked for, or no train where that is.
    """
    wanted = tuple(s for s in SPLITS if s in splits or (s != "test" and {"train", "dev"} & set(splits)))

    def there_is(split: str) -> bool:
        return any(row.split == split for row in reader((split or wanted[0],)))

    shares, movable = {"test": options.test_share, "dev": options.dev_share}, ""
    unplaced = there_is("")
    trainable = unplaced or there_is("train")
    if not trainable and ("train" in splits or not any(map(there_is, splits))):
        there = ", ".join(filter(there_is, SPLITS)) or "no split at all"
        raise UserError(f"the corpus has no {' or '.join(splits)} split; it has {there}")
    if trainable and not unplaced and "dev" in wanted and not there_is("dev"):
        shares, movable = {"dev": options.dev_share}, "train"
        log.warning("the corpus has no dev split: %.0f %% of train become dev", 100 * options.dev_share)
    places = iter(_places(reader(wanted), movable, shares, options) if unplaced or movable else ())
    for row in reader(wanted):
        split = next(places, "train") if row.split == movable else row.split
        if split in splits:
            yield row if split == row.split else _moved(row, split)
        elif not split and "train" in splits:
            yield Reject("train", row.source, "divide", NOT_CHARGED)


def _moved(row: Row, split: str) -> Row:
    if isinstance(row, Reject):
        return row._replace(split=split)
    return row._replace(split=split, split_from=CARVED if row.split else OWN_DIVISION)


def _places(rows: Iterator[Row], movable: str, shares: dict[str, float], options: IngestConfig) -> list[str]:
    """For each movable row its split; a reject goes to train."""
    speakers, sentences, usable = [], [], []
    for row in rows:
        if row.split == movable:
            usable.append(isinstance(row, Utterance))
            if isinstance(row, Utterance):
                speakers.append(row.speaker)
                sentences.append(sentence_hash(row.apart or row.text))
    carving = movable == "train"
    division = assign_splits(speakers, sentences, shares, options.seed)
    left_out = sum(not s for s in division.splits)
    if carving and division.speakers:
        few = len(set(speakers)) < CARVE_SPEAKERS
        if few or left_out > options.dev_share * len(speakers):
            division = assign_splits([""] * len(speakers), sentences, shares, options.seed)
    log.info("own splits: %s, speakers disjoint: %s", dict(Counter(division.splits)), division.speakers)
    placed = iter(division.splits)
    return [next(placed) if is_utterance else "train" for is_utterance in usable]


def sentence_hash(text: str) -> int:
    """64 bits, equal for sentences that differ in case, punctuation or spacing only."""
    clean = normalize_text(text, SAME_SENTENCE) or text.strip()
    return int.from_bytes(hashlib.blake2b(clean.encode(), digest_size=8).digest(), "big")


def assign_splits(
    speakers: Sequence[str], sentences: Sequence[int], shares: dict[str, float], seed: int
) -> SplitConfig:
    """A split for each row: those of `shares` about as large as stated, the rest train, "" where it must be left out.

    With fewer speakers than splits only the sentences are disjoint.
    """
    names = ["train", *shares]
    portions = [1 - sum(shares.values()), *shares.values()]
    sentence_ids = np.unique(np.asarray(sentences, np.uint64), return_inverse=True)[1].astype(np.int64)
    known = sorted(set(speakers))
    ids = {speaker: i for i, speaker in enumerate(known)}
    speaker_ids = np.fromiter((ids[s] for s in speakers), np.int64, len(speakers))
    by_speaker = _speaker_splits(known, speaker_ids, portions, seed)
    drawn = _draw(np.bincount(sentence_ids), np.sort(np.unique(np.asarray(sentences, np.uint64))), portions, seed)
    if by_speaker is None:
        return SplitConfig([names[i] for i in drawn[sentence_ids]], speakers=False)
    of_row = by_speaker[speaker_ids]
    counts = np.zeros((len(drawn), len(names)))
    np.add.at(counts, (sentence_ids, of_row), 1)
    rarest = (counts / np.asarray(portions)).argmax(1)  # a sentence goes where it weighs most
    kept = [of_row == choice[sentence_ids] for choice in (rarest, drawn)]
    targets = np.asarray(portions) * len(speakers)
    worst = [(np.bincount(of_row[keep], minlength=len(names)) / targets).min() for keep in kept]
    best = kept[int(worst[1] > worst[0] and worst[0] < 0.5)]
    return SplitConfig([names[i] if keep else "" for i, keep in zip(of_row, best, strict=True)], speakers=True)


def _speaker_splits(known: list[str], speaker_ids: np.ndarray, portions: list[float], seed: int) -> np.ndarray | None:
    """For each speaker the number of a split; None where there are too few speakers."""
    if len(known) < len(portions):
        return None
    sizes = np.bincount(speaker_ids, minlength=len(known))
    order = sorted(range(len(known)), key=lambda i: _lot(known[i], seed))
    splits = np.zeros(len(known), np.int64)
    filled: dict[int, float] = defaultdict(float)
    for number in range(1, len(portions)):
        target = portions[number] * sizes.sum()
        for i in order:
            if splits[i] == 0 and filled[number] + sizes[i] <= target:
                splits[i] = number
                filled[number] += sizes[i]
        if not filled[number]:  # every speaker is larger than the share: the smallest
            i = min((i for i in order if splits[i] == 0), key=lambda i: sizes[i])
            splits[i] = number
            filled[number] = sizes[i]
            if sizes[i] > max(LARGEST * target, sizes.sum() / len(portions)):
                return None
    return splits


def _draw(sizes: np.ndarray, hashes: np.ndarray, portions: list[float], seed: int) -> np.ndarray:
    """For each sentence the number of a split, by lot, so that the rows come near the portions."""
    order = sorted(range(len(sizes)), key=lambda i: _lot(str(hashes[i]), seed))
    splits = np.zeros(len(sizes), np.int64)
    at = 0
    for number in range(1, len(portions)):
        target, filled = portions[number] * sizes.sum(), 0
        while at < len(order) - 1 and filled < target:
            splits[order[at]] = number
            filled += sizes[order[at]]
            at += 1
    return splits


def _lot(name: str, seed: int) -> bytes:
    return hashlib.blake2b(f"{seed} {name}".encode(), digest_size=8).digest()
