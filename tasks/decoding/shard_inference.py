"""A bundle on a split: actors load it once, and give it the utterances of one feature shard after another.

What is made of the utterances is a function: of the bundle and of `Inputs`. A task that runs a model is such a function
and a step that says what is written (`infer`), as tasks/decoding/decode_speech.py is.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

import pyarrow as pa
import torch

from infra.artifact_store import Artifact, Draft
from models.interface import Batch
from models.registry import architecture_modules
from tasks.batches.batch_loader import UtteranceDataset
from tasks.batches.batch_sampler import BatchingConfig
from tasks.batches.caption_dataset import CaptionDataset, first_captions
from tasks.bundles.model_bundle import Bundle, load_in_actor
from tasks.bundles.speaker_batch_norm import AdaptationConfig, Speakers, batches_by_speaker, speakers_to_adapt
from tasks.ingest.shard_index import list_shards, read_index
from tasks.steps.parquet_parts import write_parts
from tasks.steps.ray_jobs import Job

CPU = torch.device("cpu")
Made = TypeVar("Made")


@dataclass(frozen=True, kw_only=True)
class Inference:
    """What a model is run on, and how. architecture, lm_architecture: the files in models/ of the model and of the
    neural language model that its search fuses, "" for none; their code is part of the task's key.
    """

    architecture: str
    lm_architecture: str = ""
    split: str
    batching: BatchingConfig
    adapt: AdaptationConfig = AdaptationConfig()

    @property
    def code(self) -> tuple[str, ...]:
        return architecture_modules(self.architecture, self.lm_architecture)


@dataclass(frozen=True)
class Inputs:
    """Utterances for a model on a device: iterating gives batches of similar length there. Where there are speakers to
    adapt to, a batch is one speaker's, to whom the model is adapted while it is looked at.
    """

    utterances: UtteranceDataset
    batching: BatchingConfig
    device: torch.device = CPU
    speakers: Speakers | None = None

    def __iter__(self) -> Iterator[Batch]:
        for batch in batches_by_speaker(self.utterances, self.batching, self.speakers):
            yield batch.to(self.device)

    def rows(self, found: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
        """In the order of the utterances what is known of each (`reference` is its text) and what was found, by key."""
        known = self.utterances.index.select(("key", "text", "speaker", "seconds", "source")).to_pylist()
        return [row | {"reference": row["text"]} | found[row["key"]] for row in known]


class ShardModel(Generic[Made]):
    """An actor: the bundle in memory, what a function makes of one feature shard a call."""

    def __init__(
        self, function: Callable[[Bundle, Inputs], Made], bundle: Artifact, features: Artifact, inference: Inference
    ) -> None:
        self.bundle, self.device = load_in_actor(bundle)
        self.function, self.features, self.inference = function, features, inference
        self.normalizer = self.bundle.normalizer
        data = (features, inference.split)
        self.speakers = speakers_to_adapt(inference.adapt, self.bundle.model, data, self.normalizer)

    def __call__(self, job: Job) -> Made:
        index = read_index(self.features, self.inference.split, job["shard"])
        if self.bundle.sight:
            utterances = CaptionDataset(self.features, first_captions(index), self.normalizer)
        else:
            utterances = UtteranceDataset(self.features, index, self.normalizer)
        return self.function(self.bundle, Inputs(utterances, self.inference.batching, self.device, self.speakers))


def infer(
    out: Draft,
    schema: pa.Schema,
    function: Callable[[Bundle, Inputs], list[dict[str, Any]]],
    given: tuple[Artifact, Artifact, Inference],
) -> Artifact:
    """The draft with a Parquet part of what the function makes of each feature shard.

    function: gives rows of the schema; a module's own, or a partial of one, as it goes to other processes. given: the
    bundle, the features, and how.
    """
    bundle, features, inference = given
    model = partial(ShardModel, function, bundle, features, inference)
    shards, label = list_shards(features, inference.split), f"{out.kind} {inference.split}"
    return write_parts(out, shards, label, schema, model)
