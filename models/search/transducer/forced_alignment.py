"""What a transducer thinks of a known sequence y: every cell (t, u) of its lattice, and the best path through them.

gamma(t, u) = alpha(t, u) beta(t, u) / Pr(y | x)        the probability, given y, that an alignment passes the cell
path        = argmax over the alignments a of y: p(a | x)

Graves 2012, https://arxiv.org/abs/1211.3711, section 2.4. An alignment has one cell with t + u = d for each d, so gamma
sums to 1 over such a diagonal. The best path is found diagonal by diagonal, in double precision.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from models.criteria.transducer import Lattice, lattice_occupancy, shift_down, to_diagonals
from models.interface import Padded, Transducer
from models.special_tokens import BLANK


@torch.no_grad()
def compute_lattice(model: Transducer, source: Padded, tokens: Sequence[int]) -> Lattice:
    """The log-probabilities of blank and of the next token in each cell (1, T', U + 1), for one source (1, T, D)."""
    frames = model.encode(source)
    steps = frames.data[0, : int(frames.lengths[0])]
    prefix, state = model.start(1)
    blank, label = [], []
    for token in [*tokens, None]:
        log_probs = model.join(steps, prefix.expand(len(steps), -1))  # (T', V)
        blank.append(log_probs[:, BLANK])
        label.append(torch.full_like(blank[-1], -torch.inf) if token is None else log_probs[:, token])
        if token is not None:
            prefix, state = model.predict(torch.tensor([token], device=steps.device), state)
    return Lattice(torch.stack(blank, 1)[None], torch.stack(label, 1)[None])


def cell_occupancy(lattice: Lattice) -> Tensor:
    """gamma (T', U + 1) of a lattice of one sequence with at least one frame."""
    _, time, width = lattice.blank.shape
    _, blank, label = lattice_occupancy(lattice, ((time, width - 1),))
    return (blank + label)[0]


def best_path(lattice: Lattice) -> list[tuple[int, int]]:
    """The cells (t, u) of the most probable alignment, from (0, 0) to (T' - 1, U); one more of t or of u each time."""
    blank, label = (to_diagonals(x.double())[:, 0] for x in lattice)  # (T' + U, U + 1)
    best, grown = torch.full_like(blank[0], -torch.inf), list[Tensor]()
    best[0] = 0
    for waited, said in zip(blank[:-1], label[:-1], strict=True):
        stays, grows = best + waited, shift_down(best + said)
        grown.append(grows > stays)
        best = torch.maximum(stays, grows)
    u = blank.shape[1] - 1
    cells = [(len(grown) - u, u)]
    for d in range(len(grown) - 1, -1, -1):
        u -= int(grown[d][u])
        cells.append((d - u, u))
    return cells[::-1]
