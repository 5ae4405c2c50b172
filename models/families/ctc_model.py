"""What architectures that emit a distribution over tokens and blank for each step share: CTC's loss and search.

An architecture says what it emits:

    p(y | x) = sum over the paths a that collapse to y of prod_t p_t(a_t)        models/criteria/ctc.py
"""

from abc import abstractmethod

import torch

from models.criteria.ctc import ctc
from models.interface import Batch, Beam, Decoder, Hypothesis, Loss, Model, Padded
from models.search.ctc.beam import ctc_beam


class CTCModel(Model):
    """A `FrameSynchronousModel`."""

    @abstractmethod
    def emit(self, source: Padded) -> Padded:
        """Frames (B, T, D) to log-probabilities (B, ceil(T / reduction), V)."""

    def loss(self, batch: Batch) -> Loss:
        return ctc(self.emit(batch.given), batch.target)

    @torch.no_grad()
    def search(self, source: Padded, beam: Beam, lm: Decoder | None = None) -> list[list[Hypothesis]]:
        return self.search_emissions(self.emit(source), beam, lm)

    def search_emissions(self, emissions: Padded, beam: Beam, lm: Decoder | None = None) -> list[list[Hypothesis]]:
        return ctc_beam(emissions, beam, lm)
