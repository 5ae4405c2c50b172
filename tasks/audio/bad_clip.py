"""What is wrong with a clip that the quarantine takes."""

from dataclasses import dataclass


@dataclass
class BadClip(Exception):  # noqa: N818  (not an error of the program: a clip for the quarantine)
    """reason: a few words, the same for all clips with this fault. detail: this clip's."""

    reason: str
    detail: str = ""
