"""Transcripts to a vocabulary: characters, words, or SentencePiece (BPE and unigram), with its text normalisation.

The artifact holds tokenizer.json and, for SentencePiece, tokenizer.model. Ids 0 to 3 are models/vocabulary.SPECIALS.
"""

import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Literal, Protocol

import pyarrow.parquet as pq

from infra.problem import Problem
from infra.store import Artifact, draft
from models.vocabulary import SPECIALS, UNK
from tasks.step import step
from tasks.text import Normalisation, normalise

FILE, MODEL = "tokenizer.json", "tokenizer.model"


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """kind: what a token is. vocabulary_size: for words the most frequent so many, for BPE and unigram all ids."""

    kind: Literal["characters", "words", "bpe", "unigram"] = "characters"
    vocabulary_size: int = 1000
    text: Normalisation = field(default_factory=Normalisation)


class Readable(Protocol):
    """An artifact, or a folder that stands for one."""

    def read(self, name: str) -> bytes: ...


@dataclass(frozen=True)
class Symbols:
    """One id for each symbol of a list: characters, or words with a space between."""

    symbols: tuple[str, ...]
    separator: str
    text: Normalisation

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {s: i for i, s in enumerate(self.symbols, start=len(SPECIALS))}

    def __len__(self) -> int:
        return len(SPECIALS) + len(self.symbols)

    def encode(self, text: str) -> list[int]:
        clean = normalise(text, self.text)
        return [self._ids.get(s, UNK) for s in (clean.split() if self.separator else clean)]

    def decode(self, tokens: Sequence[int]) -> str:
        known = (self.symbols[t - len(SPECIALS)] for t in tokens if t >= len(SPECIALS))
        return self.separator.join(known)


class Pieces:
    """SentencePiece; its model was trained with our ids for the specials."""

    def __init__(self, model: bytes, text: Normalisation) -> None:
        from sentencepiece import SentencePieceProcessor  # noqa: PLC0415

        self.text, self.model = text, SentencePieceProcessor(model_proto=model)  # type: ignore[call-arg]

    def __len__(self) -> int:
        return self.model.GetPieceSize()

    def encode(self, text: str) -> list[int]:
        return self.model.EncodeAsIds(normalise(text, self.text))

    def decode(self, tokens: Sequence[int]) -> str:
        return self.model.DecodeIds([t for t in tokens if t >= len(SPECIALS)])


TextTokenizer = Symbols | Pieces


@step
def fit_tokenizer(shards: Artifact, config: Tokens) -> Artifact:
    """The tokenizer of the training split's transcripts."""
    texts = [t for t in (normalise(text, config.text) for text in training_texts(shards)) if t]
    if not texts:
        raise Problem(f"{shards}: no training transcript has any text left after normalisation; see text.*")
    rules: dict[str, Any] = {"kind": config.kind, "text": asdict(config.text)}
    with draft("tokenizer") as out:
        if config.kind in {"bpe", "unigram"}:
            out.put(MODEL, train_pieces(texts, config))
        else:
            rules["symbols"] = characters(texts, config) if config.kind == "characters" else words(texts, config)
        out.put_json(FILE, rules)
    return out.result()


def load_tokenizer(place: Readable) -> TextTokenizer:
    rules = json.loads(place.read(FILE))
    text = normalisation_of(rules["text"])
    if rules["kind"] in {"bpe", "unigram"}:
        return Pieces(place.read(MODEL), text)
    return Symbols(tuple(rules["symbols"]), " " if rules["kind"] == "words" else "", text)


def normalisation_of(told: dict[str, Any]) -> Normalisation:
    """From JSON, which has lists for tuples."""
    options: dict[str, Any] = told | {"replace": tuple(told.get("replace", ()))}
    return Normalisation(**options)


def training_texts(shards: Artifact) -> Iterator[str]:
    table = pq.read_table(shards.file("index.parquet"), columns=["text"], filters=[("split", "==", "train")])
    for text in table["text"]:
        yield text.as_py()


def characters(texts: Iterable[str], config: Tokens) -> list[str]:
    if config.text.alphabet:
        return sorted({*config.text.alphabet, " "})
    return sorted(set().union(*texts))


def words(texts: Iterable[str], config: Tokens) -> list[str]:
    counts = Counter(word for text in texts for word in text.split())
    ranked = sorted(counts, key=lambda word: (-counts[word], word))
    return sorted(ranked[: config.vocabulary_size - len(SPECIALS)])


def train_pieces(texts: list[str], config: Tokens) -> bytes:
    """A SentencePiece model; one thread, so that the same texts give the same bytes."""
    from sentencepiece import SentencePieceTrainer  # noqa: PLC0415

    model = io.BytesIO()
    options: dict[str, Any] = {"pad_id": 0, "bos_id": 1, "eos_id": 2, "unk_id": UNK, "num_threads": 1, "minloglevel": 2}
    options |= {"pad_piece": SPECIALS[0], "bos_piece": SPECIALS[1], "eos_piece": SPECIALS[2], "unk_piece": SPECIALS[3]}
    options |= {"character_coverage": 1.0, "normalization_rule_name": "identity", "unk_surface": ""}
    try:
        SentencePieceTrainer.Train(
            sentence_iterator=iter(texts),
            model_writer=model,
            model_type=config.kind,
            vocab_size=config.vocabulary_size,
            **options,
        )
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        hint = "set tokens.vocabulary_size to what these transcripts carry"
        raise Problem(f"SentencePiece refuses {config.vocabulary_size} pieces: {reason} ({hint})") from error
    return model.getvalue()
