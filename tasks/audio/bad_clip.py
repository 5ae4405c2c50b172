"""What is wrong with a clip that the quarantine takes."""

from dataclasses import dataclass


@dataclass
class BadClip(Exception):  # noqa: N818  (not an error of the program: a clip for the quarantine)
    """reason: a few words, the same for all clips with this fault. detail: this clip's. share: so much of the sound is
    there, of what the header announces, in a unit of the container's.
    """

    reason: str
    detail: str = ""
    share: tuple[int, int] = (1, 1)
