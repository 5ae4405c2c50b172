"""Show, Attend and Tell, soft and hard (Xu et al. 2015, https://arxiv.org/abs/1502.03044).

c_0 = tanh(f_c(mean a)),  h_0 = tanh(f_h(mean a))       section 3.1.2, from the mean annotation, dropped out
alpha_t = softmax of f_att(a_i, h_{t-1})                equations 4 and 5, additive: models/layers/attention.py
z_t = beta_t sum_i alpha_ti a_i                         soft: equation 13, beta_t = sigmoid(f_beta(h_{t-1})): 4.2.1
z_t = beta_t a_{s_t},  s_t ~ alpha_t                    hard, while it trains: equations 8 and 9
h_t = LSTM([E y_{t-1}, z_t], h_{t-1})                   equations 1 to 3
p(y_t | a, y_<t) = softmax(L_o (E y_{t-1} + L_h h_t + L_z z_t))                         equation 7, deep output
L = -log p(y | a) + lambda sum_i (1 - sum_t alpha_ti)^2                                 equation 14, doubly stochastic

Hard attention minimizes E_s L(s) over the places s_1 .. s_C that are drawn. Of one draw, the gradient of

L(s) + (L(s) - b) log p(s | a)                          L and b outside of log p held fixed: equations 11 and 12

is that of the expectation on average, exactly: b, a running mean of earlier batches' L, changes its variance alone. So
the paper's other two means to lower it, which are not exact, are left out: an entropy term, and taking the mean for the
draw half of the time. It searches, and is scored, with the mean: as soft attention.

The paper does not tell the sizes. The defaults are those of its program, https://github.com/kelvinxu/arctic-captions:
embeddings of 100, an LSTM of 1000, attention over as many features as a_i has (here 512, those of its VGG), dropout
0.5; and lambda 1, as re-implementations take it.
"""

from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.criteria.token_cross_entropy import append_eos, cross_entropy, prepend_bos
from models.families.captioner import Captioner, mean_annotation, output_layer, read_annotations
from models.families.recurrent_decoder import repeat_rows
from models.interface import Loss, Memory, Padded
from models.layers.attention import AttendedMemory, Attention
from models.layers.decoder.professor_forcing import ProfessorForcing
from models.layers.decoder.scheduled_sampling import Sampling, draw_tokens
from models.registry import check_rates, check_sizes, restore_config

Choice = Literal["soft", "hard"]
KEPT = 0.9  # of b from batch to batch


@dataclass(frozen=True, kw_only=True)
class Config:
    """attention: to all places at once, or to one that is drawn. projection: of each a_i to so many features, 0 leaves
    it as it is. doubly_stochastic: lambda. dropout: of the mean annotation, of E y, of h where it is read out, and of
    what L_o reads. annotation_dropout: of the a_i. tied: L_o is E. coordinates: each a_i has the row and the column of
    its place as well, from -1 to 1 (Liu et al. 2018, https://arxiv.org/abs/1807.03247): features of small parts of a
    photo do not say where they are.
    """

    attention: Choice = "soft"
    embedding_size: int = 100
    hidden_size: int = 1000
    attention_size: int = 512
    projection: int = 0
    doubly_stochastic: float = 1.0
    dropout: float = 0.5
    annotation_dropout: float = 0.0
    label_smoothing: float = 0.0
    tied: bool = False
    coordinates: bool = False
    sampling: Sampling = Sampling()
    professor_forcing: ProfessorForcing = ProfessorForcing()

    def __post_init__(self) -> None:
        restore_config(self)
        if self.attention not in get_args(Choice):
            raise ValueError(f"attention is one of {', '.join(get_args(Choice))}, not {self.attention!r}")
        check_sizes(self, "embedding_size", "hidden_size", "attention_size")
        check_rates(self, "dropout", "annotation_dropout", "label_smoothing")
        for name in ("projection", "doubly_stochastic"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is 0 or more, not {getattr(self, name)}")

    def build(self, source_size: int, target_size: int) -> "ShowAttendTell":
        return ShowAttendTell(self, source_size, target_size)


State = tuple[Tensor, Tensor]  # h, c (N, H) each


class ShowAttendTell(Captioner):
    baseline: Tensor  # b, of hard attention

    def __init__(self, config: Config, source_size: int, target_size: int) -> None:
        super().__init__()
        self.config, self.sampling = config, config.sampling
        hidden, embedded, size = config.hidden_size, config.embedding_size, config.projection or source_size
        size += 2 * config.coordinates
        self.project = nn.Linear(source_size, config.projection) if config.projection else nn.Identity()
        self.begin = nn.Linear(size, 2 * hidden)
        self.embedding = nn.Embedding(target_size, embedded)
        nn.init.normal_(self.embedding.weight, 0, embedded**-0.5)
        self.attention = Attention("additive", hidden, size, config.attention_size)
        self.gate = nn.Linear(hidden, 1)
        self.cell = nn.LSTMCell(embedded + size, hidden)
        self.read_state = nn.Linear(hidden, embedded)
        self.read_context = nn.Linear(size, embedded, bias=False)
        self.output = output_layer(embedded, self.embedding, tied=config.tied)
        if config.attention == "hard":
            self.register_buffer("baseline", torch.tensor(torch.nan))  # b
        self.dropout, self.annotation_dropout = nn.Dropout(config.dropout), nn.Dropout(config.annotation_dropout)
        self.discriminator = config.professor_forcing.discriminator(embedded)

    def encode(self, source: Padded | None) -> Memory:
        """Annotation vectors (B, L, D) to these with the keys of the attention, and h_0, c_0."""
        a = read_annotations(source)
        a = Padded(self.annotation_dropout(self.project(a.data)), a.lengths)
        if self.config.coordinates:
            a = append_coordinates(a)
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
        """z is what L_o reads, and after it what the loss has terms of: the attention, and what was drawn of it."""
        context, weights = self.attention(state[0], parts)
        seen = [weights]
        if self.draws:
            drawn = F.one_hot(draw_tokens(weights.log()), weights.shape[1]).to(weights.dtype)
            context = (drawn.unflatten(0, (len(parts.values), -1)) @ parts.values[:, 0]).flatten(0, 1)
            seen.append(drawn)
        context = self.gate(state[0]).sigmoid() * context
        h, c = self.cell(torch.cat((e, context), -1), state)
        told = e + self.read_state(self.dropout(h)) + self.read_context(context)
        return torch.cat((told, *seen), -1), (h, c), weights

    def behavior(self, z: Tensor) -> Tensor:
        return z[..., : self.config.embedding_size]

    @property
    def draws(self) -> bool:
        return self.training and self.config.attention == "hard"

    def _logits(self, z: Tensor) -> Tensor:
        return self.output(self.dropout(self.behavior(z)))

    def decode_loss(self, memory: Memory, target: Padded) -> Loss:
        """Equation 14: of the tokens and EOS, and of each photo's places."""
        read, told = prepend_bos(target), append_eos(target)
        z = self.features(memory, read, self.sampled_share)
        seen = z[..., self.config.embedding_size :] * told.mask()[..., None]
        places = memory.data[0].mask()
        missed = ((1 - seen[..., : places.shape[1]].sum(1)) * places).square().sum(1)  # (B,)
        logits, smoothing, weight = self._logits(z), self.config.label_smoothing, self.config.doubly_stochastic
        if not self.draws:
            loss = cross_entropy(logits, told, smoothing)
            return self.with_adversary(Loss(loss.total + weight * missed.sum(), loss.count), memory, read, z)
        nats = F.cross_entropy(logits.transpose(1, 2), told.data, reduction="none", label_smoothing=smoothing)
        loss = (nats * told.mask()).sum(1) + weight * missed
        total, count = self._with_draws(loss, *seen.chunk(2, -1)).sum(), told.lengths.sum().to(loss.device)
        return self.with_adversary(Loss(total, count), memory, read, z)

    def _with_draws(self, loss: Tensor, alpha: Tensor, drawn: Tensor) -> Tensor:
        """L (B,) with the gradient of its expectation over what was drawn (B, U, L), 0 on padding, of alpha."""
        log_p = torch.where(drawn > 0, alpha, 1).log().sum((1, 2))
        mean = loss.detach().mean()
        b = torch.where(self.baseline.isnan(), mean, self.baseline)
        self.baseline.copy_(KEPT * b + (1 - KEPT) * mean)
        return loss + (loss.detach() - b) * (log_p - log_p.detach())


def append_coordinates(annotations: Padded) -> Padded:
    """Annotation vectors (B, L, D) of the L places of a square, row by row, to (B, L, D + 2)."""
    a = annotations.data
    places, side = torch.arange(a.shape[1], device=a.device), annotations.lengths.to(a.device).sqrt().ceil()[:, None]
    row = (places / side.clamp(min=1)).floor()
    where = torch.stack((row, places - row * side), -1)
    where = (2 * where + 1) / side.clamp(min=1)[..., None] - 1
    return Padded(torch.cat((a, where.to(a.dtype)), -1), annotations.lengths)
