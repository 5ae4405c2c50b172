"""What a recognizer is given beside its weights: a language model, a lexicon, hotwords, and how it searches with them.

The bundle then holds lm/ngram.bin (tasks/ngram/binary_file.py), or the files of a neural language model under lm/,
words.json (lexicon and hotwords) and the new decode.json.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from infra.artifact_store import Artifact, file_sha256, new_draft
from infra.errors import UserError
from models.interface import Beam, LanguageModel
from tasks.bundles.build_fusion_lm import fit_to_tokenizer
from tasks.bundles.bundle_files import DECODING, LM, WORDS, beam_options
from tasks.bundles.bundle_files import read_words as read_bundle_words
from tasks.bundles.find_model import find_model
from tasks.bundles.model_bundle import NEURAL, check_golden_outputs, load_bundle
from tasks.corpora.text_file import read_whole_text
from tasks.corpora.utterance import QUARANTINE
from tasks.ingest import tar
from tasks.ingest.ingest_text import INDEX as TEXT_INDEX
from tasks.ingest.shard_format import TEXT
from tasks.ngram.arpa_file import read_arpa
from tasks.ngram.binary_file import Arrays, load_ngram, write_binary
from tasks.ngram.train_ngram import BINARY, NGramConfig
from tasks.steps.parquet_io import to_parquet, to_table
from tasks.steps.pipeline_step import step
from tasks.text.tokenizer import TokenizerConfig, load_tokenizer, training_texts

PIECE_CHARACTERS = 1 << 18
MOST_WORDS = 1 << 20


@dataclass(frozen=True, kw_only=True)
class TranscriptLMConfig:
    """An n-gram model of the training transcripts. unit: its words, or the recognizer's tokens; "none" makes none."""

    unit: Literal["none", "words", "tokens"] = "none"
    ngram: NGramConfig = field(default_factory=NGramConfig)

    def words(self, tokens: TokenizerConfig) -> TokenizerConfig:
        """A tokenizer of all the words of a text that is normalized as the recognizer's tokens are."""
        return TokenizerConfig(kind="words", vocabulary_size=MOST_WORDS, text=tokens.text)


@dataclass(frozen=True, kw_only=True)
class DecodingResources:
    """lexicon, hotwords: words as they are written; none leaves what the bundle has. beam: the new defaults."""

    beam: Beam
    lexicon: tuple[str, ...] = ()
    hotwords: tuple[str, ...] = ()


@step
def transcripts_as_text(shards: Artifact) -> Artifact:
    """The training split's transcripts as a text, one a line: what language models are made of."""
    index, name = [], "00000-00000.tar"
    with tempfile.TemporaryDirectory() as folder, new_draft("text") as out:
        with Path(folder, name).open("wb") as file, tar.SampleWriter(file) as shard:
            for number, piece in enumerate(_pieces(training_texts(shards))):
                data, key = piece.encode(), f"00000-00000-{number:06}"
                begin, _ = shard.write(key, {TEXT: data})
                place = {"shard": name, "offset": begin + tar.BLOCK, "size": len(data)}
                index.append({"key": key, "characters": len(piece), "source": "transcripts"} | place)
        if not index:
            raise UserError(f"{shards}: no training transcripts to make a language model of")
        out.put(name, Path(folder, name))
        out.put("index.parquet", to_parquet(to_table(index, TEXT_INDEX)))
        out.put("quarantine.parquet", to_parquet(QUARANTINE.empty_table()))
        counts = {name: sum(row[name] for row in index) for name in ("characters", "size")}
        out.put_json("summary.json", {"corpus": str(shards), "documents": 1, "rejected": 0, **counts})
    return out.result()


def _pieces(texts: Iterator[str]) -> Iterator[str]:
    """Lines, as many at a time as one piece of a text has."""
    held, size = list[str](), 0
    for text in texts:
        held.append(" ".join(text.split()) + "\n")
        size += len(held[-1])
        if size >= PIECE_CHARACTERS:
            yield "".join(held)
            held, size = [], 0
    if held:
        yield "".join(held)


def load_language_model(place: str) -> Artifact | None:
    """The language model NAME@ALIAS of the registry, or at a path: of an n-gram model, of an ARPA file, or of a bundle
    that train_language_model made. None for "".
    """
    if not place:
        return None
    if Path(place).is_file():
        return import_arpa(str(Path(place).absolute()), file_sha256(Path(place)))
    found = find_model(place, ("ngram", "bundle"))
    if found.kind == "bundle" and not isinstance(load_bundle(found).model, LanguageModel):
        raise UserError(f"{place}: not a language model; give one that train_ngram or train_language_model made")
    return found


def read_words(path: str) -> tuple[str, ...]:
    """The words of a file, one a line; what follows a tab (a pronunciation, a count) is left out. () for ""."""
    if not path:
        return ()
    lines = read_whole_text(path).splitlines()
    words = tuple(dict.fromkeys(word for line in lines if (word := line.split("\t")[0].strip())))
    if not words:
        raise UserError(f"{path}: no word in it; write one a line")
    return words


@step
def import_arpa(path: str, sha256: str) -> Artifact:  # noqa: ARG001  (other bytes at the same path are another model)
    """The n-gram model of an ARPA file, which may be compressed with gzip."""
    stored = read_arpa(Path(path))
    with tempfile.TemporaryDirectory() as folder, new_draft("ngram") as out:
        write_binary(Path(folder, BINARY), stored.levels, stored.spellings)
        out.put(BINARY, Path(folder, BINARY))
    return out.result()


def _fold(lm: Artifact, bundle: Artifact, folder: Path) -> Path:
    """The file of an n-gram model, whose words are written as the bundle writes them."""
    stored = load_ngram(lm.file(BINARY))
    folded = fit_to_tokenizer(stored, load_tokenizer(bundle))
    if folded is stored:
        return lm.file(BINARY)
    levels = [Arrays(*(table.numpy() for table in level)) for level in folded.model.levels]
    write_binary(folder / BINARY, levels, folded.spellings)
    return folder / BINARY


@step
def add_decoding_resources(bundle: Artifact, lm: Artifact | None, resources: DecodingResources) -> Artifact:
    """The bundle with a language model and words beside it. Raises UserError for what does not fit the bundle.

    lm: an n-gram model of the bundle's tokens, or of words, or a neural one that has all of the bundle's tokens; None
    leaves what the bundle has.
    """
    had, beam = set(bundle.names()), resources.beam
    fusing = {name for name in had if name.startswith(LM)}
    if lm and not beam.lm_weight:
        raise UserError("a language model is given, but beam.lm_weight is 0: set it (0.5, say), or tune it")
    if resources.hotwords and not beam.hotword_weight:
        raise UserError("hotwords are given, but beam.hotword_weight is 0: set it (5, say)")
    if resources.lexicon and not (lm or beam.lexicon_only or beam.unknown_bonus or beam.word_bonus or fusing):
        raise UserError("a lexicon is given, but no term uses it: set beam.lexicon_only=true, or give a language model")
    words = {"lexicon": [], "hotwords": []} | (read_bundle_words(bundle) if WORDS in had else {})
    words = {name: list(getattr(resources, name)) or words[name] for name in words}
    with tempfile.TemporaryDirectory() as folder, new_draft("bundle") as out:
        for name in had - {WORDS, DECODING} - (fusing if lm else set()):
            out.put(name, bundle.file(name))
        if lm:
            names = [BINARY] if lm.kind == "ngram" else [name for name in NEURAL if name in lm.names()]
            for name in names:
                out.put(LM + name, _fold(lm, bundle, Path(folder)) if name == BINARY else lm.file(name))
        if any(words.values()):
            out.put_json(WORDS, words)
        out.put_json(DECODING, beam_options(beam))
    check_golden_outputs(out.result(), beam)
    return out.result()
