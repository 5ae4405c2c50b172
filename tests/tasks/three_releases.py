"""Three releases of a Common Voice corpus, cut from one: what each changes is known clip by clip.

The first has 60 % of the training clips and all that is measured on. The second, whole, has all but those of one
speaker; of the first's clips some have other transcripts, some are in another split, some have votes, and some are
there again under another name. The third is a delta segment of some more.
"""

import csv
import shutil
from pathlib import Path
from typing import NamedTuple

from small_corpora import COLUMNS, rows_of, tone, write_table

NAMES = ("cv-corpus-20.0-2024-12-06", "cv-corpus-21.0-2025-03-14", "cv-corpus-22.0-delta-2025-06-20")


class Expected(NamedTuple):
    """places: the corpora. rows: after each release, file name of a clip to (split, text). changes: of each release,
    how many of each kind. retracted: the speaker. new: how many clips each release brings.
    """

    places: list[str]
    rows: list[dict[str, tuple[str, str]]]
    changes: list[dict[str, int]]
    retracted: str
    new: list[int]


def generated_clips(folder: Path, count: int = 60) -> tuple[Path, list[dict]]:
    """Tones of ten speakers; rows have a `split`."""
    import soundfile

    rows = []
    for row in rows_of(count, speakers=10):
        number = int(row["path"].removeprefix("clip_").removesuffix(".wav"))
        soundfile.write(folder / row["path"], tone(number), 8000)
        split = {7: "dev", 8: "test"}.get(number % 10, "train")
        rows.append(row | {"split": split, "locale": "xx", "up_votes": "2", "down_votes": "0"})
    return folder, rows


def persian_clips(place: Path) -> tuple[Path, list[dict]]:
    """The clips of ../shared/data/commonvoice_fa."""
    rows = []
    for split in ("dev", "train"):
        with (place / f"{split}.tsv").open(encoding="utf-8") as file:
            reader = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            rows += [{**row, "split": split} for row in reader]
    return place / "clips", rows


def write_release(root: Path, clips: Path, rows: list[dict]) -> str:
    """rows: with `split`, and `copy_from` where the clip is another's."""
    folder = root / rows[0]["locale"]
    (folder / "clips").mkdir(parents=True)
    for row in rows:
        shutil.copy(clips / row.get("copy_from", row["path"]), folder / "clips" / row["path"])
    for split in ("train", "dev", "test"):
        write_table(folder / f"{split}.tsv", [row for row in rows if row["split"] == split], COLUMNS)
    return f"commonvoice:{root}"


def write_three(root: Path, clips: Path, rows: list[dict]) -> Expected:
    last = rows[-max(3, len(rows) // 20) :]  # the delta segment
    whole = rows[: -len(last)]
    first = [row for i, row in enumerate(whole) if i % 5 < 3 or row["split"] != "train"]
    speakers = sorted({row["client_id"] for row in first if row["split"] == "train"})
    spoken = {s: sum(row["client_id"] == s for row in first) for s in speakers}
    gone = min((s for s in speakers if spoken[s] > 1), key=lambda s: (spoken[s], s))
    kept = [row for row in first if row["client_id"] != gone]
    trained = [row for row in kept if row["split"] == "train"]
    mended, moved, voted, again = (trained[i : i + 2] for i in (0, 2, 4, 6))
    changes = {row["path"]: {"sentence": f"{row['sentence']} mended"} for row in mended}
    changes |= {row["path"]: {"split": "dev"} for row in moved}
    changes |= {row["path"]: {"up_votes": "9"} for row in voted}
    second = [row | changes.get(row["path"], {}) for row in whole if row["client_id"] != gone]
    copies = [row | {"path": f"again_{row['path']}", "copy_from": row["path"]} for row in again]
    fresh = [row for row in second if row not in first and row["path"] not in changes]
    third = [row | {"client_id": row["client_id"]} for row in last if row["client_id"] != gone]
    places = [
        write_release(root / name, clips, those)
        for name, those in zip(NAMES, (first, [*second, *copies], third), strict=True)
    ]
    tables = [{row["path"]: (row["split"], row["sentence"].strip()) for row in those} for those in (first, second)]
    tables.append(tables[1] | {row["path"]: (row["split"], row["sentence"].strip()) for row in third})
    told = {"new": len(fresh), "text changed": 2, "moved": 2, "votes changed": 2, "duplicate": 2}
    told["retracted"] = spoken[gone]
    counts = [{"new": len(first)}, told, {"new": len(third)}]
    return Expected(places, tables, counts, gone, [len(first), len(fresh), len(third)])
