"""The time a step, forward and backward, of each own cell, against torch's fused kernel of the same size and kind.

`python -m tests.benchmarks.cells`, or `cells()` from elsewhere.
"""

import time
from collections.abc import Callable, Iterator

import torch
from torch import nn

from models.cells.zoneout import ZoneOut
from models.interface import Padded
from models.layers.rnn_layer import Unroll
from models.layers.rnn_stack import CELLS, OPTIONS, Recurrent

PEERS = {"lstm": nn.LSTM, "gru": nn.GRU}
SIZES = ((32, 60, 64), (64, 60, 64), (32, 100, 128), (64, 100, 256))  # batch, steps, units
OWN = {
    "elman": {"cell": "elman"},
    "jordan": {"cell": "jordan"},
    "deep transition": {"cell": "deep_transition"},
    "echo state": {"cell": "echo_state"},
    "lstm": {"cell": "lstm"},
    "lstm, layer norm": {"cell": "lstm", "lstm": {"layer_norm": True}},
    "lstm, peepholes": {"cell": "lstm", "lstm": {"peepholes": True}},
    "lstm, coupled": {"cell": "lstm", "lstm": {"peepholes": True, "coupled": True}},
    "lstm, gate recurrence": {"cell": "lstm", "lstm": {"peepholes": True, "gate_recurrence": True}},
    "lstm, rnnDrop": {"cell": "lstm", "lstm": {"drop": 0.2}},
    "lstm, zoneout": {"cell": "lstm", "zoneout": 0.1, "zoneout_cell": 0.1},
    "gru": {"cell": "gru"},
    "gru, reset inside": {"cell": "gru", "gru": {"reset": "inside"}},
    "gru, layer norm": {"cell": "gru", "gru": {"layer_norm": True}},
}
SECONDS = 1.0  # for each measurement
LAYER_NORM_CEILING = 3.0


def cells(device: str = "cpu") -> Iterator[tuple[str, tuple[int, int, int], float, float]]:
    """(cell, (B, T, H), microseconds a step, times torch's kernel), the peers first for each size."""
    for size in SIZES:
        batch, steps, units = size
        x = torch.randn(batch, steps, units, device=device, requires_grad=True)
        source = Padded(x, torch.full((batch,), steps))
        peers = {}
        for name, kernel in PEERS.items():
            net = kernel(units, units, batch_first=True).to(device)
            peers[name] = best(lambda net=net, x=x: net(x)[0].sum().backward(), device) / steps
            yield f"torch {name}", size, peers[name] * 1e6, 1.0
        for name, options in OWN.items():
            layer = own(Recurrent(hidden_size=units, **options), units).to(device)
            seconds = best(lambda layer=layer, source=source: layer(source)[0].data.sum().backward(), device) / steps
            yield name, size, seconds * 1e6, seconds / peers["gru" if options["cell"] == "gru" else "lstm"]


def own(config: Recurrent, input_size: int) -> Unroll:
    """The cell of models/cells, also where a stack would take torch's kernel."""
    cell = CELLS[config.cell](getattr(config, OPTIONS[config.cell]), input_size, config.hidden_size)
    return Unroll(ZoneOut(cell, (config.zoneout, config.zoneout_cell)) if config.zoneout else cell)


def best(function: Callable[[], object], device: str) -> float:
    """Seconds of the fastest of some rounds: what others do on the machine only adds to them."""
    seconds, until = [], time.perf_counter() + SECONDS
    while len(seconds) < 4 or time.perf_counter() < until:  # the first warms up
        begun = time.perf_counter()
        function()
        if device != "cpu":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - begun)
    return min(seconds[1:])


def main() -> None:
    torch.set_num_threads(1)
    for device in ["cpu"] + ["cuda"] * torch.cuda.is_available():
        print(f"{device}: forward and backward, microseconds a step (times nn.LSTM, or nn.GRU for a gru)")
        print(f"{'batch, steps, units':<24}" + "".join(f"{str(size):>20}" for size in SIZES))
        rows: dict[str, list[str]] = {}
        for name, _, microseconds, ratio in cells(device):
            rows.setdefault(name, []).append(f"{microseconds:8.0f} ({ratio:5.2f})")
        for name, row in rows.items():
            ceiling = f"   at most {LAYER_NORM_CEILING:.2f}" * (name == "lstm, layer norm" and device == "cpu")
            print(f"{name:<24}" + "".join(f"{cell:>20}" for cell in row) + ceiling, flush=True)


if __name__ == "__main__":
    main()
