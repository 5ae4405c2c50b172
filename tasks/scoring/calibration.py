"""Whether a confidence means what it says: of utterances with confidence 0.8, are 80 % of the words right?"""

from typing import Any

import numpy as np

BINS = 10


def calibration(confidence: np.ndarray, right: np.ndarray) -> dict[str, Any]:
    """`calibration_error` and `reliability`, from two numbers in [0, 1] of each utterance; nan: no confidence.

    reliability: bins of equal width that hold something, each with the mean confidence and the mean that is right.
    calibration_error: by how much these two are apart, the mean over the utterances (the expected calibration error of
    Guo et al. 2017, https://arxiv.org/abs/1706.04599, section 2). None and no bins where no utterance has a confidence.
    """
    known = ~np.isnan(confidence)
    sure, right = confidence[known].astype(float), right[known].astype(float)
    places = np.minimum((sure * BINS).astype(int), BINS - 1)
    rows, apart = [], 0.0
    for place in np.unique(places).tolist():
        mine = places == place
        row = {"from": place / BINS, "to": (place + 1) / BINS, "utterances": int(mine.sum())}
        rows.append(row | {"confidence": float(sure[mine].mean()), "right": float(right[mine].mean())})
        apart += row["utterances"] * abs(rows[-1]["confidence"] - rows[-1]["right"])
    return {"calibration_error": apart / len(sure) if len(sure) else None, "reliability": rows}
