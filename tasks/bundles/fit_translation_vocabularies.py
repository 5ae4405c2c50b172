"""What a translator reads and what it writes: two vocabularies of the training split, or one of both sides.

tokenizer.json (and tokenizer.model) is the target's; source/tokenizer.json the source's: where they are joint, the same
model, so that the ids of both sides are of one embedding (Press & Wolf 2017, https://arxiv.org/abs/1608.05859).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import chain

from infra.artifact_store import Artifact, new_draft
from tasks.bundles.fit_classifier_vocabulary import training_contents
from tasks.steps.pipeline_step import step
from tasks.text.normalization import NormalizationConfig, normalize_text
from tasks.text.tokenizer import FILE, MODEL, SOURCE, TokenizerConfig, fit_on_texts, training_texts

AS_PRINTED = NormalizationConfig(case="keep", punctuation="keep")


def printed_tokens() -> TokenizerConfig:
    return TokenizerConfig(kind="bpe", vocabulary_size=8000, text=AS_PRINTED)


@dataclass(frozen=True, kw_only=True)
class TranslationTokensConfig:
    """source, target: how each side is cut into tokens. joint: into the same ones, by one model of both sides, which
    takes the same source and target but for their text.*.
    """

    source: TokenizerConfig = field(default_factory=printed_tokens)
    target: TokenizerConfig = field(default_factory=printed_tokens)
    joint: bool = False

    def __post_init__(self) -> None:
        if not (self.source.specials and self.target.specials):
            raise ValueError("tokens.*.specials=false: a translation needs ids for its end and for what is unknown")
        if self.joint and replace(self.source, text=self.target.text) != self.target:
            raise ValueError(
                "tokens.joint: one vocabulary has one kind and size: set tokens.source.* and target.* alike"
            )


@step
def fit_translation_vocabularies(shards: Artifact, config: TranslationTokensConfig) -> Artifact:
    """Raises UserError for a corpus of clips, and where nothing is left after normalization."""

    def sources() -> Iterator[str]:
        return (normalize_text(text, config.source.text) for text in training_contents(shards))

    def targets() -> Iterator[str]:
        return (normalize_text(text, config.target.text) for text in training_texts(shards))

    target = fit_on_texts(chain(sources(), targets()) if config.joint else targets(), config.target, str(shards))
    source = target if config.joint else fit_on_texts(sources(), config.source, str(shards))
    with new_draft("vocabularies") as out:
        for prefix, tokenizer, side in (("", target, config.target), (SOURCE, source, config.source)):
            out.put_json(prefix + FILE, tokenizer.read_json(FILE) | {"text": side.text.__dict__})
            if MODEL in tokenizer.names():
                out.put(prefix + MODEL, tokenizer.read(MODEL))
    return out.result()
