"""The rule by which a challenger takes the champion's place: better on the whole, and for no group of speakers worse.

The rate's difference on the frozen test set has to be below 0 with its whole 95 % interval, by the paired bootstrap
(tasks/scoring/paired_bootstrap.py). Speakers are drawn where all are known and there are `min_speakers`, for what one
of them says is not independent (Liu & Peng 2020, "Statistical testing on ASR performance via blockwise bootstrap");
else utterances. Of few, the interval is as much wider as Student's is than the normal one: the expanded percentile
interval of Hesterberg 2015, "What teachers should know about the bootstrap". A slice blocks where it is worse by more
than `tolerance` and its own interval is above 0; the intervals of all slices together hold with 95 % (Bonferroni), so
that one of a hundred does not block by chance. One of fewer than `min_utterances` is shown and does not decide.
"""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any, NamedTuple

import jiwer
import numpy as np

from tasks.scoring.evaluate_asr import length_bucket
from tasks.scoring.paired_bootstrap import RateDifference, paired_bootstrap
from tasks.text.error_counts import count_errors

Row = dict[str, Any]
METRICS = ("wer", "cer")
OF_TAGS = ("age", "gender", "accent")  # as corpora give them
SMALL, WORSE, KEPT = "too small to decide", "worse", "not worse"
UTTERANCE, SPEAKER = "utterance", "speaker"


@dataclass(frozen=True, kw_only=True)
class PromotionRule:
    """metric: wer or cer. tolerance: by how much a slice may be worse, as a difference of rates: 0.02 are two points.
    min_utterances: of a slice that decides. min_speakers: from which on speakers are drawn.
    """

    metric: str = "wer"
    tolerance: float = 0.02
    min_utterances: int = 30
    min_speakers: int = 8
    resamples: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise ValueError(f"promotion.metric is one of {', '.join(METRICS)}, not {self.metric!r}")
        if not 0 <= self.tolerance <= 1:
            raise ValueError(f"promotion.tolerance is a share in [0, 1], not {self.tolerance}")
        if min(self.min_utterances, self.min_speakers) < 2 or self.resamples < 200:
            raise ValueError("promotion.min_utterances and min_speakers are 2 or more, resamples 200 or more")


class PairedErrors(NamedTuple):
    """errors, other_errors, lengths (N,): of the challenger and of the champion in each utterance, and of its
    reference. speakers (N,): "" for one that is not known.
    """

    errors: np.ndarray
    other_errors: np.ndarray
    lengths: np.ndarray
    speakers: np.ndarray

    def take(self, chosen: np.ndarray) -> "PairedErrors":
        return PairedErrors(*(column[chosen] for column in self))


class Verdict(NamedTuple):
    """promoted: whether the challenger is to be champion. reason: why, in words. evidence: what it rests on: `metric`,
    `unit`, `utterances`, `overall`, `slices`, `rule`.
    """

    promoted: bool
    reason: str
    evidence: dict[str, Any]


def decide_promotion(pairs: PairedErrors, groups: Iterable[tuple[str, Sequence[str]]], rule: PromotionRule) -> Verdict:
    """groups: of each kind its name, and of each utterance the group that it is in, "" for none. Raises ValueError for
    no utterances.
    """
    unit, overall = _difference(pairs, rule, 0.05)
    slices = [(kind, name, np.array(of) == name) for kind, of in groups for name in sorted({*of} - {""})]
    tested = sum(int(mine.sum()) >= rule.min_utterances for _, _, mine in slices)
    rows = [_slice(kind, name, pairs.take(mine), rule, 0.05 / max(1, tested)) for kind, name, mine in slices]
    worse = [row for row in rows if row["verdict"] == WORSE]
    promoted = overall.high < 0 and not worse
    evidence = {
        "metric": rule.metric,
        "unit": unit,
        "utterances": len(pairs.lengths),
        "overall": _told(overall),
        "slices": rows,
        "rule": asdict(rule),
    }
    return Verdict(promoted, _reason(overall, worse, rule), evidence)


def _difference(pairs: PairedErrors, rule: PromotionRule, alpha: float) -> tuple[str, RateDifference]:
    """What was drawn, and the difference."""
    columns, unit = pairs[:3], UTTERANCE
    names, number = np.unique(pairs.speakers, return_inverse=True)
    if "" not in names and len(names) >= rule.min_speakers:
        columns, unit = tuple(np.bincount(number, column).astype(np.int64) for column in columns), SPEAKER
    errors, other_errors, lengths = columns
    how = {"resamples": rule.resamples, "seed": rule.seed, "alpha": _expanded(alpha, len(lengths))}
    return unit, paired_bootstrap(errors, other_errors, lengths, **how)


def _expanded(alpha: float, drawn: int) -> float:
    """What a percentile interval has to leave out of so many that its ends lie where Student's would. The quantile is
    that of Abramowitz & Stegun, 26.7.5.
    """
    if drawn < 2:
        return alpha
    z, freedom = NormalDist().inv_cdf(1 - alpha / 2), drawn - 1
    t = z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    return 2 * NormalDist().cdf(-t * math.sqrt(drawn / freedom))


def _slice(kind: str, name: str, pairs: PairedErrors, rule: PromotionRule, alpha: float) -> Row:
    unit, found = _difference(pairs, rule, alpha)
    verdict = WORSE if found.low > 0 and found.difference > rule.tolerance else KEPT
    small = len(pairs.lengths) < rule.min_utterances
    told = {"slice": kind, "group": name, "utterances": len(pairs.lengths), "unit": unit}
    return told | _told(found) | {"verdict": SMALL if small else verdict}


def _told(found: RateDifference) -> Row:
    names = {"rate": found.rate, "other_rate": found.other_rate, "difference": found.difference}
    return names | {"low": found.low, "high": found.high}


def _reason(overall: RateDifference, worse: list[Row], rule: PromotionRule) -> str:
    what = f"{rule.metric.upper()} {overall.rate:.2%} against {overall.other_rate:.2%}, {_interval(_told(overall))}"
    if overall.high >= 0:
        return f"{'worse' if overall.low > 0 else 'not clearly better'} than the champion: {what}"
    if worse:
        some = "; ".join(f"{row['slice']} {row['group'][:24]}: {_interval(row)}" for row in worse[:3])
        return f"better on the whole ({what}), but worse for {len(worse)} of the slices: {some}"
    return f"better than the champion: {what}"


def _interval(row: Row) -> str:
    return f"{100 * row['difference']:+.2f} points ({100 * row['low']:+.2f} to {100 * row['high']:+.2f})"


def pair_transcripts(rows: list[Row], others: list[Row], metric: str) -> tuple[PairedErrors, list[Row]]:
    """The errors of both in each utterance that both were given, and its row with `other_text`, `errors` and
    `other_errors`. rows, others: of TRANSCRIPTS, the champion's the second, with the same references.
    """
    theirs = {row["key"]: row for row in others}
    both = [row | {"other_text": theirs[row["key"]]["text"]} for row in rows if row["key"] in theirs]
    if any(row["reference"] != theirs[row["key"]]["reference"] for row in both):
        raise ValueError("two sets of transcripts with other references")
    process = jiwer.process_words if metric == "wer" else jiwer.process_characters
    counts, other = (
        np.array([count_errors(process(row["reference"], row[name])) for row in both], np.int64).reshape(-1, 4)
        for name in ("text", "other_text")
    )
    errors, other_errors = counts[:, :3].sum(1), other[:, :3].sum(1)
    speakers = np.array([row["speaker"] or "" for row in both], dtype=object).astype(str)
    told = [
        row | {"errors": int(mine), "other_errors": int(their)}
        for row, mine, their in zip(both, errors, other_errors, strict=True)
    ]
    return PairedErrors(errors, other_errors, counts[:, 3], speakers), told


def group_utterances(rows: list[Row], tags: dict[str, str]) -> list[tuple[str, list[str]]]:
    """What `decide_promotion` takes: by age, gender and accent as far as they are given, length, and speaker. tags: the
    JSON of each utterance's, by key.
    """
    given = [json.loads(tags.get(row["key"], "") or "{}") for row in rows]
    found = [(name, [str(one.get(name, "")) for one in given]) for name in OF_TAGS]
    found += [("length", [length_bucket(row["seconds"]) for row in rows])]
    return [*found, ("speaker", [row["speaker"] or "" for row in rows])]
