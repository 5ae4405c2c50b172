"""The transducer's beam search: utterances a second of a batch of 32 against the same search one at a time.

`python -m tests.benchmarks.transducer_beam`, or `main()` from elsewhere. One thread, processor time, the fastest of
some rounds; the results are checked to be the same. The net is of the demo recipe's size and is trained for a few
seconds on made-up utterances, so that its alignments are as sure as a real one's; it is measured as at first, too.
"""

import time
from collections.abc import Callable

import torch

from models import rnn_transducer
from models.interface import Batch, Beam, Hypothesis, Padded
from models.layers.rnn_stack import Recurrent

UTTERANCES, FRAMES, BANDS, VOCABULARY, WIDTH = 32, (150, 250), 40, 32, 8
STEPS, ROUNDS, FASTER = 40, 2, 5.0


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    batch = utterances()
    model = rnn_transducer.Config(
        stride=3,
        encoder=Recurrent(layers=2, hidden_size=128, bidirectional=True),
        embedding_size=64,
        prediction=Recurrent(layers=1, hidden_size=128),
        linear_size=0,
        joint_size=128,
        normalize=True,
    ).build(BANDS, VOCABULARY)
    print(f"transducer search, {UTTERANCES} utterances of {FRAMES[0]} to {FRAMES[1]} frames, 1 thread, utterances/s")
    compare(model.eval(), batch, "untrained")
    fit(model.train(), batch)
    compare(model.eval(), batch, "trained")


def compare(model: rnn_transducer.RNNTransducer, batch: Batch, net: str) -> None:
    source = batch.given
    rows = [Padded(source.data[b : b + 1, : int(n)], source.lengths[b : b + 1]) for b, n in enumerate(source.lengths)]
    for width in (1, WIDTH):
        beam = Beam(width=width)
        together, fast = best(lambda beam=beam: model.search(source, beam))
        alone, slow = best(lambda beam=beam: [model.search(row, beam)[0] for row in rows])
        same = sum(a[0].tokens == b[0].tokens for a, b in zip(together, alone, strict=True))
        rates = f"{UTTERANCES / fast:>8.1f} in a batch {UTTERANCES / slow:>8.1f} alone"
        floor = f"at least {FASTER:.0f}" if width > 1 else ""
        print(f"{net:<11}beam {width:<3}{rates}{slow / fast:>7.1f} times   {floor:<12}{same} of {UTTERANCES} the same")


def best(search: Callable[[], list[list[Hypothesis]]]) -> tuple[list[list[Hypothesis]], float]:
    """What is found, and the processor time of the fastest round."""
    seconds, found = [], []
    for _ in range(ROUNDS):
        begun = time.process_time()
        found = search()
        seconds.append(time.process_time() - begun)
    return found, min(seconds)


def utterances() -> Batch:
    """Texts of random tokens, some 10 frames each, in noise; a token is heard in bands of its own."""
    sounds = torch.randn(VOCABULARY, BANDS)
    sources, targets = [], []
    for frames in torch.linspace(*FRAMES, UTTERANCES).long().tolist():
        target = torch.randint(4, VOCABULARY, (frames // 10,))
        heard = torch.zeros(frames, BANDS)
        for u, token in enumerate(target.tolist()):
            heard[10 * u + 1 : 10 * u + 8] = sounds[token]
        sources.append(heard + 0.3 * torch.randn_like(heard))
        targets.append(target)
    return Batch(tuple(map(str, range(UTTERANCES))), Padded.stack(sources), Padded.stack(targets))


def fit(model: rnn_transducer.RNNTransducer, batch: Batch) -> None:
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(STEPS):
        optimizer.zero_grad()
        model.loss(batch).mean().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()


if __name__ == "__main__":
    main()
