"""The transducer's loss, forward and backward, against a joint network and torchaudio's rnnt_loss: time and memory.

`python -m tests.benchmarks.transducer_loss`, or `main()` from elsewhere. One thread; each is measured in processes of
its own, in turn, and the fastest round of all counts, in processor time. Memory is the most that was resident beyond
what was there after a loss of a few cells. diffuse: the net as it is at first, where alignments pass many cells of the
lattice; sharp: one whose alignments are as sure as a trained net's.
"""

import json
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
import torchaudio
from torch import Tensor, nn

from models.criteria.transducer import transducer
from models.interface import Padded

BATCH, TIME, TOKENS, VOCABULARY, JOINT = 8, 200, 40, 500, 256
ROUNDS, PROCESSES = 3, 2
FASTER, SMALLER = 3.0, 0.25
NETS = {"diffuse": 0.0, "sharp": 12.0}  # the margin of `problem`


def main() -> None:
    print(
        f"transducer loss, B{BATCH} T{TIME} U{TOKENS} V{VOCABULARY}, joint of {JOINT}, forward and backward, 1 thread"
    )
    for net in NETS:
        found: dict[str, list[dict[str, float]]] = {"ours": [], "torchaudio": []}
        for _ in range(PROCESSES):
            for name, measured in found.items():
                program = [sys.executable, "-m", "tests.benchmarks.transducer_loss", name, net]
                measured.append(json.loads(subprocess.run(program, check=True, capture_output=True, text=True).stdout))
        seconds = {name: min(one["seconds"] for one in measured) for name, measured in found.items()}
        memory = {name: min(one["megabytes"] for one in measured) for name, measured in found.items()}
        for name in found:
            print(f"{net:<10}{name:<12}{seconds[name]:>8.2f} s {memory[name]:>8.0f} MB")
        ratio, share = seconds["torchaudio"] / seconds["ours"], memory["ours"] / memory["torchaudio"]
        print(
            f"{net:<10}{ratio:.2f} times as fast, at least {FASTER:.0f}; {share:.2f} of the memory, at most {SMALLER}"
        )


def measure(loss: Callable[..., Tensor], margin: float) -> dict[str, float]:
    """Processor seconds of the fastest round, and megabytes."""
    torch.set_num_threads(1)
    once(loss, problem(2, 3, 2, margin))
    before = most_resident()
    given = problem(BATCH, TIME, TOKENS, margin)
    seconds = [once(loss, given) for _ in range(ROUNDS)]
    return {"seconds": min(seconds), "megabytes": (most_resident() - before) / 1024}


def most_resident() -> int:
    """kB, of this program alone: what getrusage says begins with the size of the process that started it."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


def once(loss: Callable[..., Tensor], given: tuple[Tensor, Tensor, nn.Linear, Tensor]) -> float:
    begun = time.process_time()
    loss(*given).backward()
    return time.process_time() - begun


def problem(batch: int, frames: int, tokens: int, margin: float) -> tuple[Tensor, Tensor, nn.Linear, Tensor]:
    """f, g, the output layer and the targets. margin: by how much blank is less likely when a token is due, in nats."""
    torch.manual_seed(0)
    target = torch.randint(1, VOCABULARY, (batch, tokens))
    f, g = torch.randn(batch, frames, JOINT), torch.randn(batch, tokens + 1, JOINT)
    output = nn.Linear(JOINT, VOCABULARY)
    if margin:
        due, written = torch.arange(frames) * tokens / frames, torch.arange(tokens + 1)
        f[..., 0], g[..., 0] = 0.9 * (due - tokens / 2), 0.9 * (tokens / 2 - written)
        with torch.no_grad():
            output.weight[:, 0] = 0
            output.weight[0, 0] = -margin
    return f.requires_grad_(), g.requires_grad_(), output, target


def ours(f: Tensor, g: Tensor, output: nn.Linear, target: Tensor) -> Tensor:
    lengths = (torch.full((len(f),), x.shape[1]) for x in (f, target))
    frames, tokens = (Padded(x, n) for x, n in zip((f, target), lengths, strict=True))
    return transducer(frames, g, output, tokens).total


def peer(f: Tensor, g: Tensor, output: nn.Linear, target: Tensor) -> Tensor:
    logits = output((f[:, :, None] + g[:, None]).tanh())
    sizes = (torch.full((len(f),), x.shape[1], dtype=torch.int32) for x in (f, target))
    with warnings.catch_warnings(action="ignore"):
        return torchaudio.functional.rnnt_loss(logits, target.int(), *sizes, blank=0, reduction="sum")


LOSSES = {"ours": ours, "torchaudio": peer}

if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(json.dumps(measure(LOSSES[sys.argv[1]], NETS[sys.argv[2]])))
    else:
        main()
