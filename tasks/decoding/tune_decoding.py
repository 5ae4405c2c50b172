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
from tasks.bundles.model_bundle import Bundle, check_golden_outputs
from tasks.decoding.shard_inference import Inference, Inputs, ShardModel
from tasks.ingest.shard_index import list_shards
from tasks.steps.pipeline_step import step
from tasks.steps.ray_jobs import Job, run_jobs
from tasks.text.error_counts import count_errors

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


@step
def grid_search(bundle: Artifact, features: Artifact, tuning: TuningConfig) -> Artifact:
    """`tuning.json`: of every point its WER, CER and search seconds, the best first; and the beam of the best.

    The best has the lowest WER, then CER, then took the least to search.
    """
    for beam in (tuning.beams[0], tuning.beams[-1]):
        check_golden_outputs(bundle, beam)
    jobs: list[Job] = [{"shard": shard} for shard in list_shards(features, tuning.split)]
    arguments = (partial(errors_by_beam, beams=tuning.beams), bundle, features, tuning)
    sums = np.zeros((len(tuning.beams), 9))
    for done in run_jobs(ShardModel, jobs, f"tune {tuning.split}", arguments):
        sums += json.loads(done["sums"])
    rows: list[dict[str, Any]] = []
    for point, found in zip(tuning.grid.points, sums, strict=True):
        wer, cer = (float(part[:3].sum() / max(1, part[3])) for part in (found[:4], found[4:8]))
        rows.append({"point": point, "wer": wer, "cer": cer, "seconds": round(float(found[8]), 3)})
    rows.sort(key=lambda row: (row["wer"], row["cer"], list(row["point"].values())))
    with new_draft("tuning") as out:
        best = replace(tuning.beam, **rows[0]["point"])
        out.put_json("tuning.json", {"rows": rows, "beam": asdict(best), "split": tuning.split})
    return out.result()


@torch.inference_mode()
def errors_by_beam(bundle: Bundle, inputs: Inputs, beams: list[Beam]) -> Job:
    """`sums`: for each beam the word errors and the character errors, as `count_errors` counts, and the seconds."""
    index = inputs.utterances.index
    texts = dict(zip(index["key"].to_pylist(), index["text"].to_pylist(), strict=True))
    sums = np.zeros((len(beams), 9))
    for batch in inputs:
        references, search = [texts[key] for key in batch.keys], _search(bundle, batch.given)
        for i, beam in enumerate(beams):
            begun = time.perf_counter()
            found = search(beam)
            sums[i, 8] += time.perf_counter() - begun
            heard = [" ".join(bundle.tokenizer.decode(nbest[0].tokens).split()) for nbest in found]
            sums[i, :4] += count_errors(jiwer.process_words(references, heard))
            sums[i, 4:8] += count_errors(jiwer.process_characters(references, heard))
    return {"sums": json.dumps(sums.tolist())}


def _search(bundle: Bundle, source: Padded) -> Search:
    """Of one batch: what needs no beam is computed once."""
    model, lm = bundle.model, bundle.lm
    if isinstance(model, FrameSynchronousModel):
        emissions = model.emit(source)
        return lambda beam: model.search_emissions(emissions, beam, lm)
    return lambda beam: model.search(source, beam, lm)
