"""What a job over an archive is made of, whatever its files hold: reading on CPUs, a model in actors, results put
together.

    part --read--> batches --model--> what it says --assemble--> the part's result
           \\-----> what is known of its files ------^

A batch depends on nothing but the part that it is made of: neither on time nor on how many work. So the same part is
the same bytes whenever and wherever it is done.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from tasks.archives.output_store import PartResult
from tasks.archives.work_list import Part


class Unit(NamedTuple):
    """What an amount of work is told in. name: of one. amount, rate: what results call it, in all and a second. large,
    in_large: a unit for people, and how many of one it is. work: what people call all of it. each: the amount of every
    file, 0 where they differ.
    """

    name: str
    amount: str
    rate: str
    large: str
    in_large: float
    work: str
    each: float = 0.0

    def told(self, amount: float) -> str:
        """For people."""
        return f"{amount / self.in_large:,.{0 if self.each else 2}f} {self.large}"


AUDIO = Unit("s of audio", "seconds", "audio_seconds_a_second", "h", 3600.0, "audio")
TEXT = Unit("tokens", "tokens", "tokens_a_second", "M tokens", 1e6, "text")
PHOTOS = Unit("photos", "photos", "photos_a_second", "photos", 1.0, "photos", each=1.0)


class JobBatch(NamedTuple):
    """told: what the model needs to know, as JSON has it. data: what it reads. amount: of work, in the unit of
    `ReadPart`.
    """

    told: Any
    data: bytes
    amount: float = 0.0


class ReadPart(NamedTuple):
    """What `read` ends with: told: of the part's files, as JSON has it. amount: of work, such as seconds of sound."""

    told: Any
    amount: float


class ArchiveJob(Protocol):
    """Frozen and small: it travels to every worker."""

    def read(self, part: Part) -> Iterator[JobBatch | ReadPart]:
        """The part's batches, and last of all what is known of it. Never raises for what is in a file."""
        ...

    def load(self) -> Callable[[JobBatch], Any]:
        """In an actor the model: of a batch what it says, as JSON has it."""
        ...

    def assemble(self, part: Part, told: Any, found: Sequence[Any]) -> PartResult:
        """told: of `ReadPart`. found: of each batch what the model says, in the order in which they were read."""
        ...
