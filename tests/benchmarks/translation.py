"""A Transformer of 3 + 3 layers beside JoeyNMT, Hugging Face and CTranslate2, after `make bench-peers`.

d 256, 4 heads, feed-forward 1024, a joint vocabulary of 8,000 pieces, all of it of Multi30k, German from English.
Training is by batches of 4,096 tokens of the longer side, padding counted, the same ones for both. Searching: the 64
longest sentences, beam 5, exactly so many tokens each, with the same random weights, so that all do the same work and
the tokens and scores that come out can be compared. Each system is a process of its own; they take turns. The ratio is
of the best round of each: of seconds, or with one thread of processor time.

    python -m tests.benchmarks.translation MULTI30K [PEERS' PYTHON] [THREADS] [train or search]
"""

import gzip
import io
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import sentencepiece
import torch

from models.interface import Batch, Beam, Padded
from models.special_tokens import BOS, EOS, PAD, UNK
from models.transformer import Config, Transformer
from tasks.bundles.quantize import round_linear_layers
from tests.benchmarks.translation_peers import serve

SIZE = {"size": 256, "heads": 4, "feed_forward_size": 1024}
LAYERS, VOCABULARY, TOKENS, BATCHES = 3, 8000, 4096, 1
SENTENCES, WIDTH, LENGTH, ROUNDS = 64, 5, 20, 2
CONFIG = Config(**SIZE, encoder_layers=LAYERS, decoder_layers=LAYERS, joint_vocabulary=True)


def lay(corpus: Path, folder: Path) -> int:
    """The work of all in a folder: batches, weights. The target tokens of the batches."""
    sides = [gzip.decompress((corpus / f"raw/train.{x}.gz").read_bytes()).decode().splitlines() for x in ("en", "de")]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sides[0] + sides[1]),
        model_writer=model,
        vocab_size=VOCABULARY,
        model_type="bpe",
        minloglevel=2,
        pad_id=PAD,
        bos_id=BOS,
        eos_id=EOS,
        unk_id=UNK,
    )
    pieces = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    source, target = ([[*row, EOS] for row in pieces.encode(side)] for side in sides)
    order = np.random.default_rng(0).permutation(len(source)).tolist()
    arrays, count = {}, 0
    for i in range(BATCHES):
        rows = []
        while (len(rows) + 1) * max(len(row) for k in (*rows, order[0]) for row in (source[k], target[k])) <= TOKENS:
            rows.append(order.pop(0))
        arrays[f"source{i}"] = _stack([source[k] for k in rows])
        arrays[f"target{i}"] = _stack([[BOS, *target[k]] for k in rows])
        count += sum(len(target[k]) for k in rows)
    arrays["sentences"] = _stack(sorted(source, key=len)[-SENTENCES:])
    np.savez(folder / "batches.npz", **arrays)
    torch.manual_seed(0)
    network = CONFIG.build(VOCABULARY, VOCABULARY)
    weights = {name: value.numpy() for name, value in network.state_dict().items()}
    weights["positions"] = network.positions.encoding(torch.arange(512), 512, network.embedding.weight).numpy()
    np.savez(folder / "weights.npz", **weights)
    told = SIZE | {"layers": LAYERS, "vocabulary": VOCABULARY, "batches": BATCHES, "width": WIDTH, "length": LENGTH}
    (folder / "workload.json").write_text(json.dumps(told))
    return count


def _stack(rows: list[list[int]]) -> np.ndarray:
    return Padded.stack([torch.tensor(row) for row in rows], PAD).data.numpy()


def _padded(ids: np.ndarray) -> Padded:
    """Without EOS, which the model adds itself."""
    rows = torch.from_numpy(ids)
    return Padded(rows, (rows > EOS).sum(1))


def _network(told: dict) -> Transformer:
    network = CONFIG.build(VOCABULARY, VOCABULARY)
    weights = told["weights"]
    network.load_state_dict({name: torch.from_numpy(weights[name]) for name in network.state_dict()})
    return network


def train(_folder: str, told: dict, *, low: bool = False):
    network = _network(told).train()
    optimizer = torch.optim.Adam(network.parameters(), 1e-4)
    batches = []
    for i in range(told["batches"]):
        source, target = _padded(told["arrays"][f"source{i}"]), _padded(told["arrays"][f"target{i}"][:, 1:])
        cut = Padded(target.data[:, : int(target.lengths.max())], target.lengths)
        source = Padded(source.data[:, : int(source.lengths.max())], source.lengths)
        batches.append(Batch(tuple(map(str, range(len(cut.lengths)))), source, cut))

    def update() -> dict:
        for batch in batches:
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=low):
                loss = network.loss(batch).mean()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
        return {}

    return update


def train_bfloat16(folder: str, told: dict):
    """With fit.precision=bfloat16."""
    return train(folder, told, low=True)


def search(_folder: str, told: dict, network: Transformer | None = None):
    network = network or _network(told).eval()
    source = _padded(told["arrays"]["sentences"])
    source = Padded(source.data[:, : int(source.lengths.max())], source.lengths)

    def found() -> dict:
        best = [nbest[0] for nbest in network.search(source, Beam(width=WIDTH, max_length=LENGTH))]
        return {"tokens": [list(h.tokens) for h in best], "scores": [h.score for h in best]}

    return found


def search_int8(folder: str, told: dict):
    return search(folder, told, round_linear_layers(_network(told)))


COMPARISONS = (
    ("train", "train_bfloat16", "joeynmt"),
    ("search", "search_int8", "huggingface", "ctranslate2", "ctranslate2_int8"),
)
PEERS = ".venv-peers-translation/bin/python"
PARTS = {"train": train, "train_bfloat16": train_bfloat16, "search": search, "search_int8": search_int8}


class Worker:
    def __init__(self, python: str, folder: Path, part: str, threads: int) -> None:
        program = ["-m", "tests.benchmarks.translation"]
        if part not in PARTS:
            program = [str(Path(__file__).with_name("translation_peers.py"))]
        command = [python, *program, str(folder), part, str(threads)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.rounds: list[dict] = []

    def round(self) -> None:
        assert self.process.stdin
        assert self.process.stdout
        if self.process.poll() is not None:
            return
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        while line and not line.startswith("{"):
            line = self.process.stdout.readline()
        if line:
            self.rounds.append(json.loads(line))

    def best(self, clock: str) -> float:
        return min((one[clock] for one in self.rounds[1:]), default=float("nan"))  # the first warms up


def beside(python: str, folder: Path, parts: tuple[str, ...], threads: int) -> dict[str, Worker]:
    """All parts of a comparison, in turns."""
    workers = {part: Worker(sys.executable if part in PARTS else python, folder, part, threads) for part in parts}
    for _ in range(ROUNDS + 1):
        for worker in workers.values():
            worker.round()
    for worker in workers.values():
        assert worker.process.stdin
        worker.process.stdin.close()
        worker.process.wait()
    return workers


def translation(corpus: str, python: str = PEERS, threads: int = 2, only: str = "") -> None:
    clock = "processor" if threads == 1 else "seconds"
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        count = lay(Path(corpus), folder)
        print(f"{threads} threads, {clock}", flush=True)
        for parts in COMPARISONS:
            if only not in ("", parts[0]):
                continue
            workers = beside(python, folder, parts, threads)
            own = workers[parts[0]]
            for name, worker in workers.items():
                seconds = worker.best(clock)
                work = count if parts[0] == "train" else SENTENCES
                told = f"{work / seconds:9.1f} {'target tokens' if parts[0] == 'train' else 'sentences'}/s"
                told += f", ours {seconds / own.best(clock):5.2f} times as fast" if worker is not own else ""
                memory = worker.rounds[-1]["memory"] if worker.rounds else float("nan")
                print(f"{name:<18}{told}, {memory:.0f} MB{_agreement(own, worker)}", flush=True)


def _agreement(own: Worker, other: Worker) -> str:
    """How many texts are the same, and how far apart the scores of these are."""
    if own is other or not other.rounds or "tokens" not in own.rounds[-1]:
        return ""
    one, two = own.rounds[-1], other.rounds[-1]
    same = [i for i in range(SENTENCES) if one["tokens"][i] == two["tokens"][i]]
    apart = max((abs(one["scores"][i] - two["scores"][i]) for i in same), default=float("nan"))
    return f"; {len(same)} of {SENTENCES} texts the same, their scores within {apart:.0e}"


if __name__ == "__main__":
    if len(sys.argv) == 4 and sys.argv[2] in PARTS:
        serve(PARTS[sys.argv[2]], sys.argv[1], int(sys.argv[3]))
    else:
        corpus, python, threads, only = (*sys.argv[1:], *("", PEERS, "2", "")[len(sys.argv) - 1 :])
        translation(corpus, python, int(threads), only)
