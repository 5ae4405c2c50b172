"""Silero VAD's network for 16 kHz, on many pieces at once: the package runs it on one at a time, 12 times slower.

Its layers are those of `silero_vad/tinygrad_model.py` in the wheel, its weights those of the wheel's TorchScript file.
A piece of 512 samples is heard with the 64 before it: magnitudes of a learned short-time Fourier transform, four
convolutions, an LSTM from piece to piece, and the probability of speech.
"""

import warnings
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PIECE, CONTEXT, PADDED = 512, 64, 64  # samples at 16 kHz
HOP, BANDS, SIZE = 128, 129, 128
# Of each parameter its name in the wheel's TorchScript file.
STORED = {"stft.weight": "stft.forward_basis_buffer", "output.weight": "decoder.decoder.2.weight"}
STORED |= {"output.bias": "decoder.decoder.2.bias"}
STORED |= {
    f"convolutions.{k}.{name}": f"encoder.{k}.reparam_conv.{name}" for k in range(4) for name in ("weight", "bias")
}
STORED |= {f"lstm.{name}_l0": f"decoder.rnn.{name}" for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}


class SileroNetwork(nn.Module):
    """State is carried from call to call: one instance hears one recording."""

    def __init__(self, model: Path) -> None:
        super().__init__()
        self.stft = nn.Conv1d(1, 2 * BANDS, 2 * HOP, HOP, bias=False)
        sizes, strides = (BANDS, 128, 64, 64, SIZE), (1, 2, 2, 1)
        pairs = zip(sizes, sizes[1:], strides, strict=False)
        self.convolutions = nn.ModuleList(nn.Conv1d(one, other, 3, stride, 1) for one, other, stride in pairs)
        self.lstm = nn.LSTM(SIZE, SIZE, batch_first=True)
        self.output = nn.Conv1d(SIZE, 1, 1)
        self.load_state_dict(read_weights(model))
        self.context, self.state = torch.zeros(CONTEXT), (torch.zeros(1, 1, SIZE), torch.zeros(1, 1, SIZE))

    @torch.inference_mode()
    def forward(self, pieces: Tensor) -> Tensor:
        """The next pieces (N, PIECE) of the recording to the probability of speech (N,) in each."""
        samples = torch.cat((self.context, pieces.flatten()))
        self.context = samples[-CONTEXT:].clone()
        x = F.pad(samples.unfold(0, CONTEXT + PIECE, PIECE)[:, None], (0, PADDED), "reflect")  # (N, 1, 640)
        real, imaginary = self.stft(x).chunk(2, 1)
        x = (real**2 + imaginary**2).sqrt()
        for convolution in self.convolutions:
            x = convolution(x).relu()
        h, self.state = self.lstm(x.transpose(0, 2).transpose(1, 2), self.state)  # (1, N, SIZE)
        return self.output(h.relu().transpose(1, 2)).sigmoid()[0, 0]


def read_weights(model: Path) -> dict[str, Tensor]:
    """Those of the wheel's TorchScript file for 16 kHz, by this module's names."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # TorchScript is what they are kept in
        stored = torch.jit.load(str(model), map_location="cpu").state_dict()
    return {name: stored[f"_model.{old}"] for name, old in STORED.items()}
