"""How good captions are, against several references a photo, as papers and as sacreBLEU count.

Papers compare words in lower case without punctuation: BLEU-1 to 4 (Papineni et al. 2002, the closest reference length,
no smoothing), CIDEr-D and METEOR do so here. sacreBLEU (https://aclanthology.org/W18-6319/) and chrF see captions and
references as they are written, but for case in BLEU, and come with their signatures.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import numpy as np
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from tasks.scoring.captions.cider import cider_d
from tasks.scoring.captions.meteor import meteor
from tasks.text.normalization import NormalizationConfig, normalize_text

LENGTHS = (8, 10, 12, 15)  # words: the last of each group of photos, by the mean length of their references
PAPERS = NormalizationConfig()  # lower case, no punctuation


@dataclass(frozen=True, kw_only=True)
class LengthScores:
    """Of photos whose references have this many words in the mean: up to `words`, none for the longest."""

    words: int | None
    photos: int
    bleu_4: float
    cider_d: float


@dataclass(frozen=True, kw_only=True)
class CaptionScores:
    """bleu: BLEU-1 to 4, in percent; sacrebleu, chrf: in percent. cider_d: 0 to 10. meteor: 0 to 1. novelty: the share
    of captions that training does not have, NaN where that is not known. distinct: the share of captions that are
    different. vocabulary: different words in all. words: in a caption, the mean. by_length: by that of the references.
    """

    photos: int
    bleu: tuple[float, float, float, float]
    sacrebleu: float
    sacrebleu_signature: str
    chrf: float
    chrf_signature: str
    cider_d: float
    meteor: float
    novelty: float
    distinct: float
    vocabulary: int
    words: float
    by_length: tuple[LengthScores, ...]


def score_captions(
    captions: Sequence[str],
    references: Sequence[Sequence[str]],
    training: Iterable[str] = (),
    rules: NormalizationConfig = PAPERS,
) -> CaptionScores:
    """Of decoded captions, one a photo. references: of each photo, at least one. training: all captions trained on.

    Raises ValueError for none, or where a photo has no references.
    """
    if not captions or len(captions) != len(references) or not all(references):
        raise ValueError(f"{len(captions)} captions and {len(references)} photos: each needs a caption and references")
    plain = [normalize_text(caption, rules) for caption in captions]
    plain_references = [[normalize_text(one, rules) for one in of_photo] for of_photo in references]
    known = {normalize_text(caption, rules) for caption in training}
    said = [caption.split() for caption in plain]
    meant = [[one.split() for one in of_photo] for of_photo in plain_references]
    cider = cider_d(said, meant)
    sacre, chrf = BLEU(lowercase=True, force=True), CHRF()  # forced: captions may end in " ."
    transposed = transpose_references(references)
    sacre_score, chrf_score = (metric.corpus_score(list(captions), transposed).score for metric in (sacre, chrf))
    return CaptionScores(
        photos=len(captions),
        bleu=bleu_scores(plain, plain_references),
        sacrebleu=sacre_score,
        sacrebleu_signature=str(sacre.get_signature()),
        chrf=chrf_score,
        chrf_signature=str(chrf.get_signature()),
        cider_d=float(cider.mean()),
        meteor=float(np.mean([meteor(a, b) for a, b in zip(said, meant, strict=True)])),
        novelty=measure_novelty(plain, known),
        distinct=len(set(plain)) / len(plain),
        vocabulary=len({word for caption in said for word in caption}),
        words=float(np.mean([len(caption) for caption in said])),
        by_length=_by_length(plain, plain_references, cider),
    )


def bleu_scores(captions: Sequence[str], references: Sequence[Sequence[str]]) -> tuple[float, float, float, float]:
    """BLEU-1 to 4 of a corpus, in percent, of words between spaces, without smoothing."""
    transposed = transpose_references(references)
    metrics = [BLEU(tokenize="none", smooth_method="none", force=True, max_ngram_order=order) for order in (1, 2, 3, 4)]
    one, two, three, four = (metric.corpus_score(list(captions), transposed).score for metric in metrics)
    return one, two, three, four


def transpose_references(references: Sequence[Sequence[str]]) -> list[list[Any]]:
    """References of each photo to the first, the second, ... of all photos, None where a photo has fewer."""
    return [list(those) for those in zip_longest(*references)]


def measure_novelty(captions: Sequence[str], training: Collection[str]) -> float:
    """The share of captions that are not in training, both normalized; NaN where training is empty."""
    return sum(caption not in training for caption in captions) / len(captions) if training else float("nan")


def _by_length(
    captions: Sequence[str], references: Sequence[Sequence[str]], cider: np.ndarray
) -> tuple[LengthScores, ...]:
    lengths = np.array([np.mean([len(one.split()) for one in of_photo]) for of_photo in references])
    groups, found = np.digitize(lengths, LENGTHS, right=True), list[LengthScores]()
    for group, words in enumerate((*LENGTHS, None)):
        mine = np.flatnonzero(groups == group).tolist()
        if mine:
            bleu = bleu_scores([captions[i] for i in mine], [references[i] for i in mine])
            found.append(LengthScores(words=words, photos=len(mine), bleu_4=bleu[3], cider_d=float(cider[mine].mean())))
    return tuple(found)
