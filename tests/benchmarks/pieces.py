"""Ingest of 120 pieces of one long mp3, against soundfile decoding it once: `python -m tests.benchmarks.pieces`.

Processor time of the whole step in this process, its tables and what it writes included, the best of some rounds each.
"""

import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

from tasks.corpora.corpus_uri import IngestConfig, fingerprint, parse_corpus
from tasks.ingest.ingest_corpus import ingest_corpus
from tasks.steps.in_process import run_in_process

RATE, MINUTES, PIECES, SECONDS, ROUNDS = 16000, 20, 120, 8.0, 3
MOST_DECODES = 3.0


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="scriptorium-bench-") as folder:
        os.environ["SCRIPTORIUM_ARTIFACTS"] = f"{folder}/artifacts"
        corpus = parse_corpus(f"manifest:{write_corpus(Path(folder, 'corpus'))}")
        mark, seeds = fingerprint(corpus), iter(range(ROUNDS))

        def ours() -> None:
            shards = ingest_corpus.fn(corpus, mark, IngestConfig(seed=next(seeds)), ("train",))  # anew for each seed
            assert shards.read_json("summary.json")["splits"]["train"]["kept"] == PIECES

        with run_in_process():
            once = processor_time(lambda: soundfile.read(f"{corpus.uri}/long.mp3", dtype="float32"))
            decodes = processor_time(ours) / once
    print(f"{PIECES} pieces of {MINUTES} minutes of mp3   decodes of it {decodes:.2f}   at most {MOST_DECODES:.2f}")


def write_corpus(folder: Path) -> Path:
    """A recording of noise as loud as speech is, its pieces in a mixed order, and a clip for dev."""
    folder.mkdir()
    random = np.random.default_rng(0)
    loudness = np.repeat(random.uniform(0, 0.2, MINUTES * 60 * 4), RATE // 4)
    soundfile.write(folder / "long.mp3", random.standard_normal(len(loudness)) * loudness, RATE)
    soundfile.write(folder / "dev.wav", random.standard_normal(RATE) * 0.1, RATE)
    starts = random.permutation(PIECES) * (MINUTES * 60 / PIECES)
    rows = [{"audio": "long.mp3", "offset": s, "duration": SECONDS, "text": f"from {s}"} for s in starts.tolist()]
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "dev.jsonl").write_text(json.dumps({"audio": "dev.wav", "text": "dev"}) + "\n")
    return folder


def processor_time(work: Callable[[], object]) -> float:
    """Seconds of this process, the least of some rounds."""
    found = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        work()
        found.append(time.process_time() - begun)
    return min(found)


if __name__ == "__main__":
    main()
