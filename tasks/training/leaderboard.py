"""Trainings of several recipes and seeds, ranked: means over the seeds of a recipe, the best recipe first."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from infra.artifact_store import Artifact
from models.registry import build
from tasks.bundles.bundle_files import read_spec
from tasks.training.training_duration import TrainingTime

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class LeaderboardEntry:
    """One training: its config, its bundle, its scores and the time it took, where that is known."""

    recipe: str
    seed: int
    training: Any
    bundle: Artifact
    scores: Artifact
    clock: TrainingTime | None

    @property
    def label(self) -> str:
        return f"{self.recipe}, seed {self.seed}"


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """metric: the number of `scores.json` that ranks, the smallest first unless `descending`. curve: the column of a
    training's history that shows how it came about; curve_label: in words.
    """

    metric: str
    curve: str
    curve_label: str
    descending: bool = False


def entry_metrics(entry: LeaderboardEntry) -> Row:
    """The single numbers of an entry's scores, and what the training took."""
    scores, told = entry.scores.read_json("scores.json"), entry.bundle.read_json("training.json")
    row: Row = {name: value for name, value in scores.items() if isinstance(value, int | float)}
    row |= {"parameters": count_parameters(entry.bundle), "best_epoch": told["best"]["epoch"]}
    if entry.clock:
        row |= {"training_seconds": entry.clock.seconds, "core_seconds": entry.clock.core_seconds}
        row |= {"updates": entry.clock.updates}
        row |= {"updates_per_second": entry.clock.updates / max(entry.clock.seconds, 1e-9)}
    return row


def count_parameters(bundle: Artifact) -> int:
    """The numbers that training finds; what a network holds besides, such as a reservoir, does not count."""
    with torch.device("meta"):
        return sum(value.numel() for value in build(**read_spec(bundle)).parameters())


def rank_recipes(found: Iterable[tuple[str, Row]], ranking: Ranking) -> dict[str, Row]:
    """(recipe, numbers) of each training to the recipes in their order, each with the means of its numbers.

    `seeds` counts the trainings; `spread` is the standard deviation of the metric over them (n - 1), where there are
    two or more. A recipe whose metric is not a number comes last.
    """
    by_recipe: dict[str, list[Row]] = {}
    for recipe, row in found:
        by_recipe.setdefault(recipe, []).append(row)
    board = {recipe: _mean(rows, ranking.metric) for recipe, rows in by_recipe.items()}
    return dict(sorted(board.items(), key=lambda item: _place(item[1][ranking.metric], ranking)))


def _mean(rows: list[Row], metric: str) -> Row:
    columns = {name: [row[name] for row in rows] for name in rows[0] if all(name in row for row in rows)}
    mean: Row = {name: c[0] if len(set(c)) == 1 else float(np.mean(c)) for name, c in columns.items()}
    spread = {"spread": float(np.std(columns[metric], ddof=1))} if len(rows) > 1 else {}
    return mean | spread | {"seeds": len(rows)}


def _place(value: float, ranking: Ranking) -> tuple[bool, float]:
    return math.isnan(value), -value if ranking.descending else value
