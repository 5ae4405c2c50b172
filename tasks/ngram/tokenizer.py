"""The tokenizer of an n-gram model, of the lines that are counted: what only the lines held out have is unknown."""

from collections.abc import Iterator
from itertools import chain

from infra.problem import Problem
from infra.store import Artifact
from tasks.ngram.lines import LineSplit, lines
from tasks.step import step
from tasks.text import normalise
from tasks.tokenizer import Tokens, fitted

LEARNT_CHARACTERS = 1 << 26  # SentencePiece holds all that it learns from in memory, so of a larger text only a part


@step
def fit_line_tokenizer(text: Artifact, config: Tokens, split: LineSplit) -> Artifact:
    """Words, characters or sub-words of the counted lines. Raises Problem where no line is held out."""
    told = text.read_json("summary.json")
    if not any(map(split.holds_out, _lines(text))):
        raise Problem(
            f"corpus {told['corpus']}: none of its lines is held out with split.dev_share={split.dev_share}; "
            "raise it, or give more text"
        )
    share = LEARNT_CHARACTERS / told["characters"] if config.kind in {"bpe", "unigram"} else 1.0
    end = split.dev_share + (1 - split.dev_share) * min(share, 1.0)
    texts = (normalise(line, config.text) for line in _lines(text) if split.dev_share <= split.place(line) < end)
    return fitted(texts, config, f"corpus {told['corpus']}")


def _lines(text: Artifact) -> Iterator[str]:
    return chain.from_iterable(lines(text, shard) for shard in text.names(".tar"))
