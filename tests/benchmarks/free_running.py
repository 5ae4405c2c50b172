"""What a decoder writes that reads its own tokens, after teacher forcing, scheduled sampling and professor forcing.

A target is a walk around a circle of letters, which one step in seven leaves for a letter anywhere; its source is the
same walk with three letters in ten replaced. Who is always told the truth learns to trust the letter before, and
repeats what went wrong once. `free` is the share of letters right where each is the most probable after those written
so far, `taught` where it follows the truth. All begin with the same weights and see the same pairs, as many of them.
"""

import argparse
import statistics
import time

import torch

from models.bahdanau import Bahdanau, Config
from models.criteria.token_cross_entropy import append_eos, cross_entropy, prepend_bos
from models.interface import Batch, Padded
from models.layers.decoder.professor_forcing import (
    SURE,
    USEFUL,
    Discriminator,
    discriminator_accuracy,
    discriminator_loss,
    imitation_loss,
)
from models.layers.decoder.scheduled_sampling import Sampling
from models.special_tokens import BOS, SPECIALS

LETTERS, LENGTH, LEAVES, REPLACED = 12, 16, 1 / 7, 0.3
ROWS, UPDATES, RATE, TESTED = 32, 600, 5e-3, 1024
SIZES = {"embedding_size": 16, "hidden_size": 32, "attention_size": 32, "maxout_size": 32, "initial_deviation": 0.1}
SAMPLING = {
    "teacher forcing": Sampling(),
    "scheduled sampling": Sampling(rate=0.5, decay="linear", slope=1 / UPDATES),
    "professor forcing": Sampling(),
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


def learn(method: str, seed: int) -> Bahdanau:
    torch.manual_seed(seed)
    size = len(SPECIALS) + LETTERS
    model = Config(**SIZES, sampling=SAMPLING[method]).build(size, size)
    random = torch.Generator().manual_seed(100 + seed)
    optimizer = torch.optim.Adam(model.parameters(), RATE)
    professor = Professor(model) if method == "professor forcing" else None
    for update in range(UPDATES):
        model.set_updates(update)
        batch = pairs(ROWS, random)
        loss = professor.loss(batch) if professor else model.loss(batch).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return model.eval()


class Professor:
    """The decoder's likelihood, and what a discriminator that learns beside it thinks of its free writing."""

    def __init__(self, model: Bahdanau) -> None:
        self.model, self.judge = model, Discriminator(SIZES["hidden_size"] * 3 + SIZES["embedding_size"], 32)
        self.optimizer = torch.optim.Adam(self.judge.parameters(), 1e-3)

    def loss(self, batch: Batch) -> torch.Tensor:
        memory, read = self.model.encode(batch.given), prepend_bos(batch.target)
        taught, free = (Padded(self.model.features(memory, read, share), read.lengths) for share in (0.0, 1.0))
        total = cross_entropy(self.model._logits(taught.data), append_eos(batch.target)).mean()
        told = [self.judge(Padded(x.data.detach(), x.lengths)) for x in (taught, free)]
        right = discriminator_accuracy(*told)
        if right < SURE:
            self.optimizer.zero_grad()
            discriminator_loss(*told).mean().backward()
            self.optimizer.step()
        return total + imitation_loss(self.judge(free)).mean() if right > USEFUL else total


@torch.no_grad()
def accuracy(model: Bahdanau) -> dict[str, float]:
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
    parser.add_argument("methods", nargs="*", default=list(SAMPLING))
    for method in parser.parse_args().methods:
        begun = time.process_time()
        found = []
        print(f"{method:<20}", end="", flush=True)
        for seed in SEEDS:
            found.append(accuracy(learn(method, seed)))
            print(f"{100 * found[-1]['taught']:6.1f} {100 * found[-1]['free']:.1f}", end="", flush=True)
        told = "".join(
            f"   {name} {100 * statistics.mean(shares):.1f} +- {100 * statistics.stdev(shares):.1f} %"
            for name, shares in ((name, [f[name] for f in found]) for name in found[0])
        )
        print(f"{told}   {(time.process_time() - begun) / len(SEEDS):.0f} s each", flush=True)


if __name__ == "__main__":
    main()
