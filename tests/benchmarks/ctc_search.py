"""The CTC beam search against flashlight-text and pyctcdecode: the same emissions, one thread, time and word errors.

`python -m tests.benchmarks.ctc_search [--peers PYTHON]`. The peers need packages of their own, which
`make bench-peers` installs into .venv-peers. Emissions are made: sentences of English (Python's own documentation)
with a few frames a character and so much noise that the greedy search gets 30 to 50 % of the words wrong. Language
models are made of the other sentences, and the same ARPA files serve everybody. A ratio is the peer's processor time by
ours, each the fastest of three runs, but of one of pyctcdecode, which takes minutes.
"""

import argparse
import json
import math
import random
import re
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import jiwer
import numpy as np
import torch

from models.interface import Beam, Decoder, Padded
from models.search.ctc.beam import ctc_beam
from tasks.bundles.build_fusion_lm import build_fusion_lm
from tasks.ngram.arpa_escapes import escape_tokens
from tasks.ngram.arpa_file import read_arpa
from tasks.ngram.binary_file import StoredNGram, build_model
from tasks.text.normalization import NormalizationConfig, normalize_text
from tasks.text.tokenizer import SymbolTokenizer

LETTERS = SymbolTokenizer((" ", "'", *"abcdefghijklmnopqrstuvwxyz"), "", NormalizationConfig())  # 28, and the blank
SENTENCES, REPEATS, WIDTHS = 100, 3, (10, 50)
GAIN, NOISE = 4.0, 0.97
DISCOUNT = 0.75
WEIGHTS = {"characters": {"lm_weight": 0.2}, "words": {"lm_weight": 0.4, "word_bonus": 0.5}}
FLOORS = {
    ("flashlight-text", "none"): 10.0,
    ("pyctcdecode", "none"): 50.0,
    ("flashlight-text", "characters"): 10.0,
    ("flashlight-text", "words"): 3.0,
    ("pyctcdecode", "words"): 3.0,
}
CALLED = {"none": "no model", "characters": "character 5-gram", "words": "word 3-gram, lexicon"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", default=".venv-peers/bin/python", help="the python that has the peers")
    peers = Path(parser.parse_args().peers).absolute()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="scriptorium-bench-") as place:
        spoken, emissions = workload(Path(place))
        greedy = error_rate(spoken, *ours(emissions, Beam(width=1, max_length=1000), None)[:1])
        frames = sum(map(len, emissions)) / len(emissions)
        print(f"{len(spoken)} sentences of {frames:.0f} frames and 29 characters, greedy WER {greedy:.1%}", flush=True)
        results = {}
        for model in CALLED:
            lm = model_for(model, Path(place))
            for width in WIDTHS:
                beam = Beam(width=width, max_length=1000, lexicon_only=model == "words", **WEIGHTS.get(model, {}))
                texts, seconds = ours(emissions, beam, lm)
                results[model, width] = error_rate(spoken, texts), seconds
                told = f"{seconds / len(spoken) * 1e3:.2f} ms a sentence, WER {results[model, width][0]:.1%}"
                print(f"{CALLED[model]:<22} beam {width:<4} ours {told:>40}", flush=True)
        if not peers.exists():
            print(f"no peers: {peers} is missing; `make bench-peers` installs them", flush=True)
            return
        compare(Path(place), peers, spoken, results)


def compare(place: Path, peers: Path, spoken: list[str], results: dict[tuple[str, int], tuple[float, float]]) -> None:
    """A line for each peer and workload: how many times as long it takes."""
    program = [str(peers), str(Path(__file__).with_name("ctc_peers.py")), str(place)]
    log = place / "peers.log"  # where KenLM draws its progress
    with (
        log.open("w") as errors,
        subprocess.Popen(program, stdout=subprocess.PIPE, stderr=errors, text=True) as running,
    ):
        assert running.stdout is not None
        for line in running.stdout:
            said = json.loads(line)
            peer, model, width = said["peer"], said["model"], said["width"]
            wrong, seconds = results[model, width]
            theirs = error_rate(spoken, said["texts"])
            name = f"{CALLED[model]}, beam {width}"
            told = f"{peer} ({said['seconds'] / len(spoken) * 1e3:.1f} ms)"
            ratio, floor = said["seconds"] / seconds, FLOORS[peer, model]
            wer = f"WER {wrong:.1%}, theirs {theirs:.1%}"
            print(f"{name:<32}{told:<34}{ratio:>6.1f}   at least {floor:.0f}   {wer}", flush=True)
    if running.returncode:
        sys.exit(f"the peers failed: {' '.join(program)} ended with {running.returncode}\n{log.read_text()}")


def ours(emissions: list[np.ndarray], beam: Beam, lm: Decoder | None) -> tuple[list[str], float]:
    """What we read, and the processor time of the fastest run."""
    size = len(LETTERS)
    rows = []
    for array in emissions:
        row = torch.full((len(array), size), -torch.inf)
        row[:, [0, *range(size - 28, size)]] = torch.from_numpy(array)
        rows.append(row)
    batch = Padded.stack(rows)
    ctc_beam(Padded(batch.data[:1], batch.lengths[:1]), beam, lm)  # compiled, or taken from disk
    seconds = []
    for _ in range(REPEATS):
        begun = time.process_time()
        found = ctc_beam(batch, beam, lm)
        seconds.append(time.process_time() - begun)
    return [" ".join(LETTERS.decode(nbest[0].tokens).split()) for nbest in found], min(seconds)


def error_rate(spoken: list[str], read: list[str]) -> float:
    return jiwer.wer(spoken, read)


def workload(place: Path) -> tuple[list[str], list[np.ndarray]]:
    """The sentences and their emissions (T, 29), blank first; for the peers they lie in a folder, with the models."""
    drawn, known = random.Random(0), sorted(set(sentences()))
    drawn.shuffle(known)
    spoken, rest = known[:SENTENCES], known[SENTENCES:]
    words = sorted({word for sentence in known for word in sentence.split()})
    (place / "words.arpa").write_text(estimate([sentence.split() for sentence in rest], words, 3))
    letters = [list(sentence.replace(" ", "\u2581")) for sentence in rest]
    tokens = [letter.replace(" ", "\u2581") for letter in LETTERS.symbols]
    (place / "characters.arpa").write_text(estimate(letters, tokens, 5))
    random_numbers = np.random.default_rng(0)
    emissions = [emit(sentence, random_numbers) for sentence in spoken]
    np.savez(place / "emissions.npz", *emissions)
    told = {"letters": LETTERS.symbols, "words": words, "weights": WEIGHTS, "repeats": REPEATS, "widths": WIDTHS}
    (place / "workload.json").write_text(json.dumps(told))
    return spoken, emissions


def sentences() -> Iterator[str]:
    """Of some 65 characters."""
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        for text in re.findall(r'"""(.*?)"""', path.read_text(encoding="utf-8"), re.DOTALL):
            for line in re.split(r"[.:;,()]\s", " ".join(text.split())):
                clean = normalize_text(re.sub(r"[^A-Za-z ]", " ", line), LETTERS.text)
                if 55 <= len(clean) <= 80:
                    yield clean


def emit(sentence: str, drawn: np.random.Generator) -> np.ndarray:
    """Log-probabilities (T, 29): a character lasts 1 or 2 frames and 0 to 3 of blank, and noise is added to all."""
    path: list[int] = []
    for letter in sentence:
        token = 1 + LETTERS.symbols.index(letter)
        silent = 0 if not path or path[-1] != token else 1
        path += [0] * int(drawn.integers(silent, 4)) + [token] * int(drawn.integers(1, 3))
    scores = NOISE * drawn.standard_normal((len(path), 29))
    scores[np.arange(len(path)), path] += GAIN
    return (scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)).astype(np.float32)


def estimate(texts: list[list[str]], vocabulary: list[str], order: int) -> str:
    """An ARPA file: interpolated absolute discounting (Ney, Essen, Kneser 1994), as back-off."""
    counts = [Counter[tuple[str, ...]]() for _ in range(order + 1)]
    for text in texts:
        padded = ["<s>", *text, "</s>"]
        for k in range(1, order + 1):
            counts[k].update(zip(*(padded[i:] for i in range(k)), strict=False))
    del counts[1][("<s>",)]
    seen, total = Counter[tuple[str, ...]](), Counter[tuple[str, ...]]()
    for gram, count in ((gram, count) for level in counts[1:] for gram, count in level.items()):
        total[gram[:-1]] += count
        seen[gram[:-1]] += 1
    rest = {context: DISCOUNT * seen[context] / total[context] for context in total}
    every = [*vocabulary, "</s>", "<unk>"]
    p = {(word,): max(counts[1][word,] - DISCOUNT, 0) / total[()] + rest[()] / len(every) for word in every}
    for level in counts[2:]:
        for gram, count in level.items():
            p[gram] = (count - DISCOUNT) / total[gram[:-1]] + rest[gram[:-1]] * p[gram[1:]]
    lines = ["\\data\\"]
    grams = [sorted(gram for gram in p if len(gram) == k) for k in range(1, order + 1)]
    lines += [f"ngram {k}={len(level) + (k == 1)}" for k, level in enumerate(grams, 1)]
    for k, level in enumerate(grams, 1):
        lines += ["", f"\\{k}-grams:"] + [f"-99\t<s>\t{math.log10(rest['<s>',]):.6f}"] * (k == 1)
        for gram in level:
            weight = f"\t{math.log10(rest[gram]):.6f}" if gram in rest and k < order else ""
            lines.append(f"{math.log10(p[gram]):.6f}\t{' '.join(gram)}{weight}")
    return "\n".join([*lines, "", "\\end\\", ""])


def model_for(model: str, place: Path) -> Decoder | None:
    """The model of an ARPA file; a model of words brings the lexicon."""
    if model == "none":
        return None
    read = read_arpa(place / f"{model}.arpa", escape_tokens(LETTERS) if model == "characters" else None)
    return build_fusion_lm(LETTERS, StoredNGram(build_model(read.levels), read.spellings))


if __name__ == "__main__":
    main()
