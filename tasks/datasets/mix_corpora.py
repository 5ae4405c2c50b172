"""How often a row comes in an epoch: corpora by weight and temperature, and old rows beside new ones.

A temperature above 1 brings small corpora up (A. Conneau et al., https://arxiv.org/abs/2006.13979, section 2): corpus c
of n_c rows has the share p_c ~ weight_c * n_c ** (1 / temperature) of an epoch.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from infra.errors import UserError

Origin = tuple[int, bool]  # the number of a training row's corpus, and whether its last release brought it


@dataclass(frozen=True, kw_only=True)
class MixConfig:
    """weights: of each corpus, in the order in which they are given; all the same where empty. temperature: 1 leaves
    the rows as they are. replay: the share of an epoch that is of releases before the last, whose rows come once each;
    1 leaves old and new alike.
    """

    weights: tuple[float, ...] = ()
    temperature: float = 1.0
    replay: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", tuple(self.weights))  # JSON brings lists
        if any(not 0 < weight < math.inf for weight in self.weights):
            raise ValueError(f"mix.weights are above 0; leave a corpus out rather than {self.weights}")
        if not 1 <= self.temperature <= math.inf:
            raise ValueError(f"mix.temperature is 1 or more, not {self.temperature}")
        if not 0 <= self.replay <= 1:
            raise ValueError(f"mix.replay is a share in [0, 1], not {self.replay}")


NO_MIX = MixConfig()


def mix_weights(origins: Sequence[Origin | None], mix: MixConfig) -> list[float]:
    """Of each row how often it comes in an epoch on average. origins: None for a row that is not trained on.

    An epoch has as many rows as there are, but with `replay`: then the new rows, and old ones in their share. Raises
    UserError for fewer weights than corpora.
    """
    rows = Counter(origin[0] for origin in origins if origin)
    if mix.weights and len(mix.weights) <= max(rows, default=-1):
        raise UserError(f"mix.weights has {len(mix.weights)} weights, and there are {max(rows) + 1} corpora")
    weights = dict(enumerate(mix.weights)) if mix.weights else dict.fromkeys(rows, 1.0)
    wanted = {corpus: weights[corpus] * count ** (1 / mix.temperature) for corpus, count in rows.items()}
    scale = rows.total() / sum(wanted.values()) if wanted else 0.0
    often = {corpus: wanted[corpus] * scale / count for corpus, count in rows.items()}
    found = [often[origin[0]] if origin else 1.0 for origin in origins]
    fresh = sum(w for w, origin in zip(found, origins, strict=True) if origin and origin[1])
    old = sum(w for w, origin in zip(found, origins, strict=True) if origin and not origin[1])
    if mix.replay == 1 or not fresh or not old:
        return found
    new_rows = sum(1 for origin in origins if origin and origin[1])
    factors = {True: new_rows / fresh, False: mix.replay / (1 - mix.replay) * new_rows / old}
    return [w * factors[origin[1]] if origin else 1.0 for w, origin in zip(found, origins, strict=True)]
