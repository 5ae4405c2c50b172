"""Recurrent sequence classifier, many to one: one label for a whole text or recording.

Graves 2012, Supervised Sequence Labeling with Recurrent Neural Networks, section 2.3 (sequence classification) and
chapter 4 (the LSTM), https://doi.org/10.1007/978-3-642-24797-2.

e_t = E x_t                                      a token's vector; of a frame a linear map, or the frame itself
->h_t = F(e_t, ->h_{t-1}),  <-h_t = F(e_t, <-h_{t+1}),  h_t = [->h_t, <-h_t]
                                                 Schuster & Paliwal 1997, https://doi.org/10.1109/78.650093
r = [->h_T, <-h_1]                               last: both directions where they have read all of the sequence
r = 1/T sum_t h_t                                mean
r_k = max_t h_{t,k}                              max (Conneau et al. 2017, https://arxiv.org/abs/1705.02364)
p = softmax(W r + b),  L = -log p(label)

T is each sequence's own length (with a pyramid, that of the top layer); nothing beyond it is read. F is any cell of
models/layers/rnn_stack.py.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from models.criteria.label_cross_entropy import label_cross_entropy
from models.interface import Batch, Beam, Decoder, Hypothesis, Loss, Model, Padded
from models.layers.rnn_stack import Recurrent, Stack
from models.registry import check_rates, restore_config
from models.search.classifier_n_best import classifier_n_best

Source = Literal["frames", "tokens"]
Readout = Literal["last", "mean", "max"]


@dataclass(frozen=True, kw_only=True)
class Config:
    """source: what a sequence is made of. embedding_size: of e_t; 0 for frames as they are. dropout: of e_t where it
    is embedded, and of r.
    """

    source: Source = "frames"
    embedding_size: int = 0
    recurrent: Recurrent = Recurrent(cell="lstm", hidden_size=100, bidirectional=True)
    readout: Readout = "last"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        restore_config(self)
        for name, known in (("source", Source), ("readout", Readout)):
            if getattr(self, name) not in get_args(known):
                raise ValueError(f"{name} is one of {', '.join(get_args(known))}, not {getattr(self, name)!r}")
        check_rates(self, "dropout")
        if self.embedding_size < (self.source == "tokens"):
            raise ValueError(f"embedding_size is at least 1 for tokens and 0 for frames, not {self.embedding_size}")
        if self.readout == "last" and self.recurrent.merge != "concat":
            raise ValueError("readout last takes each direction where it ends: recurrent.merge is concat for it")

    def build(self, source_size: int, target_size: int) -> "SequenceClassifier":
        return SequenceClassifier(self, source_size, target_size)


class SequenceClassifier(Model):
    """A `Classifier`. source_size: of a frame, or the source's vocabulary."""

    def __init__(self, config: Config, source_size: int, target_size: int) -> None:
        super().__init__()
        self.config, self.reads = config, config.source
        self.embedding: nn.Module | None = None
        if config.embedding_size:
            embed = nn.Embedding if config.source == "tokens" else nn.Linear
            self.embedding = embed(source_size, config.embedding_size)
        self.recurrent = Stack(config.recurrent, config.embedding_size or source_size)
        self.dropout = nn.Dropout(config.dropout)
        self.output = nn.Linear(config.recurrent.output_size, target_size)

    def classify(self, source: Padded) -> Tensor:
        """Frames (B, T, D) or tokens (B, T) to the log-probabilities (B, V) of the labels."""
        padding = ~source.mask()
        x = source.data.masked_fill(padding if self.reads == "tokens" else padding[..., None], 0)
        e = x if self.embedding is None else self.dropout(self.embedding(x))
        h, _ = self.recurrent(Padded(e, source.lengths), own_ends=False)
        return self.output(self.dropout(self._read_out(h))).log_softmax(-1)

    def _read_out(self, h: Padded) -> Tensor:
        """(B, T, H) to (B, H)."""
        lengths = h.lengths.to(h.data.device)
        if self.config.readout == "mean":
            return h.data.sum(1) / lengths[:, None]  # h is zero beyond the lengths
        if self.config.readout == "max":
            return h.data.masked_fill(~h.mask()[..., None], -torch.inf).amax(1)
        ends = h.data[torch.arange(len(lengths), device=lengths.device), lengths - 1]
        if not self.config.recurrent.bidirectional:
            return ends
        size = self.config.recurrent.output_size // 2
        return torch.cat((ends[:, :size], h.data[:, 0, size:]), -1)

    def loss(self, batch: Batch) -> Loss:
        return label_cross_entropy(self.classify(batch.given), batch.target)

    @torch.no_grad()
    def search(self, source: Padded, beam: Beam, lm: Decoder | None = None) -> list[list[Hypothesis]]:
        return classifier_n_best(self.classify(source), beam, lm)
