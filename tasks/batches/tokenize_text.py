"""Text to one stream of token ids.

A text shard becomes a file of its ids, little-endian and two bytes each (four where the vocabulary asks for it), so
that any stretch of the stream is a memory map's slice. Characters are taken as they stand; words and SentencePiece
go line by line, each line ended by EOS.
"""

from collections.abc import Iterator

import numpy as np

from infra.artifact_store import Artifact, Draft, open_draft
from models.special_tokens import EOS
from tasks.ingest.ingest_text import read_text_pieces
from tasks.steps.pipeline_step import step
from tasks.steps.ray_jobs import Job, run_jobs
from tasks.text.normalization import normalize_text
from tasks.text.tokenizer import TokenizerConfig, fit_on_texts, load_tokenizer


@step
def fit_text_tokenizer(text: Artifact, config: TokenizerConfig) -> Artifact:
    """The tokenizer of a text: its alphabet is a property of all of it, as that of a keyboard."""
    return fit_on_texts((normalize_text(part, config.text) for part in _parts(text, config.kind)), config, str(text))


def _parts(text: Artifact, kind: str) -> Iterator[str]:
    """The text as it is cut for a kind of token: anywhere for characters, else into lines."""
    return read_text_pieces(text) if kind == "characters" else split_lines(read_text_pieces(text))


def split_lines(pieces: Iterator[str]) -> Iterator[str]:
    """The lines that have something in them, without their ends."""
    rest = ""
    for piece in pieces:
        *whole, rest = (rest + piece).split("\n")
        yield from (line for line in whole if line.strip())
    if rest.strip():
        yield rest


@step
def tokenize_text(text: Artifact, tokenizer: Artifact) -> Artifact:
    """`<shard>.ids` for every text shard, and `stream.json` with their type."""
    out = open_draft("stream", tokenize_text.key(text, tokenizer)[:32])
    shards, done = text.names(".tar"), out.finished()
    jobs: list[Job] = [
        {"shard": name, "text": text.digest, "tokenizer": tokenizer.digest, "out": out.uri}
        for name in shards
        if _ids_name(name) not in done
    ]
    for _ in run_jobs(tokenize_shard, jobs, "tokens"):
        pass
    size = len(load_tokenizer(tokenizer))
    out.put_json("stream.json", {"dtype": _width(size).str, "vocabulary": size})
    return out.commit([_ids_name(name) for name in shards])


def tokenize_shard(job: Job) -> Job:
    text, out = Artifact("text", job["text"]), Draft("stream", job["out"])
    tokenizer = Artifact("tokenizer", job["tokenizer"])
    tokens, kind = load_tokenizer(tokenizer), tokenizer.read_json("tokenizer.json")["kind"]
    pieces, ended = read_text_pieces(text, job["shard"]), kind != "characters"
    with out.writing(_ids_name(job["shard"])) as file:
        for part in split_lines(pieces) if ended else pieces:
            ids = tokens.encode(part) + [EOS] * ended
            file.write(np.asarray(ids, _width(len(tokens))).tobytes())
    return {}


def _ids_name(shard: str) -> str:
    return f"{shard.removesuffix('.tar')}.ids"


def _width(vocabulary: int) -> np.dtype:
    return np.dtype("<u2" if vocabulary <= 1 << 16 else "<u4")
