"""Three releases of a Common Voice corpus, cut from one, and what each retraining makes of them.

    python -m tests.benchmarks.releases FOLDER COMMONVOICE [KEY=VALUE ...]

Each is dropped into FOLDER/watched in turn and `scriptorium retrain` is run as a user runs it, with the settings that
are given; what it took in is held against what was cut (tests/tasks/three_releases.py). flows/recipes/README.md has
what it comes to on ../shared/data/commonvoice_fa.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

sys.path += [str(Path(__file__).parents[1] / "tasks")]
from three_releases import Expected, persian_clips, write_three

from tasks.datasets.dataset_head import find_version
from tasks.datasets.version_index import describe_version, read_version

COMMAND = ("flows.retrain", "--name", "retrained", "--metric", "cer", "--workers", "0", "--json")


def main(folder: Path, corpus: Path, settings: list[str]) -> None:
    clips, rows = persian_clips(corpus)
    cut = write_three(folder / "all", clips, rows)
    (folder / "watched").mkdir()
    for number, place in enumerate(cut.places):
        root = Path(place.partition(":")[2])
        root.rename(folder / "watched" / root.name)
        given = [part for setting in settings for part in ("--set", setting)]
        where = ("--watch", str(folder / "watched"), "--locale", rows[0]["locale"])
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", *COMMAND, *where, *given], stdout=subprocess.PIPE, text=True, check=True
        )
        told = json.loads(done.stdout.splitlines()[-1])
        check(cut, number)
        print(json.dumps({"release": number + 1, "seconds": round(time.monotonic() - began), **told}, indent=2))


def check(cut: Expected, number: int) -> None:
    """The newest version has the rows and the changes that were cut."""
    version = find_version("retrained")
    about, rows = describe_version(version), read_version(version)
    found = {row["source"].rpartition("/")[2]: (row["split"], row["text"]) for row in rows}
    assert found == cut.rows[number], "other rows than were cut"
    assert about["changes"] == cut.changes[number]
    brought = [row for row in rows if row["release"] == about["release"]["name"]]
    assert len(brought) == cut.new[number], "the difference alone is ingested"
    assert cut.retracted not in {row["speaker"] for row in rows} or number == 0
    assert about["retracted_speakers"] == ([cut.retracted] if number == 1 else [])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
