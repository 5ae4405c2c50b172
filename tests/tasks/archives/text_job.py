"""A job over text files that has no model: its words in capitals. Quick to begin, so that it can be killed often."""

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from tasks.archives.archive_job import JobBatch, ReadPart
from tasks.archives.output_store import PartResult
from tasks.steps.parquet_io import to_parquet

DEADLY = {"read": "DIE WHEN READ", "decode": "DIE WHEN DECODED"}
COMPANY = "DIE IN COMPANY"


@dataclass(frozen=True)
class TextJob:
    """A batch is up to three lines, also of several files. seconds: that one takes. log: of what was opened."""

    seconds: float = 0.0
    log: str = ""
    fail_once: str = ""  # a file: while it is not there, whoever decodes makes it and dies

    def read(self, part):
        killers, pool, told = dict(part.killers), [], []
        for number, item in enumerate(part.items):
            reason = item.problem or killers.get(number, "")
            told.append(reason)
            if not reason:
                if self.log:
                    with Path(self.log).open("a") as log:
                        log.write(f"{item.file}\n")
                text = Path(item.place).read_text()
                if text.strip() == DEADLY["read"]:
                    os._exit(1)
                pool += [[number, line] for line in text.splitlines()]
            if part.apart:
                yield from self._batches(pool)
                pool = []
        yield from self._batches(pool)
        yield ReadPart(told, float(len(told)))

    def _batches(self, pool):
        yield from (JobBatch(pool[i : i + 3], b"\0" * 1000, 1.0) for i in range(0, len(pool), 3))

    def load(self):
        def capitals(batch):
            assert len(batch.data) == 1000
            time.sleep(self.seconds)
            lines = [line for _, line in batch.told]
            company = COMPANY in lines and len({number for number, _ in batch.told}) > 1
            if DEADLY["decode"] in lines or company:
                os._exit(1)
            if self.fail_once and not Path(self.fail_once).exists():
                Path(self.fail_once).touch()
                os._exit(1)
            return [[number, line.upper()] for number, line in batch.told]

        return capitals

    def assemble(self, part, told, found):
        rows = [(part.items[number].file, line) for batch in found for number, line in batch]
        failed = [(item.file, reason) for item, reason in zip(part.items, told, strict=True) if reason]
        tables = {"lines": table(rows, ("file", "line"))} | ({"quarantine": table(failed, ("file", "reason"))})
        files = {f"txt/{item.name}": item.file.encode() for item in part.items}
        return PartResult(tables, files, {"files": len(told), "quarantined": len(failed), "lines": len(rows)})


def table(rows, names):
    schema = pa.schema({name: pa.string() for name in names})
    return to_parquet(pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows], schema))


def register():
    """Ray's workers get the job by value: the folder of tests is no module path of theirs."""
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
