"""All utterances of a split in a table to sort and to search, aligned with their references, to be listened to.

The table is data in the page, of which page.js draws what is looked at. The sound of the worst is in the page, that of
others in files beside it, which a browser loads when they are played.
"""

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import jiwer
from markupsafe import Markup

from infra.artifact_store import Artifact
from tasks.reports.html_page import html_section, to_base64
from tasks.reports.sample_preview import BYTES_A_SECOND, NO_SOUND, compress_clip, find_samples, read_content

Row = dict[str, Any]
OPERATIONS = {"equal": "=", "substitute": "S", "delete": "D", "insert": "I"}
THREADS = 4  # libsndfile and torch work outside Python's lock
NONE, FILE, INLINE = 0, 1, 2  # where page.js finds an utterance's sound


@dataclass(frozen=True, kw_only=True)
class SoundLimits:
    """How much sound of a split is kept, the worst first. inline, inline_bytes: utterances in the page, and the bytes
    of their MP3. files, files_seconds: utterances as files beside it, and how long all of them are.
    """

    inline: int = 20
    inline_bytes: int = 600_000
    files: int = 1000
    files_seconds: float = 7200.0


@dataclass(frozen=True)
class SplitSounds:
    """inline: MP3 by key. files: the rows of the shards' index of what `write_sounds` compresses, by key."""

    shards: Artifact
    inline: dict[str, bytes]
    files: dict[str, Row]


def rank_utterances(rows: Sequence[Row]) -> list[Row]:
    """Rows of TRANSCRIPTS, those with the most word errors first, with the words as they are counted and `edits`: runs
    of words that are equal, substituted, deleted, inserted, as in "12=1S2D1I".
    """
    if not rows:
        return []
    found = jiwer.process_words([row["reference"] for row in rows], [row["text"] for row in rows])
    ranked = []
    for row, said, heard, chunks in zip(rows, found.references, found.hypotheses, found.alignments, strict=True):
        runs = [(OPERATIONS[chunk.type], _length(chunk)) for chunk in chunks]
        errors = sum(length for operation, length in runs if operation != "=")
        edits = "".join(f"{length}{operation}" for operation, length in runs)
        counted = {"errors": errors, "words": len(said), "edits": edits}
        ranked.append(row | {"reference": " ".join(said), "text": " ".join(heard)} | counted)
    return sorted(ranked, key=lambda row: (-row["errors"], -row["errors"] / max(1, row["words"]), row["key"]))


def _length(chunk: jiwer.AlignmentChunk) -> int:
    return max(chunk.ref_end_idx - chunk.ref_start_idx, chunk.hyp_end_idx - chunk.hyp_start_idx)


def choose_sounds(ranked: Sequence[Row], shards: Artifact, limits: SoundLimits) -> SplitSounds:
    """The sound of the first of these utterances, as far as the limits go."""
    samples = find_samples(shards, [row["key"] for row in ranked[: limits.inline + limits.files]])
    inline: dict[str, bytes] = {}
    files: dict[str, Row] = {}
    room, seconds = limits.inline_bytes, limits.files_seconds
    for row in ranked:
        sample = samples.get(row["key"])
        if not sample or sample["extension"] in NO_SOUND:
            continue
        if len(inline) < limits.inline and row["seconds"] * BYTES_A_SECOND < room:
            inline[row["key"]] = compress_clip(read_content(shards, sample), sample["extension"])
            room -= len(inline[row["key"]])
        elif len(files) < limits.files and row["seconds"] <= seconds:
            files[row["key"]] = sample
            seconds -= row["seconds"]
    return SplitSounds(shards, inline, files)


def write_sounds(splits: Iterable[SplitSounds]) -> Iterator[tuple[str, bytes]]:
    """Names in the report, and MP3."""

    def compress(sounds: SplitSounds, sample: Row) -> bytes:
        return compress_clip(read_content(sounds.shards, sample), sample["extension"])

    with ThreadPoolExecutor(THREADS) as threads:
        todo = [(sounds, sample) for sounds in splits for sample in sounds.files.values()]
        names = (f"audio/{sample['key']}.mp3" for _, sample in todo)
        yield from zip(names, threads.map(lambda one: compress(*one), todo), strict=True)


def utterance_table(split: str, ranked: Sequence[Row], sounds: SplitSounds) -> Markup:
    """A section of the page with every utterance of the split."""
    columns = ("key", "speaker", "reference", "text", "edits")
    data: dict[str, list[Any]] = {name: [row[name] for row in ranked] for name in columns}
    for name, digits in (("seconds", 3), ("confidence", 4), ("score", 4)):
        data[name] = [_finite(row[name], digits) for row in ranked]
    data["sound"] = [_place(row["key"], sounds) for row in ranked]
    told = {"rows": data, "sounds": {key: to_base64(sound) for key, sound in sounds.inline.items()}}
    table = Markup(
        '<p class="note">{note}</p><div class="utterance-table"><div class="controls"><input type="search"'
        ' placeholder="Search text, utterance, speaker" aria-label="Search the utterances of {split}">'
        '<label><input type="checkbox"> only those with errors</label>'
        '<label class="narrow">sort by <select></select></label><span role="status" class="note"></span></div>'
        '<div class="scroll"><table class="utterances"><caption class="hidden">Utterances of {split}</caption>'
        '<thead></thead><tbody></tbody></table></div><div class="controls pages"><button type="button">'
        'Previous</button><span class="note"></span><button type="button">Next</button></div>'
        '<noscript>The table needs JavaScript.</noscript><script type="application/json">{data}</script></div>'
    )
    body = table.format(note=_note(len(ranked), sounds), split=split, data=script_json(told))
    return html_section(f"{split}: utterances", body)


def script_json(value: Any) -> Markup:
    """JSON that stays inside the script element that it is put into, whatever its texts say."""
    told = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Markup(told.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))  # noqa: S704 - no < is left


def _finite(value: float | None, digits: int) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, digits)


def _place(key: str, sounds: SplitSounds) -> int:
    return INLINE if key in sounds.inline else FILE if key in sounds.files else NONE


def _note(utterances: int, sounds: SplitSounds) -> str:
    """How the table is read, and of which utterances there is sound."""
    told = "Worst first. + opens an utterance: each word of the reference above what was heard in its place. "
    told += "S is a word heard as another, D one left out, I one put in. "
    count = len(sounds.inline) + len(sounds.files)
    if not count:
        return f"{told}There is no sound in the report."
    inside = f"of {len(sounds.inline):,} it is in this page" if sounds.files else "it is in this page"
    beside = f", of {len(sounds.files):,} in the folder audio beside it" if sounds.files else ""
    missing = f"; of the other {utterances - count:,} it is left out" if utterances > count else ""
    return f"{told}Sound: {inside}{beside}{missing}."
