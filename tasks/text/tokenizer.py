"""Transcripts to a vocabulary: characters, words, or SentencePiece (BPE and unigram), with its text normalization.

The artifact holds tokenizer.json and, for SentencePiece, tokenizer.model. Ids 0 to 3 are
models/special_tokens.SPECIALS. Labels, the vocabulary of a classifier, have no such ids.
"""

import io
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import chain
from typing import Any, Literal, Protocol

import pyarrow.parquet as pq

from infra import storage
from infra.artifact_store import Artifact, new_draft
from infra.artifacts.manifest import parse_json
from infra.errors import UserError, explain_bad_file, tell_user
from models.special_tokens import SPECIALS, UNK
from tasks.steps.pipeline_step import step
from tasks.steps.read_config import read_config
from tasks.text.bpe_dropout import BPESampler
from tasks.text.normalization import AS_WRITTEN, NormalizationConfig, normalize_text
from tasks.text.short_sentences import short_sentences

FILE, MODEL = "tokenizer.json", "tokenizer.model"
LABELS = "labels"  # the kind of a LabelVocabulary
SOURCE = "source/"  # before the names of a source tokenizer's files, where the model reads text and says labels


@dataclass(frozen=True, kw_only=True)
class TokenizerConfig:
    """kind: what a token is. vocabulary_size: for words the most frequent so many, for BPE and unigram all ids, fewer
    where the texts carry no more. minimum_count: for words, how often one has to be there. most_characters: for
    characters, how many there may be. specials: whether ids are kept for padding, sentence ends and what is unknown; a
    stream of characters needs none of them.
    """

    kind: Literal["characters", "words", "bpe", "unigram"] = "characters"
    vocabulary_size: int = 1000
    minimum_count: int = 1
    most_characters: int = 8000
    specials: bool = True
    text: NormalizationConfig = field(default_factory=NormalizationConfig)

    def __post_init__(self) -> None:
        if self.kind != "characters" and not self.specials:
            raise ValueError(f"tokens.specials=false goes with tokens.kind=characters, not {self.kind}")


class ReadableFiles(Protocol):
    """An artifact, or a folder that stands for one."""

    @property
    def uri(self) -> str: ...

    def read(self, name: str) -> bytes: ...


@dataclass(frozen=True)
class SymbolTokenizer:
    """One id for each symbol of a list: characters, or words with a space between."""

    symbols: tuple[str, ...]
    separator: str
    text: NormalizationConfig
    first: int = len(SPECIALS)  # the id of the first symbol: 0 without specials

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {s: i for i, s in enumerate(self.symbols, start=self.first)}

    def __len__(self) -> int:
        return self.first + len(self.symbols)

    def encode(self, text: str) -> list[int]:
        """Raises UserError for a symbol that is not known where there is no id for such."""
        clean = normalize_text(text, self.text)
        parts = clean.split() if self.separator else clean
        if not self.first and (unknown := sorted(set(parts) - self._ids.keys())):
            raise UserError(f"characters that are not in the vocabulary: {' '.join(map(repr, unknown[:10]))}")
        return [self._ids.get(s, UNK) for s in parts]

    def decode(self, tokens: Sequence[int]) -> str:
        return self.separator.join(self.symbols[t - self.first] for t in tokens if t >= self.first)


class SentencePieceTokenizer:
    """SentencePiece; its model was trained with our ids for the specials."""

    first = len(SPECIALS)

    def __init__(self, model: bytes, text: NormalizationConfig) -> None:
        from sentencepiece import SentencePieceProcessor

        self.text, self.model = text, SentencePieceProcessor(model_proto=model)  # type: ignore[call-arg]  (its stubs are empty)

    def __len__(self) -> int:
        return self.model.GetPieceSize()

    def encode(self, text: str) -> list[int]:
        return self.model.EncodeAsIds(normalize_text(text, self.text))

    def decode(self, tokens: Sequence[int]) -> str:
        return self.model.DecodeIds([t for t in tokens if t >= len(SPECIALS)])

    @cached_property
    def sampler(self) -> BPESampler:
        """What cuts normalized texts otherwise. Raises ValueError for pieces that are no BPE."""
        return BPESampler(self.model.serialized_model_proto())


@dataclass(frozen=True)
class LabelVocabulary:
    """A closed set of labels, from id 0 on; a label is one token whatever is in it."""

    symbols: tuple[str, ...]
    text = AS_WRITTEN
    first = 0

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {label: i for i, label in enumerate(self.symbols)}

    def __len__(self) -> int:
        return len(self.symbols)

    def __contains__(self, label: str) -> bool:
        return label in self._ids

    def encode(self, text: str) -> list[int]:
        return [self._ids[text]]

    def decode(self, tokens: Sequence[int]) -> str:
        return ", ".join(self.symbols[t] for t in tokens)


TextTokenizer = SymbolTokenizer | SentencePieceTokenizer | LabelVocabulary


@step
def fit_tokenizer(shards: Artifact, config: TokenizerConfig) -> Artifact:
    """The tokenizer of the training split's transcripts."""
    return fit_on_texts((normalize_text(text, config.text) for text in training_texts(shards)), config, str(shards))


def fit_on_texts(texts: Iterable[str], config: TokenizerConfig, source: str) -> Artifact:
    """The tokenizer of normalized texts. Raises UserError where there is no text in them, naming their source."""
    some = (text for text in texts if text)
    first = next(some, "")
    if not first:
        raise UserError(f"{source}: no text is left to train on after normalization; see tokens.text.*")
    rules: dict[str, Any] = {"kind": config.kind, "text": asdict(config.text), "specials": config.specials}
    with new_draft("tokenizer") as out:
        if config.kind in {"bpe", "unigram"}:
            out.put(MODEL, train_sentencepiece(chain([first], some), config))
        else:
            symbols = fit_characters if config.kind == "characters" else fit_words
            rules["symbols"] = symbols(chain([first], some), config)
        out.put_json(FILE, rules)
    return out.result()


def load_tokenizer(place: ReadableFiles) -> TextTokenizer:
    """Raises UserError for files that are no tokenizer's."""
    described = storage.join(place.uri, FILE)
    with explain_bad_file(described):
        rules = parse_json(place.read(FILE), described)
        kind, text = rules["kind"], AS_WRITTEN if rules["kind"] == LABELS else load_normalization(rules["text"])
        if kind not in {"bpe", "unigram"}:
            return _symbol_tokenizer(kind, rules, text)
    with explain_bad_file(storage.join(place.uri, MODEL)):
        tokenizer = SentencePieceTokenizer(place.read(MODEL), text)
        if tokenizer.encode("") or len(tokenizer) <= len(SPECIALS):
            raise ValueError("it has no pieces")
        return tokenizer


def _symbol_tokenizer(kind: str, rules: dict[str, Any], text: NormalizationConfig) -> TextTokenizer:
    symbols, specials = rules["symbols"], rules.get("specials", True)
    if kind not in {"characters", "words", LABELS}:
        raise ValueError(f"there are no tokens of kind {kind!r}")
    if not isinstance(symbols, list) or not all(isinstance(symbol, str) for symbol in symbols):
        raise ValueError("its symbols are no list of texts")
    if len(set(symbols)) < len(symbols) or not symbols or type(specials) is not bool:
        raise ValueError("its symbols are none, or the same twice")
    if kind == LABELS:
        return LabelVocabulary(tuple(symbols))
    return SymbolTokenizer(tuple(symbols), " " if kind == "words" else "", text, len(SPECIALS) if specials else 0)


@dataclass(frozen=True)
class PrefixedFiles:
    """The files of an artifact whose names begin with a prefix."""

    artifact: Artifact
    prefix: str

    @property
    def uri(self) -> str:
        return storage.join(self.artifact.uri, self.prefix.rstrip("/"))

    def read(self, name: str) -> bytes:
        return self.artifact.read(self.prefix + name)


def load_source_tokenizer(place: Artifact) -> TextTokenizer | None:
    """The tokenizer of what is read, beside that of what is said; None where clips are read."""
    return load_tokenizer(PrefixedFiles(place, SOURCE)) if SOURCE + FILE in place.names() else None


def load_normalization(told: dict[str, Any]) -> NormalizationConfig:
    """From JSON. Raises ValueError for what is none."""
    return read_config(NormalizationConfig, told, "text")


def training_texts(shards: Artifact) -> Iterator[str]:
    table = pq.read_table(shards.file("index.parquet"), columns=["text"], filters=[("split", "==", "train")])
    for text in table["text"]:
        yield text.as_py()


def fit_characters(texts: Iterable[str], config: TokenizerConfig) -> list[str]:
    if config.text.alphabet:
        return sorted({*config.text.alphabet, " "})
    found: set[str] = set()
    for text in texts:
        found.update(text)
    if len(found) > config.most_characters:
        raise UserError(
            f"the text has {len(found)} different characters, tokens.most_characters allows {config.most_characters}: "
            "raise it, or normalize the text (tokens.text.*)"
        )
    return sorted(found)


def fit_words(texts: Iterable[str], config: TokenizerConfig) -> list[str]:
    counts = Counter(word for text in texts for word in text.split())
    often = (word for word, count in counts.items() if count >= config.minimum_count)
    ranked = sorted(often, key=lambda word: (-counts[word], word))
    if not ranked:
        raise UserError(f"no word is there tokens.minimum_count={config.minimum_count} times; set it lower")
    return sorted(ranked[: config.vocabulary_size - len(SPECIALS)])


def train_sentencepiece(texts: Iterable[str], config: TokenizerConfig) -> bytes:
    """A SentencePiece model; one thread, so that the same texts give the same bytes. Texts that carry fewer pieces than
    are wanted get these.
    """
    from sentencepiece import SentencePieceTrainer, sentencepiece_model_pb2

    model = io.BytesIO()
    options: dict[str, Any] = {"pad_id": 0, "bos_id": 1, "eos_id": 2, "unk_id": UNK, "num_threads": 1, "minloglevel": 2}
    options |= {"pad_piece": SPECIALS[0], "bos_piece": SPECIALS[1], "eos_piece": SPECIALS[2], "unk_piece": SPECIALS[3]}
    options |= {"character_coverage": 1.0, "normalization_rule_name": "identity", "unk_surface": ""}
    try:
        SentencePieceTrainer.Train(
            sentence_iterator=short_sentences(texts),
            model_writer=model,
            model_type=config.kind,
            vocab_size=config.vocabulary_size,
            hard_vocab_limit=False,
            **options,
        )
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        hint = "set vocabulary_size to what these texts carry"
        raise UserError(f"SentencePiece refuses {config.vocabulary_size} pieces: {reason} ({hint})") from error
    proto = sentencepiece_model_pb2.ModelProto()  # pyright: ignore[reportAttributeAccessIssue]
    proto.ParseFromString(model.getvalue())
    proto.trainer_spec.ClearField("hard_vocab_limit")  # the bytes of a model that has all it was asked for
    if (found := len(proto.pieces)) < config.vocabulary_size:
        tell_user(f"the texts carry {found:,} pieces, fewer than the {config.vocabulary_size:,} of vocabulary_size")
    return proto.SerializeToString()
