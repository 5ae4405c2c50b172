"""What the flows are given: two small releases and an archive of recordings, cut from the demo corpus."""

import csv
import shutil
import subprocess
import sys
from pathlib import Path

from infra.errors import UserError

RELEASES = {"cv-corpus-20.0-2024-12-06": 96, "cv-corpus-21.0-2025-03-14": 128}  # clips of training
HELD_OUT = {"dev": 24, "test": 24}
RECORDINGS = 6
LOCALE = "en"


def write_inputs(bucket: Path, scratch: Path, code: Path) -> None:
    """Fill releases/ and recordings/ below a bucket."""
    program = [sys.executable, "-m", "tasks.corpora.readers.demo", str(scratch), "0"]
    done = subprocess.run(program, cwd=code, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"the demo corpus could not be spoken: {done.stderr.strip()[-300:]}")
    for name, count in RELEASES.items():
        _write_release(scratch, bucket / "releases" / name / LOCALE, HELD_OUT | {"train": count})
    (bucket / "recordings").mkdir()
    for clip in sorted((scratch / "clips").glob("*.wav"))[-RECORDINGS:]:
        shutil.copy(clip, bucket / "recordings")


def _write_release(corpus: Path, folder: Path, sizes: dict[str, int]) -> None:
    (folder / "clips").mkdir(parents=True)
    for split, size in sizes.items():
        with (corpus / f"{split}.tsv").open(encoding="utf-8", newline="") as table:
            header, *rows = csv.reader(table, delimiter="\t", quoting=csv.QUOTE_NONE)
        kept = rows[:size]
        for row in kept:
            shutil.copy(corpus / "clips" / row[header.index("path")], folder / "clips")
        lines = ["\t".join(row) for row in (header, *kept)]
        (folder / f"{split}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
