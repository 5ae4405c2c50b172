"""The copying-memory problem (Arjovsky, Shah & Bengio 2016, https://arxiv.org/abs/1511.06464, section 5.1).

Ten symbols of eight are read, T - 1 blanks, a mark, ten blanks; the answer is T + 10 blanks and the ten symbols. Who
remembers nothing has 10 log 8 / (T + 20) nats a step. The unitary network is the paper's of 128 complex units, the LSTM
has as many parameters; both learn from the same batches of 20, by RMSprop at 0.001 with a decay of 0.9.
"""

import math
import time
from collections.abc import Iterator

import torch

from models import char_rnn, unitary_rnn
from models.interface import Batch, Model, Padded
from models.layers.rnn_stack import Recurrent

PAUSE, SYMBOLS, RECALLED = 100, 8, 10
BLANK, MARK, TOKENS = SYMBOLS, SYMBOLS + 1, SYMBOLS + 2
ROWS, UPDATES, SHOWN = 20, 2000, 250
MODELS = {
    "unitary, 128 complex units": unitary_rnn.Config(hidden_size=128),
    "LSTM of 34": char_rnn.Config(embedding_size=0, recurrent=Recurrent(cell="lstm", hidden_size=34), readout=()),
}


def copying(rows: int, pause: int, random: torch.Generator) -> Batch:
    """`rows` streams of pause + 20 tokens with their answers."""
    symbols = torch.randint(SYMBOLS, (rows, RECALLED), generator=random)
    blanks = torch.full((rows, pause + RECALLED), BLANK)
    mark = torch.full((rows, 1), MARK)
    source = torch.cat((symbols, blanks[:, : pause - 1], mark, blanks[:, :RECALLED]), 1)
    target = torch.cat((blanks, symbols), 1)
    lengths = torch.full((rows,), pause + 2 * RECALLED)
    return Batch(tuple(map(str, range(rows))), Padded(source, lengths), Padded(target, lengths))


def memoryless(pause: int) -> float:
    """Nats a step of the best answer without memory."""
    return RECALLED * math.log(SYMBOLS) / (pause + 2 * RECALLED)


def learn(model: Model, pause: int, updates: int, shown: int, learning_rate: float = 1e-3) -> Iterator[float]:
    """Nats a step over each `shown` updates."""
    random = torch.Generator().manual_seed(1)
    optimizer = torch.optim.RMSprop(model.parameters(), learning_rate, alpha=0.9)
    told = 0.0
    for update in range(1, updates + 1):
        optimizer.zero_grad()
        loss = model.loss(copying(ROWS, pause, random)).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        told += loss.item() / shown
        if update % shown == 0:
            yield told
            told = 0.0


def main() -> None:
    torch.set_num_threads(1)
    print(f"copying after {PAUSE} steps; without memory {memoryless(PAUSE):.4f} nats a step")
    for name, config in MODELS.items():
        torch.manual_seed(0)
        model = config.build(TOKENS, TOKENS)
        begun = time.process_time()
        print(f"{name}, {sum(p.numel() for p in model.parameters())} parameters:", end="", flush=True)
        for nats in learn(model, PAUSE, UPDATES, SHOWN):
            print(f" {nats:.4f}", end="", flush=True)
        print(f"   {time.process_time() - begun:.0f} s")


if __name__ == "__main__":
    main()
