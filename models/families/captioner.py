"""What models share that write a sentence about a photo, of which they are given L annotation vectors a_i (B, L, D).

The a_i are what a backbone (models/backbones/) says of L places of the photo, row by row. A photo always has a caption
of the usual length, whatever L is: a search ends at `LONGEST`, not at a multiple of the source.
"""

import torch
from torch import Tensor, nn

from models.families.recurrent_decoder import RecurrentDecoder
from models.interface import Padded

LONGEST = 100  # tokens that a search writes at most


class Captioner(RecurrentDecoder):
    reads = "frames"

    def limits(self, source: Padded) -> Tensor:
        return torch.full_like(source.lengths, LONGEST)


def read_annotations(source: Padded | None) -> Padded:
    """Annotation vectors (B, L, D), whatever the padding was. Raises ValueError for anything else."""
    if source is None:
        raise ValueError("a captioner needs a source: the annotation vectors (B, L, D) of photos")
    if source.data.dim() != 3 or not source.data.is_floating_point():
        raise ValueError("this model captions photos: its source is annotation vectors (B, L, D) of a backbone")
    return Padded(source.data.masked_fill(~source.mask()[..., None], 0), source.lengths)


def mean_annotation(annotations: Padded) -> Tensor:
    """(B, D) of `read_annotations`; 0 where there is no place."""
    return annotations.data.sum(1) / annotations.lengths.clamp(min=1).to(annotations.data.device)[:, None]


def output_layer(features: int, embedding: nn.Embedding, *, tied: bool) -> nn.Linear:
    """Features to the logits of all tokens. tied: its matrix is the embedding (Press & Wolf 2017,
    https://arxiv.org/abs/1608.05859).
    """
    output = nn.Linear(features, embedding.num_embeddings)
    if tied:
        output.weight = embedding.weight
    return output
