"""The tokenizer of an n-gram model, of the lines that are counted: what only the lines held out have is unknown."""

from collections.abc import Iterator
from itertools import chain

from infra.artifact_store import Artifact
from infra.errors import UserError
from tasks.ngram.text_lines import LineSplitConfig, read_lines
from tasks.steps.pipeline_step import step
from tasks.text.normalization import normalize_text
from tasks.text.tokenizer import TokenizerConfig, fit_on_texts

LEARNED_CHARACTERS = 1 << 26  # SentencePiece holds all that it learns from in memory, so of a larger text only a part


@step
def fit_line_tokenizer(text: Artifact, config: TokenizerConfig, split: LineSplitConfig) -> Artifact:
    """Words, characters or sub-words of the counted lines. Raises UserError where no line is held out, or all are."""
    told = text.read_json("summary.json")
    for held_out, how_many, change in ((True, "none of its lines is", "raise"), (False, "all its lines are", "lower")):
        if not any(split.holds_out(line) == held_out for line in _lines(text)):
            raise UserError(
                f"corpus {told['corpus']}: {how_many} held out with split.dev_share={split.dev_share}; "
                f"{change} it, set another split.seed, or give more text"
            )
    share = LEARNED_CHARACTERS / told["characters"] if config.kind in {"bpe", "unigram"} else 1.0
    end = split.dev_share + (1 - split.dev_share) * min(share, 1.0)
    texts = (normalize_text(line, config.text) for line in _lines(text) if split.dev_share <= split.place(line) < end)
    return fit_on_texts(texts, config, f"corpus {told['corpus']}")


def _lines(text: Artifact) -> Iterator[str]:
    return chain.from_iterable(read_lines(text, shard) for shard in text.names(".tar"))
