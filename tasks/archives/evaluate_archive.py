"""An archive's transcripts against references of whole recordings: each text is aligned as a whole, not by segment.

Both are normalized as the model's own text is, and counted as tasks/scoring counts. An alignment of three hours' words
takes a second and some megabytes.
"""

from collections import Counter
from typing import Any

import jiwer
import numpy as np

from infra.errors import UserError
from tasks.archives.output_store import OutputStore, read_manifest
from tasks.archives.reference_words import match_references, read_references, recording_name
from tasks.scoring.evaluate_asr import ScoringConfig, confidence_interval, error_parts, error_rate
from tasks.steps.parquet_io import from_parquet
from tasks.steps.read_config import read_config
from tasks.text.error_counts import count_errors
from tasks.text.normalization import NormalizationConfig, normalize_text

COLUMNS = ["file", "start", "words"]


def evaluate_archive(output: str, references: str, scoring: ScoringConfig) -> dict[str, Any]:
    """Error rates of the whole and of each recording. Raises UserError where no recording has a reference, and where
    one may be of several.
    """
    told = read_manifest(output)["archive"]
    store = OutputStore(output, {})
    rules = read_config(NormalizationConfig, told.get("provenance", {}).get("text", {}), "text")
    known, parts = read_references(references), _latest_parts(store)
    names, lost = match_references(known, parts)
    if not names:
        raise UserError(f"{references}: names none of the recordings of {output}, such as {next(iter(parts), 'none')}")
    texts = _texts(store, {file: parts[file] for file in names})
    both, called = sorted(texts), Counter(map(recording_name, texts))
    pairs = [(normalize_text(known[names[file]], rules), normalize_text(texts[file], rules)) for file in both]
    counts = np.array([count_errors(jiwer.process_words(*pair)) for pair in pairs])
    letters = np.array([count_errors(jiwer.process_characters(*pair)) for pair in pairs])
    rows = [
        {
            "recording": recording_name(file) if called[recording_name(file)] == 1 else file,
            "wer": error_rate(row[None]),
            **error_parts(row[None]),
        }
        for file, row in zip(both, counts, strict=True)
    ]
    return {
        "recordings": len(both),
        "without_reference": len(parts) - len(both),
        "without_transcript": lost,
        "wer": error_rate(counts),
        "wer_interval": confidence_interval(counts, scoring),
        "cer": error_rate(letters),
        "words": error_parts(counts),
        "by_recording": sorted(rows, key=lambda row: (-row["wer"], row["recording"])),
    }


def _latest_parts(store: OutputStore) -> dict[str, int]:
    """Of each recording that was transcribed the part: the last, where it has changed and was transcribed again."""
    parts = dict[str, int]()
    for part, data in store.numbered_tables("files"):
        for row in from_parquet(data, ["file", "status"]).to_pylist():
            if row["status"] == "quarantined":
                parts.pop(row["file"], None)
            else:
                parts[row["file"]] = part
    return parts


def _texts(store: OutputStore, parts: dict[str, int]) -> dict[str, str]:
    """Of each recording its words in that part, in the order of their times."""
    words: dict[str, list[tuple[float, int, str]]] = {file: [] for file in parts}
    for part, data in store.numbered_tables("transcripts"):
        for row in from_parquet(data, COLUMNS).to_pylist():
            if parts.get(row["file"]) != part:
                continue
            found = words[row["file"]]
            for word in row["words"]:
                start = row["start"] if word["start"] is None else word["start"]
                found.append((start, len(found), word["text"]))
    return {file: " ".join(text for _, _, text in sorted(found)) for file, found in words.items()}


def text_scores(told: dict[str, Any]) -> str:
    """For a terminal."""
    low, high = told["wer_interval"]
    parts = ", ".join(f"{count:,} {name}" for name, count in told["words"].items())
    lines = [f"WER         {told['wer']:.2%} (95 % interval {low:.2%} to {high:.2%}), CER {told['cer']:.2%}"]
    lines += [f"words       {parts}", f"recordings  {told['recordings']:,}"]
    if told["without_reference"]:
        lines.append(f"            {told['without_reference']:,} more have no reference")
    if missing := told["without_transcript"]:
        lines.append(f"            {len(missing):,} references have no recording, first {missing[0]}")
    lines += [f"{row['wer']:>10.2%}  {row['recording']}" for row in told["by_recording"][:10]]
    return "\n".join("".join(c if c.isprintable() else repr(c)[1:-1] for c in line) for line in lines)
