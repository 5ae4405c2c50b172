"""What columns of a table and keys of a JSON object are called, and their values as text.

Names are the same whatever their case, blanks, hyphens and underscores: Speaker-ID is speaker_id.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

AUDIO = ("audio_filepath", "audio", "path", "file")
TEXT = ("text", "sentence", "transcript", "transcription")
SPEAKER = ("speaker", "speaker_id", "spk", "spk_id", "client_id", "speaker_name", "spkr", "spkr_id")
SPLIT = ("split", "data_split", "dataset_split", "split_name", "split_set")
SUBSET = ("subset", "set", "partition")  # a split where every value says one: a subset may be anything
SPAN = ("offset", "duration")
CHANNEL = ("channel_selector",)
LABEL = ("label",)
MEANINGS = (AUDIO, TEXT, LABEL, SPEAKER, SPLIT, SUBSET, SPAN, CHANNEL)


class Columns(NamedTuple):
    """Of one row: the names, as they are written, that it has for each meaning, the first counting most."""

    audio: tuple[str, ...]
    text: tuple[str, ...]
    label: tuple[str, ...]
    speaker: tuple[str, ...]
    split: tuple[str, ...]
    subset: tuple[str, ...]
    offset: str
    duration: str
    channel: str


@lru_cache(1 << 12)
def plain_name(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.casefold())


def check_doubled(names: Iterable[str]) -> None:
    """Raises ValueError for a column that is there twice, perhaps in another spelling."""
    known = {plain_name(name) for wanted in MEANINGS for name in wanted}
    seen: dict[str, str] = {}
    for name in filter(None, names):
        plain = plain_name(name)
        key = plain if plain in known else name
        if other := seen.get(key):
            told = f"the column {name} is there twice" if other == name else f"{other} and {name} are the same column"
            raise ValueError(told)
        seen[key] = name


@lru_cache(1 << 12)
def find_column(names: tuple[str, ...], wanted: str) -> str:
    """The first of the names that is another spelling of the one wanted, "" where none is."""
    return next((name for name in names if plain_name(name) == plain_name(wanted)), "")


@lru_cache(1 << 12)
def find_columns(names: tuple[str, ...]) -> Columns:
    """Raises ValueError for a column that is there twice."""
    check_doubled(names)
    known = {plain_name(name): name for name in names}

    def found(wanted: Iterable[str]) -> tuple[str, ...]:
        return tuple(known[plain] for name in wanted if (plain := plain_name(name)) in known)

    offset, duration, channel = (next(iter(found([name])), "") for name in (*SPAN, *CHANNEL))
    return Columns(
        audio=found(AUDIO),
        text=found(TEXT),
        label=found(LABEL),
        speaker=found(SPEAKER),
        split=found(SPLIT),
        subset=found(SUBSET),
        offset=offset,
        duration=duration,
        channel=channel,
    )


def read_text(row: Mapping[str, Any], names: Iterable[str]) -> tuple[str, str]:
    """The first of these values that there is, as text, and its name; "" for none. Raises ValueError for one that is
    no text: a list, an object, NaN. A number is text as JSON writes it, and a truth value.
    """
    for name in names:
        value = row.get(name)
        if value is None or value == "":
            continue
        if not isinstance(value, str | int | float) or not is_finite(value):
            raise ValueError(f"{name} is {json.dumps(value)[:80]}, not text")
        return (value if isinstance(value, str) else json.dumps(value)), name
    return "", ""


def read_words(row: Mapping[str, Any], names: Iterable[str]) -> str:
    """The same of what somebody said, which a truth value is not."""
    text, name = read_text(row, names)
    if name and isinstance(row[name], bool):
        raise ValueError(f"{name} is {text}, not text")
    return text


def read_known(row: Mapping[str, Any], names: Iterable[str]) -> tuple[str, str]:
    """What is known of a row, such as its speaker: as `read_text`, but NaN is what pandas writes for nothing."""
    text, name = read_text({n: row[n] for n in names if is_finite(row[n])}, names)
    return text.strip(), name


def read_tags(row: Mapping[str, Any], used: set[str]) -> dict[str, str]:
    """The other fields that there are, as text."""
    return {k: str(v) for k, v in row.items() if k and k not in used and v not in (None, "") and is_finite(v)}


def read_span(row: Mapping[str, Any], columns: Columns) -> tuple[float, float] | None:
    """Start and length in seconds where the row is a piece of its file, the length infinite for the rest of it: NeMo
    gives every row a duration, a piece an offset. Raises ValueError for what is no time.
    """
    offset, duration = (_seconds(row, name) for name in (columns.offset, columns.duration))
    if duration == 0:
        raise ValueError(f"{columns.duration} is 0")
    if offset is None or (offset == 0 and duration is None):
        return None
    return offset, math.inf if duration is None else duration


def read_channels(row: Mapping[str, Any], columns: Columns) -> tuple[int, ...]:
    """The channels, from 0 on, whose mean NeMo's channel_selector asks for: a number, a list of numbers, or "average"
    of all, which is none. Raises ValueError for anything else.
    """
    chosen = row.get(columns.channel) if columns.channel else None
    if chosen is None or (isinstance(chosen, str) and chosen.strip().lower() in {"", "average"}):
        return ()
    try:
        found = json.loads(chosen) if isinstance(chosen, str) else chosen  # of a CSV
    except json.JSONDecodeError:
        found = None
    channels = found if isinstance(found, list) else [found]
    numbers = tuple(channel for channel in channels if type(channel) is int and channel >= 0)
    if not channels or len(numbers) != len(channels):
        raise ValueError(f"{columns.channel} is {json.dumps(chosen)[:80]}: a channel from 0 on, a list, or average")
    return numbers


def _seconds(row: Mapping[str, Any], name: str) -> float | None:
    value = row.get(name) if name else None
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        seconds = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        seconds = math.nan
    if not 0 <= seconds < math.inf or (isinstance(value, str) and "_" in value):
        raise ValueError(f"{name} is {json.dumps(value)[:80]}, not a number of seconds")
    return seconds


def is_finite(value: Any) -> bool:
    return not isinstance(value, float) or math.isfinite(value)
