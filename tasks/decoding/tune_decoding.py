"""Which weights a search is best with: every point of a grid, tried on one split with one bundle.

A job of Ray Data is a feature shard at all points: where a search needs emissions alone, they are computed once.
"""

import itertools
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from typing import Any

import jiwer
import numpy as np
import torch

from infra.artifact_store import Artifact, new_draft
from infra.errors import UserError
from models.interface import Beam, FrameSynchronousModel, Hypothesis, Padded
from tasks.bundles.model_bundle import Bundle, check_golden_outputs, is_translator
from tasks.decoding.shard_inference import Inference, Inputs, ShardModel
from tasks.decoding.translate import LONGEST_SOURCE, cut_source, most_source_tokens
from tasks.ingest.shard_index import list_shards
from tasks.steps.pipeline_step import step
from tasks.steps.ray_jobs import Job, run_jobs
from tasks.text.error_counts import count_errors
from tasks.text.translation_metrics import corpus_score, count_sentences

MOST_POINTS = 1000

Point = dict[str, float]
Search = Callable[[Beam], list[list[Hypothesis]]]


@dataclass(frozen=True, kw_only=True)
class SearchGrid:
    """The values to try of each term of a `Beam`; an empty one keeps what the bundle has."""

    width: tuple[int, ...] = ()
    lm_weight: tuple[float, ...] = ()
    insertion_bonus: tuple[float, ...] = ()
    word_bonus: tuple[float, ...] = ()
    unknown_bonus: tuple[float, ...] = ()
    hotword_weight: tuple[float, ...] = ()
    length_norm: tuple[float, ...] = ()
    coverage: tuple[float, ...] = ()
    skip_blank: tuple[float, ...] = ()
    mbr_scale: tuple[float, ...] = ()

    @property
    def points(self) -> list[Point]:
        """Every combination. Raises UserError for none and for too many."""
        tried = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name)}
        found = [dict(zip(tried, values, strict=True)) for values in itertools.product(*tried.values())]
        if not tried or len(found) > MOST_POINTS:
            raise UserError(f"grid: {len(found) if tried else 'no'} points; set grid.* to 1 to {MOST_POINTS} in all")
        return found


@dataclass(frozen=True, kw_only=True)
class TuningConfig(Inference):
    """How a grid is tried. beam: what its points are put into."""

    grid: SearchGrid
    beam: Beam

    @property
    def beams(self) -> list[Beam]:
        """Raises UserError for a value that no beam has."""
        try:
            return [replace(self.beam, **point) for point in self.grid.points]
        except ValueError as error:
            raise UserError(f"grid: {error}") from error


@dataclass(frozen=True)
class Measure:
    """What the points are compared by. count: the sums over references and what was said, (size,). rates: what such
    sums come to, that first which decides. descending: whether more is better.
    """

    size: int
    count: Callable[[list[str], list[str]], np.ndarray]
    rates: Callable[[np.ndarray], dict[str, float]]
    descending: bool


def count_edits(references: list[str], said: list[str]) -> np.ndarray:
    """Word errors and character errors, as `count_errors` counts."""
    words, characters = jiwer.process_words(references, said), jiwer.process_characters(references, said)
    return np.array([*count_errors(words), *count_errors(characters)], float)


def error_rates(sums: np.ndarray) -> dict[str, float]:
    wer, cer = (float(part[:3].sum() / max(1, part[3])) for part in (sums[:4], sums[4:]))
    return {"wer": wer, "cer": cer}


def count_matches(references: list[str], said: list[str]) -> np.ndarray:
    """What BLEU counts, and what chrF does."""
    return np.concatenate([count_sentences(name, said, references).counts.sum(0) for name in ("bleu", "chrf")])


def match_scores(sums: np.ndarray) -> dict[str, float]:
    return {"bleu": corpus_score("bleu", sums[:BLEU_SUMS]), "chrf": corpus_score("chrf", sums[BLEU_SUMS:])}


BLEU_SUMS, CHRF_SUMS = 10, 18  # lengths, and matches and n-grams of each order
ERRORS = Measure(8, count_edits, error_rates, descending=False)
MATCHES = Measure(BLEU_SUMS + CHRF_SUMS, count_matches, match_scores, descending=True)


@step
def grid_search(bundle: Artifact, features: Artifact, tuning: TuningConfig) -> Artifact:
    """`tuning.json`: of every point its WER and CER, of a translator its BLEU and chrF, and search seconds, the best
    first; the beam of the best; and the name of what decides.

    The best has the lowest WER, then CER, or the highest BLEU, then chrF; of equals the first of the grid.
    """
    for beam in (tuning.beams[0], tuning.beams[-1]):
        check_golden_outputs(bundle, beam)
    jobs: list[Job] = [{"shard": shard} for shard in list_shards(features, tuning.split)]
    arguments = (partial(sums_by_beam, beams=tuning.beams), bundle, features, tuning)
    measure = MATCHES if is_translator(bundle) else ERRORS
    sums = np.zeros((len(tuning.beams), measure.size + 1))
    for done in run_jobs(ShardModel, jobs, f"tune {tuning.split}", arguments):
        sums += json.loads(done["sums"])
    rows: list[dict[str, Any]] = []
    for point, found in zip(tuning.grid.points, sums, strict=True):
        rows.append({"point": point} | measure.rates(found[:-1]) | {"seconds": round(float(found[-1]), 3)})
    names, sign = list(measure.rates(sums[0, :-1])), -1 if measure.descending else 1
    rows.sort(key=lambda row: ([sign * row[name] for name in names], list(row["point"].values())))
    with new_draft("tuning") as out:
        best = replace(tuning.beam, **rows[0]["point"])
        told = {"metric": names[0], "descending": measure.descending, "split": tuning.split}
        out.put_json("tuning.json", {"rows": rows, "beam": asdict(best)} | told)
    return out.result()


@torch.inference_mode()
def sums_by_beam(bundle: Bundle, inputs: Inputs, beams: list[Beam]) -> Job:
    """`sums`: for each beam what its measure counts, and the seconds."""
    index, measure = inputs.utterances.index, ERRORS if bundle.spelling is None else MATCHES
    texts = dict(zip(index["key"].to_pylist(), index["text"].to_pylist(), strict=True))
    sums = np.zeros((len(beams), measure.size + 1))
    for batch in inputs:
        references, search = [texts[key] for key in batch.keys], _search(bundle, batch.given)
        for i, beam in enumerate(beams):
            begun = time.perf_counter()
            found = search(beam)
            sums[i, -1] += time.perf_counter() - begun
            said = [" ".join(bundle.tokenizer.decode(nbest[0].tokens).split()) for nbest in found]
            sums[i, :-1] += measure.count(references, said)
    return {"sums": json.dumps(sums.tolist())}


def _search(bundle: Bundle, source: Padded) -> Search:
    """Of one batch: what needs no beam is computed once."""
    model, lm = bundle.model, bundle.lm
    if isinstance(model, FrameSynchronousModel):
        emissions = model.emit(source)
        return lambda beam: model.search_emissions(emissions, beam, lm)
    if bundle.spelling is not None:
        source = cut_source(source, most_source_tokens(model, LONGEST_SOURCE))
    return lambda beam: model.search(source, beam, lm)
