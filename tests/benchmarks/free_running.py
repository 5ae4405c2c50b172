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

from models.criteria.token_cross_entropy import prepend_bos
from models.interface import Batch, Padded
from models.layers.decoder.professor_forcing import ProfessorForcing
from models.layers.decoder.scheduled_sampling import Sampling
from models.layers.rnn_stack import Recurrent
from models.luong import Config, Luong
from models.special_tokens import BOS, SPECIALS

LETTERS, LENGTH, LEAVES, REPLACED = 12, 16, 1 / 7, 0.3
ROWS, UPDATES, RATE, DISCRIMINATOR_RATE, TESTED = 32, 600, 5e-3, 1e-3, 1024
SIZES = {"embedding_size": 16, "recurrent": Recurrent(hidden_size=32), "dropout": 0.0, "initial_range": 0.2}
SIZES |= {"reach": "local_m", "window": 2}
METHODS = {
    "teacher forcing": {},
    "scheduled sampling": {"sampling": Sampling(rate=0.5, decay="linear", slope=1 / UPDATES)},
    "professor forcing": {"professor_forcing": ProfessorForcing(weight=17.0, hidden_size=32)},
}
SEEDS = (0, 1, 2)


def pairs(rows: int, random: torch.Generator) -> Batch:
    """Walks and what is left of them in their sources."""
    first, free = len(SPECIALS), torch.randint(LETTERS, (rows, LENGTH), generator=random)
    leaves = torch.rand(rows, LENGTH, generator=random) < LEAVES
    leaves[:, 0] = True
    walk = free.clone()
    for t in range(1, LENGTH):
        walk[:, t] = torch.where(leaves[:, t], free[:, t], (walk[:, t - 1] + 1) % LETTERS)
    other = torch.randint(LETTERS, (rows, LENGTH), generator=random)
    heard = torch.where(torch.rand(rows, LENGTH, generator=random) < REPLACED, other, walk)
    lengths = torch.full((rows,), LENGTH)
    return Batch(tuple(map(str, range(rows))), Padded(heard + first, lengths), Padded(walk + first, lengths))


def learn(options: dict[str, Any], seed: int) -> Luong:
    torch.manual_seed(seed)
    size = len(SPECIALS) + LETTERS
    model = Config(**SIZES, **options).build(size, size)
    named = list(model.named_parameters())
    judges = [value for name, value in named if name.startswith("discriminator.")]
    groups = [
        {"params": [v for v in model.parameters() if all(v is not j for j in judges)]},
        {"params": judges, "lr": DISCRIMINATOR_RATE},
    ]
    random, optimizer = torch.Generator().manual_seed(100 + seed), torch.optim.Adam(groups, RATE)
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
    memory, truth = model.encode(batch.given), batch.target.data
    taught = model.predict(memory, prepend_bos(batch.target)).argmax(2)[:, :-1]
    state, last, written = model.start(memory, TESTED), torch.full((TESTED,), BOS), []
    for _ in range(LENGTH):
        step = model.step(last, state, memory)
        last, state = step.log_probs.argmax(1), step.state
        written.append(last)
    return {
        name: float((said == truth).double().mean())
        for name, said in (("taught", taught), ("free", torch.stack(written, 1)))
    }


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
            print(f"{100 * found[-1]['taught']:6.1f} {100 * found[-1]['free']:.1f}", end="", flush=True)
        told = "".join(
            f"   {name} {100 * statistics.mean(shares):.1f} +- {100 * statistics.stdev(shares):.1f} %"
            for name, shares in ((name, [f[name] for f in found]) for name in found[0])
        )
        print(f"{told}   {(time.process_time() - begun) / len(SEEDS):.0f} s each", flush=True)


if __name__ == "__main__":
    main()
