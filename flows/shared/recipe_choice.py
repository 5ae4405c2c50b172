"""The recipe of a training that names none: by the corpus' hours and by the machine, the same for the same two."""

import os
from collections.abc import Sequence
from typing import NamedTuple

import torch

from flows.recipes import asr
from flows.recipes.asr_own_data import SIZES, RecipeSize
from flows.shared.validate_inputs import resolve_recipe
from infra.errors import UserError
from infra.ray_cluster import connect
from infra.settings import settings
from tasks.corpora.corpus_uri import fingerprint, parse_corpus
from tasks.ingest.ingest_corpus import ingest_corpus

AUTO = "auto"
DEMO, DEMO_RECIPE = "demo", "deep_speech_2_demo"  # a corpus kind with a recipe of its own
FINE_TUNING = "asr_fine_tune"
SPLITS = ("train", "dev", "test")


class RecipeChoice(NamedTuple):
    """recipe: its name. reason: why, in words."""

    recipe: str
    reason: str


class Machine(NamedTuple):
    """What a training has of this machine, or of Ray's cluster. cores: one for each worker."""

    gpus: int
    cores: int
    memory_gb: float

    def __str__(self) -> str:
        gpus = f"{self.gpus} GPU{'s' * (self.gpus > 1)}" if self.gpus else "no GPU"
        return f"{gpus}, training on {self.cores} core{'s' * (self.cores > 1)}, {self.memory_gb:.0f} GB"

    def carries(self, size: RecipeSize) -> bool:
        strong = self.gpus >= size.gpus or (size.cores and self.cores >= size.cores)
        return bool(strong) and self.memory_gb >= size.memory_gb


def check_auto(corpus: str, given: Sequence[str]) -> None:
    """Raises UserError for a corpus that there is not, and for settings that the smallest recipe does not allow."""
    place = parse_corpus(corpus, asr.VERB)
    name = DEMO_RECIPE if place.kind == DEMO else SIZES[-1].recipe
    try:
        resolve_recipe(corpus, name, given, asr)
    except UserError as problem:
        raise UserError(f"{problem} (in {name}; name another recipe with --recipe)") from problem


def choose_recipe(corpus: str, given: Sequence[str], workers: int) -> RecipeChoice:
    """For a corpus of speech, with these settings. It is ingested, as all the recipes that it may be would do."""
    if parse_corpus(corpus, asr.VERB).kind == DEMO:
        return RecipeChoice(DEMO_RECIPE, "the generated corpus has a recipe of its own")
    place, some = resolve_recipe(corpus, SIZES[-1].recipe, given, asr)
    shards = ingest_corpus(place, fingerprint(place), some.ingest, SPLITS)
    told = shards.read_json("summary.json")["splits"].get("train", {})
    return fitting(told.get("seconds", 0.0) / 3600, this_machine(workers))


def fitting(hours: float, machine: Machine) -> RecipeChoice:
    """The largest recipe that so many hours feed and the machine carries."""
    fed = [size for size in SIZES if hours >= size.hours]
    chosen = next((size for size in fed if machine.carries(size)), SIZES[-1])
    spared = f", too little for {fed[0].recipe}" if chosen != fed[0] else ""
    reason = f"{hours:.1f} h of training audio; {machine}{spared}; name another with --recipe"
    return RecipeChoice(chosen.recipe, reason)


def this_machine(workers: int) -> Machine:
    """What so many workers have, of Ray's cluster where one is named; 0: a training in this process, on one core."""
    if settings().ray_address:
        there = connect().cluster_resources()
        gpus, cores, memory = (there.get(name, 0) for name in ("GPU", "CPU", "memory"))
    else:
        gpus, cores = torch.cuda.device_count(), settings().cores
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return Machine(int(gpus) if workers else 0, max(1, min(workers, int(cores))), memory / 1e9)
