"""What a run has to do: what a frozen list has left, or where none has, what is new in the source."""

import os
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from infra import storage
from infra.errors import UserError
from tasks.archives.find_files import find_files
from tasks.archives.output_store import OutputStore
from tasks.archives.work_list import Part, PartLimits, WorkItem, group_parts, number_parts, readable


@dataclass(frozen=True)
class Work:
    """parts: to be done, by number. fresh: their list where it is not frozen yet. known: files that earlier lists have.
    ignored: files of no interest, by suffix. resumed: parts that are done of a list that is not.
    """

    source: str
    parts: dict[int, Part]
    fresh: list[WorkItem] = field(default_factory=list)
    known: int = 0
    ignored: Counter[str] = field(default_factory=Counter)
    resumed: int = 0

    @property
    def items(self) -> list[WorkItem]:
        return [item for part in self.parts.values() for item in part.items]

    def freeze(self, store: OutputStore) -> None:
        if self.fresh:
            store.freeze(self.fresh, self.source)


def plan_work(
    store: OutputStore,
    source: str,
    suffixes: Collection[str],
    config: PartLimits,
    cut: Callable[[WorkItem], Sequence[WorkItem]] = lambda item: (item,),
) -> Work:
    """A list that was not finished is finished first, and nothing is listed: so what an interrupted run ends in is what
    it would have ended in. Raises UserError where that list is of another source.

    cut: a new file to the pieces that are parts of their own.
    """
    lists, done = store.lists(), store.committed()
    for items, listed in lists:
        parts = group_parts(items)
        pending = {number: part for number, part in parts.items() if number not in done}
        if pending and listed != source:
            line = f"{store.uri}: a run on {readable(listed)} has not ended; run that command again first"
            raise UserError(line)
        if pending:
            return Work(source, pending, known=len(items), resumed=len(parts) - len(pending))
    earlier = [item for items, _ in lists for item in items]
    known = {item.known_as for item in earlier}
    found = find_files(source, suffixes)
    wanted = [item for item in found.items if not _is_below(item.place, store.uri) or _is_below(source, store.uri)]
    if left := len(found.items) - len(wanted):
        found.ignored["(this output)"] = left  # or what a run makes would be work for the next
    new = [piece for item in wanted if item.known_as not in known for piece in cut(item)]
    first = max((item.part for item in earlier), default=-1) + 1
    fresh = number_parts(new, first, config, (item.name for item in earlier))
    return Work(source, group_parts(fresh), fresh, sum(i.known_as in known for i in wanted), found.ignored)


def _is_below(place: str, folder: str) -> bool:
    return (place if storage.is_s3(place) else os.path.abspath(place)).startswith(f"{folder}/")
