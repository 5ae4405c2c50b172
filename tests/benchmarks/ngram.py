"""n-grams counted and smoothed in one process, against a Counter of the same n-grams, and in how much memory.

`python -m tests.benchmarks.ngram`, or `main()` from elsewhere. The ratio is the peer's processor time by ours, which
also smooths and writes the model. Memory is that of a text ten times as large by that of the smaller one, but for pages
of mapped files. Lines are made of those of SCRIPTORIUM_CORPORA where that is set, else of generated ones.
"""

import gzip
import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path

import psutil
import torch

from flows.recipes import NGramRecipe, ngram
from infra.artifact_store import Artifact
from models.special_tokens import BOS, EOS
from tasks.corpora.corpus_uri import fingerprint, parse_corpus
from tasks.ingest.ingest_text import ingest_text
from tasks.ngram.fit_line_tokenizer import fit_line_tokenizer
from tasks.ngram.text_lines import LineSplitConfig, read_lines
from tasks.ngram.train_ngram import train_ngram
from tasks.steps.in_process import run_in_process
from tasks.text.tokenizer import load_tokenizer

FOLDER = tempfile.TemporaryDirectory(prefix="scriptorium-bench-")
CORPORA = ("fables_fr/*.txt", "tinyshakespeare/*.txt", "multi30k/raw/train.*.gz")
MEGABYTES = 20
RECIPES = {"word 3-gram": ngram.word_trigram, "character 6-gram": ngram.character_6gram}
FLOOR, CEILING = 1.5, 1.2


@run_in_process()
def main() -> None:
    os.environ["SCRIPTORIUM_ARTIFACTS"] = f"{FOLDER.name}/artifacts"
    torch.set_num_threads(1)
    small, large = (text_of(size) for size in (MEGABYTES, 10 * MEGABYTES))
    for name, make in RECIPES.items():
        tokens, ours, peer = seconds(small, make())
        print(f"{name}, {MEGABYTES} MB of text: {tokens / ours:,.0f} tokens a second of one core", flush=True)
        print(f"{name:<28}{'Counter in one process':<34}{peer / ours:>6.2f}   at least {FLOOR:.2f}", flush=True)
    held = [peak_memory(path) for path in (small, large)]
    print(f"{'memory of ' + str(10 * MEGABYTES) + ' MB':<28}{f'of {MEGABYTES} MB ({held[0]:.0f} MB)':<34}"
          f"{held[1] / held[0]:>6.2f}   at most {CEILING:.2f}")  # fmt: skip


def text_of(megabytes: int) -> Path:
    """So much text: beginnings and ends of the corpora's lines, put together anew so that n-grams never run out."""
    path, drawn = Path(FOLDER.name, f"{megabytes}.txt"), random.Random(0)
    known, size = [line.split() for line in known_lines()], 0
    with path.open("w") as file:
        while size < megabytes << 20:
            one, two = drawn.choice(known), drawn.choice(known)
            line = [*one[: drawn.randint(1, len(one))], *two[drawn.randint(0, len(two)) :]]
            size += len(" ".join(line).encode()) + 1
            file.write(" ".join(line) + "\n")
    return path


def known_lines() -> Iterator[str]:
    place = os.environ.get("SCRIPTORIUM_CORPORA")
    files = [file for pattern in CORPORA for file in sorted(Path(place).glob(pattern))] if place else []
    for file in files:
        with gzip.open(file, "rt") if file.suffix == ".gz" else file.open() as opened:
            yield from filter(str.strip, opened)
    if not files:
        drawn, words = random.Random(1), [f"word{i}" for i in range(20_000)]
        weights = [1 / rank for rank in range(1, len(words) + 1)]
        for _ in range(50_000):
            yield " ".join(drawn.choices(words, weights, k=drawn.randint(1, 20)))


def taken_in(path: Path, recipe: NGramRecipe) -> tuple[Artifact, Artifact]:
    """The text and its tokenizer."""
    corpus = parse_corpus(f"text:{path}", "documents")
    text = ingest_text.fn(corpus, fingerprint(corpus), recipe.ingest)
    return text, fit_line_tokenizer.fn(text, recipe.tokens, recipe.split)


def seconds(path: Path, recipe: NGramRecipe) -> tuple[int, float, float]:
    """Tokens counted, and the processor time that we and the peer take."""
    text, tokenizer = taken_in(path, recipe)
    work = replace(recipe.training, ngram=replace(recipe.ngram, arpa=False, lower=False))
    begun = time.process_time()
    model = train_ngram.fn(text, tokenizer, work)
    ours, begun = time.process_time() - begun, time.process_time()
    counts = counted(text, tokenizer, recipe.split, recipe.ngram.order)
    peer, told = time.process_time() - begun, model.read_json("summary.json")
    if [len(level) for level in counts] != [order["seen"] for order in told["orders"]]:
        sys.exit("the peer counts other n-grams than we do")
    return told["text"]["tokens"] + told["text"]["sentences"], ours, peer


def counted(text: Artifact, tokenizer: Artifact, split: LineSplitConfig, order: int) -> list[Counter[tuple[int, ...]]]:
    """The n-grams of every order of the same sentences, each n-gram a tuple of ids."""
    counts, tokens = [Counter[tuple[int, ...]]() for _ in range(order)], load_tokenizer(tokenizer)
    every = chain.from_iterable(read_lines(text, shard) for shard in text.names(".tar"))
    for line in every:
        if not split.holds_out(line) and (ids := tokens.encode(line)):
            sentence = [BOS, *ids, EOS]
            for k, level in enumerate(counts, 1):
                level.update(zip(*(islice(sentence, i, None) for i in range(k)), strict=False))
    counts[0].pop((BOS,))
    return counts


def peak_memory(path: Path) -> float:
    """MB that counting and smoothing hold at most, sampled while they run in a process of its own."""
    process = multiprocessing.get_context("spawn").Process(target=train_alone, args=(path, FOLDER.name))
    process.start()
    peak, watched = 0.0, psutil.Process(process.pid)
    while process.is_alive():
        try:
            held = watched.memory_info()
        except psutil.NoSuchProcess:
            break
        peak = max(peak, (held.rss - held.shared) / 2**20)
        time.sleep(0.02)
    process.join()
    if process.exitcode:
        sys.exit("the training of the memory benchmark failed")
    return peak


@run_in_process()
def train_alone(path: Path, folder: str) -> None:
    os.environ["SCRIPTORIUM_ARTIFACTS"] = f"{folder}/alone"
    torch.set_num_threads(1)
    recipe = ngram.word_trigram()
    train_ngram.fn(*taken_in(path, recipe), recipe.training)


if __name__ == "__main__":
    main()
