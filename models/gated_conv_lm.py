"""Gated convolutional language model (Dauphin et al. 2017, https://arxiv.org/abs/1612.08083).

e_t = D y_{t-1}                                         embedding, "lookup"
H = h_L(... h_1(E)),  h_l(X) = (X * W + b) (x) sigmoid(X * V + c)
                                                        causal, in residual blocks: models/layers/gated_convolution.py
p(y_t | y_1 .. y_{t-1}) = softmax(A H_t + a)            only the last sum_l (k_l - 1) + 1 tokens count

The defaults are GCNN-14B, the paper's bottleneck network for the Google Billion Word corpus (table 1): 14 residual
blocks of [kernel, outputs] layers, 57 tokens of context. Between embedding and softmax that is 149.9 million parameters
in the layers and 11.1 million in the shortcuts, which are linear maps where a block changes the size of its input.
The softmax is a plain one, not adaptive: the vocabularies here are characters and pieces of words.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from models.families.causal_lm import CausalLM
from models.interface import Padded, State
from models.layers.gated_convolution import GatedBlock, Layer, ends
from models.registry import check_rates, check_sizes

Block = tuple[Layer, ...]

GCNN_14B: tuple[Block, ...] = (
    ((5, 512),),
    *(((1, 128), (5, 128), (1, 512)),) * 3,
    *(((1, 512), (5, 512), (1, 1024)),) * 3,
    *(((1, 1024), (5, 1024), (1, 2048)),) * 6,
    ((1, 1024), (5, 1024), (1, 4096)),
)


@dataclass(frozen=True, kw_only=True)
class Config:
    """blocks: of each its layers, of each layer kernel width and outputs. dropout: of the embedding and of what each
    block adds to its shortcut.
    """

    embedding_size: int = 128
    blocks: tuple[Block, ...] = GCNN_14B
    dropout: float = 0.0

    def __post_init__(self) -> None:
        blocks = tuple(tuple((kernel, outputs) for kernel, outputs in block) for block in self.blocks)
        object.__setattr__(self, "blocks", blocks)  # JSON brings lists
        if not blocks or not all(blocks):
            raise ValueError("blocks has one block or more, and each block one layer or more")
        if min(min(layer) for block in blocks for layer in block) < 1:
            raise ValueError("kernels and outputs of blocks are at least 1")
        check_sizes(self, "embedding_size")
        check_rates(self, "dropout")

    @property
    def context(self) -> int:
        """The tokens that a prediction depends on."""
        return 1 + sum(kernel - 1 for block in self.blocks for kernel, _ in block)

    def build(self, source_size: int, target_size: int) -> "GatedConvLM":
        del source_size  # a language model reads what it writes
        return GatedConvLM(self, target_size)


class GatedConvLM(CausalLM):
    """Its state: of each layer the last k - 1 inputs (B, C, k - 1)."""

    def __init__(self, config: Config, vocabulary: int) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(vocabulary, config.embedding_size)
        self.dropout = nn.Dropout(config.dropout)
        sizes = (config.embedding_size, *(layers[-1][1] for layers in config.blocks))
        pairs = zip(sizes, config.blocks, strict=False)
        blocks = [GatedBlock(before, layers, config.dropout) for before, layers in pairs]
        self.blocks = nn.ModuleList(blocks)
        self.past_shapes = tuple(block.past_shapes for block in blocks)
        self.output = nn.Linear(sizes[-1], vocabulary)

    def logits(self, tokens: Padded, state: State | None, *, own_ends: bool = True) -> tuple[Tensor, State]:
        known = self.begin(len(tokens.data)) if state is None else state
        h = self.dropout(self.embedding(tokens.data)).transpose(1, 2)  # (B, C, T)
        after = []
        for block, pasts in zip(self.blocks, known, strict=True):
            h, seen = block(h, pasts)
            if own_ends:
                after.append(tuple(ends(s, tokens.lengths, p.shape[2]) for s, p in zip(seen, pasts, strict=True)))
        return self.output(h.transpose(1, 2)), tuple(after)

    def begin(self, batch_size: int) -> State:
        zeros = self.embedding.weight.new_zeros
        return tuple(tuple(zeros(batch_size, *shape) for shape in shapes) for shapes in self.past_shapes)
