"""Show, Attend and Tell with soft attention (Xu et al. 2015, https://arxiv.org/abs/1502.03044).

c_0 = tanh(f_c(mean a)),  h_0 = tanh(f_h(mean a))       section 3.1.2, from the mean annotation, dropped out
alpha_t = softmax of f_att(a_i, h_{t-1})                equations 4 and 5, additive: models/layers/attention.py
z_t = beta_t sum_i alpha_ti a_i                         equation 13, beta_t = sigmoid(f_beta(h_{t-1})): section 4.2.1
h_t = LSTM([E y_{t-1}, z_t], h_{t-1})                   equations 1 to 3
p(y_t | a, y_<t) = softmax(L_o (E y_{t-1} + L_h h_t + L_z z_t))                         equation 7, deep output
L = -log p(y | a) + lambda sum_i (1 - sum_t alpha_ti)^2                                 equation 14, doubly stochastic

The paper does not tell the sizes. The defaults are those of its program, https://github.com/kelvinxu/arctic-captions:
embeddings of 100, an LSTM of 1000, attention over as many features as a_i has (here 512, those of its VGG), lambda 1
where it is used, dropout 0.5. Hard attention is not here.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from models.criteria.token_cross_entropy import append_eos, cross_entropy, prepend_bos
from models.families.captioner import Captioner, mean_annotation, output_layer, read_annotations
from models.families.recurrent_decoder import repeat_rows
from models.interface import Loss, Memory, Padded
from models.layers.attention import AttendedMemory, Attention
from models.layers.decoder.scheduled_sampling import Sampling
from models.registry import restore_config


@dataclass(frozen=True, kw_only=True)
class Config:
    """projection: of each a_i to so many features, 0 leaves it as it is. doubly_stochastic: lambda. dropout: of the
    mean annotation, of E y, of h where it is read out, and of what L_o reads. tied: L_o is E. annotation_dropout: of
    the a_i.
    """

    embedding_size: int = 100
    hidden_size: int = 1000
    attention_size: int = 512
    projection: int = 0
    doubly_stochastic: float = 1.0
    dropout: float = 0.5
    annotation_dropout: float = 0.0
    label_smoothing: float = 0.0
    tied: bool = False
    sampling: Sampling = Sampling()

    def __post_init__(self) -> None:
        restore_config(self)
        if min(self.embedding_size, self.hidden_size, self.attention_size) < 1 or self.projection < 0:
            raise ValueError("embedding_size, hidden_size and attention_size are at least 1, projection 0 or more")
        for name in ("dropout", "annotation_dropout", "label_smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is in [0, 1), not {getattr(self, name)}")
        if self.doubly_stochastic < 0:
            raise ValueError(f"doubly_stochastic is 0 or more, not {self.doubly_stochastic}")

    def build(self, source_size: int, target_size: int) -> "ShowAttendTell":
        return ShowAttendTell(self, source_size, target_size)


State = tuple[Tensor, Tensor]  # h, c (N, H) each


class ShowAttendTell(Captioner):
    def __init__(self, config: Config, source_size: int, target_size: int) -> None:
        super().__init__()
        self.config, self.sampling = config, config.sampling
        hidden, embedded, size = config.hidden_size, config.embedding_size, config.projection or source_size
        self.project = nn.Linear(source_size, size) if config.projection else nn.Identity()
        self.begin = nn.Linear(size, 2 * hidden)
        self.embedding = nn.Embedding(target_size, embedded)
        nn.init.normal_(self.embedding.weight, 0, embedded**-0.5)
        self.attention = Attention("additive", hidden, size, config.attention_size)
        self.gate = nn.Linear(hidden, 1)
        self.cell = nn.LSTMCell(embedded + size, hidden)
        self.read_state = nn.Linear(hidden, embedded)
        self.read_context = nn.Linear(size, embedded, bias=False)
        self.output = output_layer(embedded, self.embedding, tied=config.tied)
        self.dropout, self.annotation_dropout = nn.Dropout(config.dropout), nn.Dropout(config.annotation_dropout)

    def encode(self, source: Padded | None) -> Memory:
        """Annotation vectors (B, L, D) to these with the keys of the attention, and h_0, c_0."""
        a = read_annotations(source)
        a = Padded(self.annotation_dropout(self.project(a.data)), a.lengths)
        a = read_annotations(a)  # the projection has a bias
        h, c = self.begin(self.dropout(mean_annotation(a))).tanh().chunk(2, 1)
        return Memory((self.attention.prepare(a), h, c), a.lengths)

    def parts(self, memory: Memory) -> AttendedMemory:
        return self.attention.parts(memory.data[0])

    def start(self, memory: Memory | None, batch_size: int) -> State:
        assert memory is not None, "a decoder looks at a memory"
        return repeat_rows(memory.data[1:], batch_size)

    def embed(self, tokens: Tensor) -> Tensor:
        return self.dropout(self.embedding(tokens))

    def write(self, e: Tensor, state: State, parts: Any) -> tuple[Tensor, State, Tensor]:
        """z is what L_o reads, and after it the attention, of which the loss has a term."""
        context, weights = self.attention(state[0], parts)
        context = self.gate(state[0]).sigmoid() * context
        h, c = self.cell(torch.cat((e, context), -1), state)
        told = e + self.read_state(self.dropout(h)) + self.read_context(context)
        return torch.cat((told, weights), -1), (h, c), weights

    def _logits(self, z: Tensor) -> Tensor:
        return self.output(self.dropout(z[..., : self.config.embedding_size]))

    def decode_loss(self, memory: Memory, target: Padded) -> Loss:
        """Equation 14: of the tokens and EOS, and of each photo's places."""
        z, told = self.features(memory, prepend_bos(target), self.sampled_share), append_eos(target)
        loss = cross_entropy(self._logits(z), told, self.config.label_smoothing)
        paid = (z[..., self.config.embedding_size :] * told.mask()[..., None]).sum(1)  # (B, L)
        missed = ((1 - paid) * memory.data[0].mask()).square().sum()
        return Loss(loss.total + self.config.doubly_stochastic * missed, loss.count)
