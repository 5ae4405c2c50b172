"""A backbone and the captioner that attends to it, learning as one: the second stage of Vinyals et al. 2016
(https://arxiv.org/abs/1609.06647, section 5.1.2).

The first stage trains the captioner alone; with one that knows nothing yet, the gradients that reach the backbone are
noise. Its source are photos, which go through the backbone in every update. Running statistics of the backbone's batch
normalizations stay as they are, and nothing in it is dropped: a batch of photos is too small for others, and vectors of
a photo are then those that are stored of it.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from models.backbones.annotation_vectors import Backbone
from models.families.captioner import Captioner
from models.interface import Batch, Beam, Decoder, Hypothesis, Loss, Model, Padded


class EndToEndCaptioner(Model):
    """mean, deviation: (D,) that annotation vectors are normalized by before they are attended to, none where they are
    not.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self, backbone: Backbone, captioner: Captioner, mean: Sequence[float] = (), deviation: Sequence[float] = ()
    ) -> None:
        super().__init__()
        self.config, self.backbone, self.captioner = captioner.config, backbone.eval(), captioner
        self.register_buffer("mean", torch.tensor(tuple(mean) or 0.0), persistent=False)
        self.register_buffer("deviation", torch.tensor(tuple(deviation) or 1.0), persistent=False)
        backbone.require_gradients()

    def train(self, mode: bool = True) -> "EndToEndCaptioner":  # noqa: FBT001, FBT002  (torch's)
        super().train(mode)
        self.backbone.eval()
        return self

    def annotate(self, source: Padded | None) -> Padded:
        """Photos (B, H, W, 3), as the backbone was trained to see them, to annotation vectors (B, L, D).

        Raises ValueError for anything else.
        """
        if source is None or source.data.dim() != 4 or source.data.shape[3] != 3:
            raise ValueError("this model reads photos: its source is pixels (B, H, W, 3) as its backbone sees them")
        vectors = (self.backbone(source.data.permute(0, 3, 1, 2)) - self.mean) / self.deviation
        return Padded(vectors, torch.full_like(source.lengths, vectors.shape[1]))

    def loss(self, batch: Batch) -> Loss:
        return self.captioner.loss(self._annotated(batch))

    @torch.no_grad()
    def score(self, batch: Batch) -> Tensor:
        """(B,) log p(caption EOS | photo), in nats."""
        return self.captioner.score(self._annotated(batch))

    @torch.no_grad()
    def search(self, source: Padded, beam: Beam, lm: Decoder | None = None) -> list[list[Hypothesis]]:
        return self.captioner.search(self.annotate(source), beam, lm)

    def set_updates(self, updates: int) -> None:
        self.captioner.set_updates(updates)

    def _annotated(self, batch: Batch) -> Batch:
        return Batch(batch.keys, self.annotate(batch.source), batch.target)
