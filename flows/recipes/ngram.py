"""n-gram models of words, characters or sub-words."""

from flows.recipes import NGramRecipe
from tasks.ingest.ingest_text import TextIngestConfig
from tasks.ngram.train_ngram import NGramConfig
from tasks.text.normalization import AS_WRITTEN
from tasks.text.tokenizer import TokenizerConfig

VERB, MODEL_NAME = "documents", "ngram"  # what a corpus' reader must offer; what a model is registered as
SHARDS = TextIngestConfig(shard_mb=16)  # one job each: a text of 100 MB keeps six cores busy


def word_trigram() -> NGramRecipe:
    """Words in lower case without punctuation, for fusion with a model that hears or translates.

    `--corpus text:fabulistes.txt`: perplexity 384.5, 5.2 % of the words unknown (of two words 401.6, of one 796.5).
    """
    tokens = TokenizerConfig(kind="words", vocabulary_size=200_000)
    return NGramRecipe(ingest=SHARDS, tokens=tokens, ngram=NGramConfig(order=3, arpa=True, lower=True))


def character_6gram() -> NGramRecipe:
    """Characters as they stand, line by line.

    `--corpus text:fabulistes.txt`: 1.392 nats, 2.008 bits a character. Lines drawn anywhere are held out, not chunks.
    """
    tokens = TokenizerConfig(kind="characters", text=AS_WRITTEN)
    return NGramRecipe(ingest=SHARDS, tokens=tokens, ngram=NGramConfig(order=6, arpa=True, lower=True))


def bpe_4gram() -> NGramRecipe:
    """Sub-words as they stand: no word is unknown.

    `--corpus text:fabulistes.txt`: perplexity 55.9, 2.006 bits a character.
    """
    tokens = TokenizerConfig(kind="bpe", vocabulary_size=2000, text=AS_WRITTEN)
    return NGramRecipe(ingest=SHARDS, tokens=tokens, ngram=NGramConfig(order=4, arpa=True, lower=True))
