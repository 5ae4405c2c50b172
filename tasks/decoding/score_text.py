"""How probable a language model finds a text, token by token.

log p(y) = sum_t log p(y_t | the end of a line, y_1 .. y_{t-1})

A text is one line or more. A model of words or pieces, and every n-gram model, has a token for the end of a line, which
each line is counted with. To a model of characters an end is the line feed: it is read before the text, and counted
where the text has one. A model of characters that has none reads nothing before the first, which is then not counted.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch

from infra.artifact_store import Artifact
from infra.errors import UserError
from models.interface import LanguageModel, Padded
from models.search.language.ngram_lm import NGramGenerator
from models.search.language.text_generator import TextGenerator
from models.special_tokens import EOS
from tasks.bundles.model_bundle import load_bundle
from tasks.ngram.train_ngram import open_ngram
from tasks.text.tokenizer import SymbolTokenizer, TextTokenizer, load_tokenizer

PIECE = 512  # tokens that are read at once, with the state carried on

LINE_FEED = "\n"


class TokenScore(NamedTuple):
    """text: of the token, a line feed for the end of a line. log_prob: in nats."""

    text: str
    log_prob: float


@dataclass(frozen=True)
class TextScore:
    """tokens: those that are counted."""

    tokens: tuple[TokenScore, ...]

    @property
    def log_prob(self) -> float:
        """Of the text, in nats."""
        return math.fsum(token.log_prob for token in self.tokens)

    @property
    def perplexity(self) -> float:
        """exp of the nats a token; nan without tokens."""
        return math.exp(-self.log_prob / len(self.tokens)) if self.tokens else math.nan


@dataclass(frozen=True)
class TextModel:
    """A language model with its tokenizer. ends: whether it has a token for the end of a line."""

    model: TextGenerator
    tokenizer: TextTokenizer
    ends: bool


def load_text_model(artifact: Artifact, name: str) -> TextModel:
    """An n-gram model, or the neural one of a bundle. Raises UserError for another bundle. name: for the message."""
    if artifact.kind == "ngram":
        return TextModel(NGramGenerator(open_ngram(artifact).model), load_tokenizer(artifact), ends=True)
    bundle = load_bundle(artifact)
    if not isinstance(bundle.model, LanguageModel):
        raise UserError(f"model {name}: not a language model; give one of train_language_model or train_ngram")
    characters = isinstance(bundle.tokenizer, SymbolTokenizer) and not bundle.tokenizer.separator
    return TextModel(bundle.model, bundle.tokenizer, ends=not characters)  # as tasks/batches/tokenize_text.py has it


@torch.inference_mode()
def score_text(language: TextModel, text: str) -> TextScore:
    """Raises UserError for a text of which nothing is left, and for characters that the model has no token for where
    none stands for them.
    """
    tokenizer, ends = language.tokenizer, language.ends
    lines = [ids for line in text.splitlines() if (ids := tokenizer.encode(line))]
    ids = [token for line in lines for token in [*line, EOS]] if ends else tokenizer.encode(text)
    if not ids:
        raise UserError(f"{text[:40]!r}: nothing is left of this text once it is normalized")
    before = [EOS] if ends else _line_feed(tokenizer)
    read, state, scores = torch.tensor([*before, *ids]), None, list[float]()
    for at in range(0, len(read) - 1, PIECE):
        given, expected = read[at : at + PIECE][: len(read) - 1 - at], read[at + 1 : at + 1 + PIECE]
        log_probs, state = language.model.predict(Padded.stack([given]), state)
        scores += log_probs.data[0].double().gather(1, expected[:, None])[:, 0].tolist()
    counted = ids[len(ids) - len(scores) :]
    texts = (LINE_FEED if ends and token == EOS else tokenizer.decode([token]) for token in counted)
    return TextScore(tuple(map(TokenScore, texts, scores)))


def _line_feed(tokenizer: TextTokenizer) -> list[int]:
    assert isinstance(tokenizer, SymbolTokenizer), "characters"
    return [tokenizer.first + tokenizer.symbols.index(LINE_FEED)] if LINE_FEED in tokenizer.symbols else []
