"""Show and Tell (Vinyals, Toshev, Bengio & Erhan 2015, https://arxiv.org/abs/1411.4555), "NIC".

x_{-1} = W_i mean of the annotation vectors             the photo, once: equation 10
x_t = W_e S_t                                           equation 11
h_t = LSTM(x_t),  p_{t+1} = softmax(W_p h_t)            equation 12

The mean over the places of a backbone's last stage is what its own classifier reads. The defaults are the paper's: 512
units, embeddings of 512 (section 4.3.1). It names no rate of dropout and no range of the first weights: these are of
the authors' program (https://github.com/tensorflow/models, research/im2txt/im2txt/configuration.py): 0.3 and 0.08.
Scheduled sampling is in their account of 2016 (https://arxiv.org/abs/1609.06647, section 5.1.3).
"""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from models.families.captioner import Captioner, mean_annotation, output_layer, read_annotations
from models.families.recurrent_decoder import repeat_rows
from models.interface import Memory, Padded, State
from models.layers.decoder.professor_forcing import ProfessorForcing
from models.layers.decoder.scheduled_sampling import Sampling
from models.layers.rnn_stack import Recurrent, Stack
from models.registry import check_positive, check_rates, check_sizes, restore_config


@dataclass(frozen=True, kw_only=True)
class Config:
    """dropout: of what the LSTM reads, the photo among it, and of what the softmax reads. tied: W_p is W_e, whose sizes
    are then the same. initial_range: of all weights at first.
    """

    embedding_size: int = 512
    recurrent: Recurrent = Recurrent(cell="lstm", hidden_size=512)
    dropout: float = 0.3
    label_smoothing: float = 0.0
    tied: bool = False
    sampling: Sampling = Sampling()
    professor_forcing: ProfessorForcing = ProfessorForcing()
    initial_range: float = 0.08

    def __post_init__(self) -> None:
        restore_config(self)
        if not self.recurrent.streams:
            raise ValueError("a caption is written from left to right: recurrent is not bidirectional, pyramid 1")
        check_sizes(self, "embedding_size")
        check_positive(self, "initial_range")
        if self.tied and self.recurrent.output_size != self.embedding_size:
            sizes = f"{self.embedding_size} and {self.recurrent.output_size}"
            raise ValueError(f"tied needs embedding_size and recurrent.hidden_size to be one, not {sizes}")
        check_rates(self, "dropout", "label_smoothing")

    def build(self, source_size: int, target_size: int) -> "ShowAndTell":
        return ShowAndTell(self, source_size, target_size)


class ShowAndTell(Captioner):
    def __init__(self, config: Config, source_size: int, target_size: int) -> None:
        super().__init__()
        self.config, self.sampling = config, config.sampling
        self.image = nn.Linear(source_size, config.embedding_size)
        self.embedding = nn.Embedding(target_size, config.embedding_size)
        self.decoder = Stack(config.recurrent, config.embedding_size)
        self.output = output_layer(config.recurrent.output_size, self.embedding, tied=config.tied)
        self.dropout = nn.Dropout(config.dropout)
        for value in self.parameters():
            nn.init.uniform_(value, -config.initial_range, config.initial_range)
        self.discriminator = config.professor_forcing.discriminator(config.recurrent.output_size)

    def encode(self, source: Padded | None) -> Memory:
        """Annotation vectors (B, L, D) to the state after the photo."""
        a = read_annotations(source)
        x = self.dropout(self.image(mean_annotation(a)))
        _, state = self.recur(self.decoder, x, self.decoder.begin(len(x)))
        return Memory(state, a.lengths)

    def start(self, memory: Memory | None, batch_size: int) -> State:
        assert memory is not None, "a decoder begins at its memory"
        return repeat_rows(memory.data, batch_size)

    def read_truth(self, memory: Memory, read: Padded) -> Tensor:
        h, _ = self.decoder(Padded(self.embed(read.data), read.lengths), memory.data, own_ends=False)
        return h.data

    def embed(self, tokens: Tensor) -> Tensor:
        return self.dropout(self.embedding(tokens))

    def write(self, e: Tensor, state: State, parts: Any) -> tuple[Tensor, State, None]:  # noqa: ARG002  (it saw the photo)
        return *self.recur(self.decoder, e, state), None

    def _logits(self, z: Tensor) -> Tensor:
        return self.output(self.dropout(z))
