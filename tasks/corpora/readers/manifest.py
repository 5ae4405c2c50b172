"""Manifests: JSON lines in NeMo's layout (audio_filepath, text, duration, offset, channel_selector) and CSV or TSV
(audio, text).

A folder holds a file for each split (train.jsonl, dev.csv, test.json, ...); a single file has a `split` column, or is
all train. Paths are relative to the manifest. Other fields (speaker, ...) are kept.
"""

import csv
import json
import posixpath
from collections.abc import Iterator
from typing import Any

from infra.errors import UserError
from tasks.corpora.corpus_files import CorpusFiles
from tasks.corpora.corpus_uri import IngestConfig
from tasks.corpora.utterance import Reject, Utterance

SUFFIXES = (".jsonl", ".json", ".csv", ".tsv")
SPLIT_NAMES = {"train": "train", "dev": "dev", "valid": "dev", "validation": "dev", "val": "dev", "test": "test"}
AUDIO = ("audio_filepath", "audio", "path", "file")
TEXT = ("text", "sentence", "transcript")


def utterances(source: CorpusFiles, options: IngestConfig, splits: tuple[str, ...]) -> Iterator[Utterance | Reject]:
    tables = find_manifests(source)
    for split in splits:
        for name, of_table in tables.items():
            if options.own_splits and split == splits[0]:
                yield from _utterances(source, name, "", None)
            elif not options.own_splits and of_table in {split, ""}:
                yield from _utterances(source, name, split, split if of_table == "" else None)


def find_manifests(source: CorpusFiles) -> dict[str, str]:
    """Each manifest with its split, "" where its rows say. Raises UserError where there is none."""
    at_top = [n for n in source.names(SUFFIXES) if "/" not in n]
    named = {n: SPLIT_NAMES.get(n.rsplit(".", 1)[0].split("_")[0].split("-")[0].lower(), "") for n in at_top}
    asked = posixpath.basename(source.asked) if source.asked else ""
    if asked in named:
        return {asked: named[asked] if _has_no_split(source, asked) else ""}
    if by_split := {n: s for n, s in named.items() if s}:
        return by_split
    if len(named) == 1:
        return named
    raise UserError(f"corpus {source.uri}: no train, dev or test manifest (.jsonl, .json, .csv, .tsv) in it")


def _has_no_split(source: CorpusFiles, name: str) -> bool:
    first = next((row for _, row in read_rows(source, name) if isinstance(row, dict)), {})
    return "split" not in first


def _utterances(source: CorpusFiles, name: str, split: str, only: str | None) -> Iterator[Utterance | Reject]:
    folder = posixpath.dirname(name)
    for number, row in read_rows(source, name):
        of_row = "train" if isinstance(row, str) else SPLIT_NAMES.get(str(row.get("split") or "train").lower(), "train")
        if only is not None and of_row != only:
            continue
        if isinstance(row, str):
            yield Reject(split, f"{name}:{number}", "read", "malformed row", row)
            continue
        audio = next((str(row[k]) for k in AUDIO if row.get(k)), "")
        if not audio:
            yield Reject(split, f"{name}:{number}", "read", "malformed row", f"none of {', '.join(AUDIO)}")
            continue
        try:
            span = read_span(row)
        except ValueError as error:
            yield Reject(split, f"{name}:{number}", "read", "malformed row", f"offset, duration: {error}")
            continue
        try:
            channels = read_channels(row)
        except ValueError as error:
            yield Reject(split, f"{name}:{number}", "read", "malformed row", f"channel_selector: {error}")
            continue
        text = next((str(row[k]) for k in TEXT if row.get(k) is not None), "")
        known = {*AUDIO, *TEXT, "speaker", "split", "offset", "duration", "channel_selector"}
        yield Utterance(
            split=split,
            clips=(find_clip(source, folder, audio),),
            text=text,
            speaker=str(row.get("speaker") or row.get("client_id") or ""),
            tags={k: str(v) for k, v in row.items() if k not in known and v not in (None, "")},
            span=span,
            channels=channels,
        )


def find_clip(source: CorpusFiles, folder: str, audio: str) -> str:
    """Beside the manifest, or in one of the folders where clips are often kept."""
    if audio.startswith(("/", "s3://")):
        return audio
    places = (posixpath.normpath(posixpath.join(folder, below, audio)) for below in ("", "audio", "clips", "wavs"))
    return source.first(*places)


def read_span(row: dict[str, Any]) -> tuple[float, float] | None:
    """Start and length where the row is a piece of its file: NeMo gives every row a duration, a piece an offset."""
    offset, duration = row.get("offset"), row.get("duration")
    return (float(offset), float(duration)) if offset not in (None, "") and duration not in (None, "") else None


def read_channels(row: dict[str, Any]) -> tuple[int, ...]:
    """The channels, from 0 on, whose mean NeMo's channel_selector asks for: a number, a list of numbers, or "average"
    of all, which is none. Raises ValueError for anything else.
    """
    chosen = row.get("channel_selector")
    if isinstance(chosen, str) and chosen.strip().lower() not in {"", "average"}:
        chosen = json.loads(chosen)  # of a CSV
    if chosen is None or isinstance(chosen, str):
        return ()
    channels = chosen if isinstance(chosen, list) else [chosen]
    if not channels or not all(type(channel) is int and channel >= 0 for channel in channels):
        raise ValueError(f"{chosen!r} is no channel from 0 on, list of channels or average")
    return tuple(channels)


def read_rows(source: CorpusFiles, name: str) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Line number and fields, or what is wrong with the line."""
    lines = source.lines(name)
    if name.endswith((".csv", ".tsv")):
        lines = (f"{line}\n" for line in lines)  # a quoted field may hold some
        if name.endswith(".tsv"):
            table = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        else:
            table = csv.DictReader(lines, strict=True)
        try:
            for number, row in enumerate(table, start=2):
                yield number, "more fields than the first line has" if None in row else dict(row)
        except csv.Error as error:
            raise UserError(f"{source.uri}/{name}, near line {table.line_num}: {error}; mend the quoting") from error
        return
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            yield number, f"not JSON: {error}"
            continue
        yield number, row if isinstance(row, dict) else "not a JSON object"
