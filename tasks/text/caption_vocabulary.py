"""Captions of photos to a vocabulary: lower case, without punctuation, as the papers evaluate.

Words that are rare are one unknown token: Vinyals et al. keep those that training has five times or more, Xu et al. the
10,000 most frequent.
"""

from collections.abc import Iterator

import pyarrow.parquet as pq

from infra.artifact_store import Artifact
from tasks.steps.pipeline_step import step
from tasks.text.normalization import normalize_text
from tasks.text.tokenizer import TokenizerConfig, fit_on_texts

CAPTION_TOKENS = TokenizerConfig(kind="words", vocabulary_size=10_000, minimum_count=5)


@step
def fit_caption_tokenizer(shards: Artifact, config: TokenizerConfig) -> Artifact:
    """The tokenizer of the training split's captions, all of each photo. Raises UserError where there are none."""
    captions = (normalize_text(caption, config.text) for caption in training_captions(shards))
    return fit_on_texts(captions, config, str(shards))


def training_captions(shards: Artifact) -> Iterator[str]:
    """As they were written, photo by photo."""
    table = pq.read_table(shards.file("index.parquet"), columns=["captions"], filters=[("split", "==", "train")])
    for captions in table["captions"]:
        yield from captions.as_py()
