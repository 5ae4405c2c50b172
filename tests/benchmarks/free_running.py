"""What a decoder writes that reads its own tokens, after teacher forcing, scheduled sampling and professor forcing.

A target is a walk around a circle of letters, which one step in seven leaves for a letter anywhere; its source is the
same walk with three letters in ten replaced. Who is always told the truth learns to trust the letter before, and
repeats what went wrong once. `free` is the share of letters right where each is the most probable after those written
so far, `taught` where it follows the truth. All begin with the same weights and see the same pairs, as many of them.
"""

import argparse
import statistics
import time
from typing import Any

import torch
from torch import Tensor

from models.criteria.token_cross_entropy import prepend_bos
from models.interface import Batch, Padded
from models.layers.decoder.professor_forcing import ProfessorForcing
from models.layers.decoder.scheduled_sampling import Sampling
from models.layers.rnn_stack import Recurrent
from models.luong import Config, Luong
from models.special_tokens import BOS, SPECIALS

LETTERS, LENGTH, LEAVES, REPLACED = 12, 12, 1 / 7, 0.3
ROWS, UPDATES, RATE, TESTED = 128, 300, 1e-2, 1024
SIZES = {"embedding_size": 16, "recurrent": Recurrent(hidden_size=32), "dropout": 0.0, "initial_range": 0.2}
SIZES |= {"reach": "local_m", "window": 2}
METHODS = {
    "teacher forcing": {},
    "scheduled sampling": {"sampling": Sampling(rate=0.5, decay="linear", slope=1 / UPDATES)},
    "professor forcing": {"professor_forcing": ProfessorForcing(weight=2.0, hidden_size=32)},
}
SEEDS = (0, 1, 2)


def pairs(rows: int, random: torch.Generator, length: int = LENGTH) -> Batch:
    """Walks and what is left of them in their sources."""
    first, free = len(SPECIALS), torch.randint(LETTERS, (rows, length), generator=random)
    leaves = torch.rand(rows, length, generator=random) < LEAVES
    leaves[:, 0] = True
    walk = free.clone()
    for t in range(1, length):
        walk[:, t] = torch.where(leaves[:, t], free[:, t], (walk[:, t - 1] + 1) % LETTERS)
    other = torch.randint(LETTERS, (rows, length), generator=random)
    heard = torch.where(torch.rand(rows, length, generator=random) < REPLACED, other, walk)
    lengths = torch.full((rows,), length)
    return Batch(tuple(map(str, range(rows))), Padded(heard + first, lengths), Padded(walk + first, lengths))


def learn(options: dict[str, Any], seed: int) -> Luong:
    torch.manual_seed(seed)
    size = len(SPECIALS) + LETTERS
    model = Config(**SIZES, **options).build(size, size)
    random, optimizer = torch.Generator().manual_seed(100 + seed), torch.optim.Adam(model.parameters(), RATE)
    for update in range(UPDATES):
        model.set_updates(update)
        loss = model.loss(pairs(ROWS, random)).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return model.eval()


@torch.no_grad()
def accuracy(model: Luong) -> dict[str, float]:
    batch = pairs(TESTED, torch.Generator().manual_seed(7))
    memory = model.encode(batch.given)
    taught = model.predict(memory, prepend_bos(batch.target)).argmax(2)[:, :-1]
    longer = pairs(TESTED, torch.Generator().manual_seed(8), 3 * LENGTH)
    shares = {"taught": taught == batch.target.data}
    shares |= {name: write(model, b) == b.target.data for name, b in (("free", batch), ("longer", longer))}
    return {name: float(right.double().mean()) for name, right in shares.items()}


def write(model: Luong, batch: Batch) -> Tensor:
    """As many letters as there are in the target, each the most probable after those before it."""
    memory, (rows, steps) = model.encode(batch.given), batch.target.data.shape
    state, last, written = model.start(memory, rows), torch.full((rows,), BOS), []
    for _ in range(steps):
        step = model.step(last, state, memory)
        last, state = step.log_probs.argmax(1), step.state
        written.append(last)
    return torch.stack(written, 1)


def main() -> None:
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser()
    parser.add_argument("methods", nargs="*", default=list(METHODS))
    for method in parser.parse_args().methods:
        begun = time.process_time()
        found = []
        print(f"{method:<20}", end="", flush=True)
        for seed in SEEDS:
            found.append(accuracy(learn(METHODS[method], seed)))
            print("  " + " ".join(f"{100 * share:.1f}" for share in found[-1].values()), end="", flush=True)
        told = "".join(
            f"   {name} {100 * statistics.mean(shares):.1f} +- {100 * statistics.stdev(shares):.1f} %"
            for name, shares in ((name, [f[name] for f in found]) for name in found[0])
        )
        print(f"{told}   {(time.process_time() - begun) / len(SEEDS):.0f} s each", flush=True)


if __name__ == "__main__":
    main()
