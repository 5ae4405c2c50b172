"""A trained recogniser with what its recipe's search takes: a language model of the transcripts, and the beam."""

from flows.recipes import Recipe
from infra.store import Artifact
from tasks.companions import Equipment, equip, transcripts_as_text
from tasks.ngram.lines import LineSplit
from tasks.ngram.train import NGramTraining, train_ngram
from tasks.tokenizer import fit_tokenizer

ALL_LINES = LineSplit(dev_share=0)


def equipped(trained: Artifact, shards: Artifact, tokenizer: Artifact, plan: Recipe) -> Artifact:
    """The bundle that is published."""
    return equip(trained, transcript_model(shards, tokenizer, plan), Equipment(beam=plan.beam))


def transcript_model(shards: Artifact, tokenizer: Artifact, plan: Recipe) -> Artifact | None:
    """An n-gram model of the training transcripts, where the recipe asks for one."""
    wanted = plan.transcript_model
    if wanted.unit == "none":
        return None
    units = tokenizer if wanted.unit == "tokens" else fit_tokenizer(shards, wanted.words(plan.tokens))
    return train_ngram(transcripts_as_text(shards), units, NGramTraining(ngram=wanted.ngram, split=ALL_LINES))
