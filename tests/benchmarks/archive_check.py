"""Whether the output of transcribe-archive accounts for every file that was listed and for every frame of each."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from tasks.archives.output_store import OutputStore, read_manifest
from tasks.steps.parquet_io import from_parquet
from tests.benchmarks.archive_audio import BROKEN, EITHER


def check_output(output: str, expected: Mapping[str, int]) -> Counter[str]:
    """How many files of each status there are. expected: of each path its frames, or why they are not known.

    Raises AssertionError that names the first thing that does not add up.
    """
    tables = {name: _rows(output, name) for name in ("files", "quarantine", "coverage", "transcripts")}
    files = {row["file"]: row for row in tables["files"]}
    assert len(files) == len(tables["files"]), "a file is there twice"
    assert files.keys() == expected.keys(), f"not the files that were listed: {files.keys() ^ expected.keys()}"
    failed = [row["file"] for row in tables["quarantine"]]
    assert sorted(failed) == sorted(name for name, row in files.items() if row["status"] != "transcribed")
    assert all(row["reason"] for row in tables["quarantine"]), "no reason"
    intervals = defaultdict[str, dict[int, list[dict[str, Any]]]](lambda: defaultdict(list))
    for row in tables["coverage"]:
        intervals[row["file"]][row["channel"]].append(row)
    segments = Counter(row["file"] for row in tables["transcripts"])
    for name, row in files.items():
        check_file(row, expected[name], intervals.get(name, {}))
        assert segments[name] == (row["segments"] or 0), f"{name}: {segments[name]} segments, {row['segments']} told"
    counts, seconds = read_manifest(output)["counts"], Counter[str]()
    for row in tables["coverage"]:
        seconds[row["fate"]] += (row["end"] - row["begin"]) / files[row["file"]]["rate"]
    for fate in ("decoded", "silence", "failed"):
        assert abs(counts[f"{fate}_seconds"] - seconds[fate]) < 1e-3, f"{fate}: {counts}, {seconds}"
    assert (counts["files"], counts["quarantined"]) == (len(files), len(failed))
    assert abs(counts["seconds"] - sum(row["seconds"] or 0.0 for row in files.values())) < 1e-3
    return Counter(row["status"] for row in files.values())


def check_file(row: Mapping[str, Any], frames: int, channels: Mapping[int, list[dict[str, Any]]]) -> None:
    name, status = row["file"], row["status"]
    assert status != "transcribed" or frames != BROKEN, f"{name}: {status}"
    if frames not in (BROKEN, EITHER):
        assert (status, row["frames"]) == ("transcribed", frames), f"{name}: {status}, {row['frames']} of {frames}"
    if status == "quarantined":
        assert not channels, f"{name}: in the quarantine and covered"
        return
    assert channels or not row["frames"], f"{name}: nothing is said of its frames"
    for found in channels.values():
        reached = 0
        for interval in found:
            assert reached == interval["begin"] < interval["end"], f"{name}: {interval} after {reached}"
            reached = interval["end"]
        assert reached == row["frames"], f"{name}: covered to {reached} of {row['frames']}"
        numbers = [i["segment"] for i in found if i["fate"] == "decoded"]
        assert all(0 <= number < row["segments"] for number in numbers if number is not None), f"{name}: {numbers}"


def _rows(output: str, table: str) -> list[dict[str, Any]]:
    return [row for data in OutputStore(output, {}).tables(table) for row in from_parquet(data).to_pylist()]
