"""What a classifier says and, where it reads texts, what it reads: both fitted on the training split, in one artifact.

tokenizer.json holds the labels; source/tokenizer.json (and source/tokenizer.model) the tokenizer of texts.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow.compute as pc
import pyarrow.parquet as pq

from infra.artifact_store import Artifact, new_draft
from infra.errors import UserError
from tasks.features.front_end import FrontEnd
from tasks.ingest.shard_format import TEXT, read_shard
from tasks.steps.pipeline_step import step
from tasks.text.normalization import normalize_text
from tasks.text.tokenizer import FILE, LABELS, SOURCE, TokenizerConfig, fit_on_texts, training_texts


@dataclass(frozen=True, kw_only=True)
class LabelConfig:
    """most: how many labels there may be; more are a sign that the column holds something else."""

    most: int = 1000


@step
def fit_classifier_vocabulary(shards: Artifact, labels: LabelConfig, source: FrontEnd | TokenizerConfig) -> Artifact:
    """The labels, sorted, and of a source of Tokens its tokenizer.

    Raises UserError for labels that are fewer than two or more than allowed, and for clips where texts should be.
    """
    found = sorted(set(training_texts(shards)))
    if len(found) < 2:
        raise UserError(
            f"{shards}: every training row has the label {found[0]!r}; a classifier tells two or more apart"
        )
    if len(found) > labels.most:
        told = f"{len(found)} different labels ({', '.join(map(repr, found[:3]))}, ...)"
        raise UserError(f"{shards}: {told}, labels.most allows {labels.most}: raise it, or name the right column label")
    with new_draft("vocabularies") as out:
        out.put_json(FILE, {"kind": LABELS, "symbols": found})
        if isinstance(source, TokenizerConfig):
            spelling = fit_on_texts(
                (normalize_text(text, source.text) for text in training_contents(shards)), source, str(shards)
            )
            for name in spelling.names():
                out.put(SOURCE + name, spelling.read(name))
    return out.result()


def training_contents(shards: Artifact) -> Iterator[str]:
    """The texts of the training split, which have a label or a translation."""
    index = pq.read_table(shards.file("index.parquet"), filters=[("split", "==", "train")])
    if set(index["extension"].to_pylist()) != {TEXT}:
        raise UserError(f"{shards}: this corpus has clips, and the recipe reads text; choose one that reads sound")
    for name in sorted(set(index["shard"].to_pylist())):
        keys = set(index.filter(pc.field("shard") == name)["key"].to_pylist())
        yield from (sample.data.decode() for sample in read_shard(shards.file(name)) if sample.key in keys)
