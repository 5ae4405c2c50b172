"""An n-gram model on the lines held out of its text: perplexity, bits, what it foresees best and least.

Bits per character count the characters of the normalized lines, and one for the end of each. An unknown token costs
what <unk> costs, however it is spelled: bits of models are comparable where the share of unknown tokens is about equal.
"""

import heapq
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, astuple, dataclass, field
from functools import reduce
from typing import Any

import numpy as np
import torch

from infra.artifact_store import Artifact, new_draft
from infra.errors import UserError
from models.special_tokens import BOS, EOS
from tasks.ngram.arpa_escapes import SPACE
from tasks.ngram.binary_file import StoredNGram
from tasks.ngram.perplexity import Perplexity, perplexity_from_scores
from tasks.ngram.text_lines import LineSplitConfig, read_lines
from tasks.ngram.train_ngram import BINARY, HIGHEST_ORDER, lower_order_files, open_ngram
from tasks.steps.pipeline_step import step
from tasks.steps.ray_jobs import Job, run_jobs
from tasks.text.data_digest import digest_references
from tasks.text.normalization import normalize_text
from tasks.text.tokenizer import FILE, SymbolTokenizer, TextTokenizer, load_tokenizer

BLOCK_CHARACTERS = 1 << 18  # scored at a time
SHOWN_LINES = 24  # whose tokens the page shows with their probabilities
EXTREMES = 8  # of the surest sentences, and of the most surprising ones
SHORTEST = 4  # tokens of a sentence that may be one of them
LONGEST_SHOWN = 300  # tokens


@dataclass(frozen=True)
class ExampleLines:
    """Lines to show. first: as they come; surest, oddest: with the fewest and the most bits a token, and how many."""

    first: list[str] = field(default_factory=list)
    surest: list[tuple[float, str]] = field(default_factory=list)
    oddest: list[tuple[float, str]] = field(default_factory=list)

    def joined(self, other: "ExampleLines") -> "ExampleLines":
        surest, oddest = {*self.surest, *other.surest}, {*self.oddest, *other.oddest}  # what comes twice is shown once
        first = [*self.first, *other.first][:SHOWN_LINES]
        return ExampleLines(first, heapq.nsmallest(EXTREMES, surest), heapq.nlargest(EXTREMES, oddest))


@step
def evaluate_ngram(model: Artifact, text: Artifact, split: LineSplitConfig) -> Artifact:
    """`scores.json` with the numbers, of lower orders too where the artifact has them, and `reading.json` with lines.

    Raises UserError where none of the lines held out has a token.
    """
    jobs = [
        {"shard": shard, "text": text.digest, "model": model.digest, "split": json.dumps(asdict(split))}
        for shard in text.names(".tar")
    ]
    found = sorted(run_jobs(score_shard, jobs, "score"), key=lambda told: told["shard"])
    sums = [[Perplexity(*row) for row in json.loads(told["sums"])] for told in found]
    totals = [sum(column, Perplexity()) for column in zip(*sums, strict=True)]
    if not totals[-1].tokens:
        raise UserError(f"{text}: the lines held out have no tokens; raise split.dev_share, or give more text")
    numbers = [summarize_perplexity(total, sum(told["characters"] for told in found)) for total in totals]
    orders = [open_ngram(model, name).model.order for name in _stored_orders(model)]
    chosen = reduce(ExampleLines.joined, (_chosen(told["chosen"]) for told in found))
    stored, tokenizer = open_ngram(model), load_tokenizer(model)
    reading = {
        "passages": [_read(stored, tokenizer, line) for line in chosen.first],
        "surest": [(bits, _read(stored, tokenizer, line)) for bits, line in chosen.surest],
        "oddest": [(bits, _read(stored, tokenizer, line)) for bits, line in chosen.oddest],
    }
    with new_draft("scores") as out:
        by_order = [{"order": order} | n for order, n in zip(orders, numbers, strict=True)]
        read = [(text.digest, json.dumps(asdict(split))), (FILE, model.manifest()["files"][FILE]["sha256"])]
        out.put_json("scores.json", numbers[-1] | {"orders": by_order, "data": digest_references(read)})
        out.put_json("reading.json", reading)
    return out.result()


def _chosen(told: str) -> ExampleLines:
    """From JSON, which has lists for tuples."""
    lines = json.loads(told)
    return ExampleLines(
        lines["first"], *([(bits, line) for bits, line in lines[name]] for name in ("surest", "oddest"))
    )


def summarize_perplexity(found: Perplexity, characters: int) -> dict[str, Any]:
    return {
        "loss": found.nats / found.tokens,
        "perplexity": found.value,
        "perplexity_of_known": found.of_known,
        "bits_per_token": found.bits_per_token,
        "bits_per_character": found.nats / math.log(2) / characters,
        "unknown": found.unknown / found.tokens,
        "tokens": found.tokens,
        "characters": characters,
        "sentences": found.sentences,
    }


def score_shard(job: Job) -> Job:
    """Of the held-out lines that begin in one shard: the sums for each order, and the lines that stand out."""
    text, artifact = Artifact("text", job["text"]), Artifact("ngram", job["model"])
    split, tokenizer = LineSplitConfig(**json.loads(job["split"])), load_tokenizer(artifact)
    models = [open_ngram(artifact, name).model for name in _stored_orders(artifact)]
    sums, characters, chosen = [Perplexity()] * len(models), 0, ExampleLines()
    held_out = filter(split.holds_out, read_lines(text, job["shard"]))
    for block in _blocks(held_out, tokenizer):
        stream = torch.tensor([token for _, ids in block for token in (BOS, *ids, EOS)])
        scores = [model.score(stream) for model in models]
        sums = [total + perplexity_from_scores(stream, score) for total, score in zip(sums, scores, strict=True)]
        characters += sum(len(normalize_text(line, tokenizer.text)) + 1 for line, _ in block)
        chosen = chosen.joined(_ranked(block, scores[-1].numpy()))
    told = {"shard": job["shard"], "characters": characters, "chosen": json.dumps(asdict(chosen))}
    return told | {"sums": json.dumps([astuple(total) for total in sums])}


def _stored_orders(artifact: Artifact) -> list[str]:
    """The files of the models, the lowest order first."""
    names = artifact.names()
    return [*(name for name in lower_order_files(HIGHEST_ORDER) if name in names), BINARY]


def _blocks(held_out: Iterable[str], tokenizer: TextTokenizer) -> Iterator[list[tuple[str, list[int]]]]:
    """Lines that have tokens, with their ids, some at a time."""
    block, size = list[tuple[str, list[int]]](), 0
    for line in held_out:
        if ids := tokenizer.encode(line):
            block.append((line, ids))
            size += len(line)
        if size >= BLOCK_CHARACTERS:
            yield block
            block, size = [], 0
    if block:
        yield block


def _ranked(block: list[tuple[str, list[int]]], score: np.ndarray) -> "ExampleLines":
    """The lines of a block by their bits a token; the first of them as they come."""
    lengths = np.array([len(ids) + 1 for _, ids in block])
    bits = -np.add.reduceat(score, np.cumsum([0, *lengths[:-1] + 1])) / lengths / math.log(2)
    told = zip(bits.round(4).tolist(), lengths, block, strict=True)
    ranked = [(b, line) for b, n, (line, _) in told if n >= SHORTEST]
    return ExampleLines([line for line, _ in block[:SHOWN_LINES]], ranked, ranked)


def _read(stored: StoredNGram, tokenizer: TextTokenizer, line: str) -> list[tuple[str, float]]:
    """The tokens of a line and its end, as they are shown, each with its probability."""
    ids = [*tokenizer.encode(line), EOS]
    told = stored.model.score(torch.tensor([BOS, *ids]))[1:].exp().tolist()
    between = tokenizer.separator if isinstance(tokenizer, SymbolTokenizer) else ""
    shown = [between * (i > 0) + stored.spellings[t].replace(SPACE, " ") for i, t in enumerate(ids[:-1])]
    return [(word, round(p, 4)) for word, p in zip([*shown, "\n"], told, strict=True)][:LONGEST_SHOWN]
