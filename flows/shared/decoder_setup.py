"""A trained recogniser with what its recipe's search takes: a language model of the transcripts, and the beam."""

from flows.recipes import Recipe
from infra.artifact_store import Artifact
from tasks.bundles.decoding_resources import DecodingResources, add_decoding_resources, transcripts_as_text
from tasks.ngram.text_lines import LineSplitConfig
from tasks.ngram.train_ngram import NGramTrainingConfig, train_ngram
from tasks.text.tokenizer import fit_tokenizer

ALL_LINES = LineSplitConfig(dev_share=0)


def add_decoder(trained: Artifact, shards: Artifact, tokenizer: Artifact, plan: Recipe) -> Artifact:
    """The bundle that is published."""
    return add_decoding_resources(
        trained, train_transcript_lm(shards, tokenizer, plan), DecodingResources(beam=plan.beam)
    )


def train_transcript_lm(shards: Artifact, tokenizer: Artifact, plan: Recipe) -> Artifact | None:
    """An n-gram model of the training transcripts, where the recipe asks for one."""
    wanted = plan.transcript_model
    if wanted.unit == "none":
        return None
    units = tokenizer if wanted.unit == "tokens" else fit_tokenizer(shards, wanted.words(plan.tokens))
    return train_ngram(transcripts_as_text(shards), units, NGramTrainingConfig(ngram=wanted.ngram, split=ALL_LINES))
