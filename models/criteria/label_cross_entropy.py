"""Cross-entropy of one label a sequence (many to one).

L = -sum_b log p(c_b | x_b)        dL / dz_bk = p(k | x_b) - [k = c_b] for log p = log softmax(z)
"""

from torch import Tensor

from models.interface import Loss, Padded


def label_cross_entropy(log_probs: Tensor, target: Padded) -> Loss:
    """-log of the probability of each sequence's label.

    log_probs: (B, V), normalized over V. target: the labels' ids (B, 1). The count is B.
    Raises ValueError for a target that is not one label.
    """
    if target.data.shape[1] != 1 or bool((target.lengths != 1).any()):
        raise ValueError(f"a classifier's target is one label a sequence, not {target.lengths.tolist()}")
    return Loss(-log_probs.gather(1, target.data).sum(), target.lengths.sum())
