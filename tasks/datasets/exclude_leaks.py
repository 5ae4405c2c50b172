"""The gate between data and training: nothing that is measured on is trained on, whichever corpus brings it.

The frozen test set wins: a training row that shares a speaker, a sentence or a recording with it is left out, and
listed with the reason and what it shares it with. A recording is the same where its bytes are, and where its sound is
(tasks/datasets/match_recordings.py).
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from infra import storage
from infra.artifact_store import Artifact, new_draft
from infra.errors import UserError
from tasks.audio.audio_io import decode_clip
from tasks.datasets.match_recordings import (
    CORRELATED,
    Fingerprints,
    correlate,
    join_fingerprints,
    match_fingerprints,
)
from tasks.datasets.version_index import (
    KIND,
    NEW,
    TEXT_CHANGED,
    VERSION_INDEX,
    VERSION_QUARANTINE,
    Row,
    read_changes,
    read_quarantine,
    retracted_clips,
    summarize_splits,
)
from tasks.features.acoustic_fingerprint import resample
from tasks.ingest.shard_format import read_sample
from tasks.ingest.shard_index import shard_file
from tasks.ingest.split_corpus import sentence_hash
from tasks.steps.parquet_io import to_parquet, to_table
from tasks.steps.pipeline_step import step

MEASURED = ("test", "dev")
FRESH = (NEW, TEXT_CHANGED)
LEAKS = pa.schema(
    [
        *((name, pa.string()) for name in ("reason", "source", "speaker", "text", "counterpart", "split")),
        ("corpus", pa.int32()),
    ]
)
# corpus: the number of the version among those that are mixed; fresh: whether its last release brought the row, or its
# text.
TRAINING_INDEX = pa.schema([*VERSION_INDEX, ("corpus", pa.int32()), ("fresh", pa.bool_())])
Leak = tuple[str, Row]  # the reason, and the row of dev or test
SPEAKER, SENTENCE, RECORDING, SOUND = "same speaker", "same sentence", "same recording", "same sound"


@dataclass(frozen=True, kw_only=True)
class LeakConfig:
    """speakers, sentences, recordings: what may not be shared. budget: the share of a training corpus that may be left
    out.
    """

    speakers: bool = True
    sentences: bool = True
    recordings: bool = True
    budget: float = 0.2

    def __post_init__(self) -> None:
        if not 0 <= self.budget <= 1:
            raise ValueError(f"leaks.budget is a share in [0, 1], not {self.budget}")


@step
def exclude_leaks(
    training: tuple[Artifact, ...], measured: Artifact, frames: tuple[Artifact, ...], leaks: LeakConfig
) -> Artifact:
    """A data set of the training rows of all versions `training` that share nothing with the dev and test rows of the
    version `measured`, and of those but what has been withdrawn since; `leaks.parquet` lists what was left out.

    frames: of all their shards. Raises UserError where a corpus would lose more than the budget.
    """
    gone = {clip for version in (*training, measured) for clip in retracted_clips(version)}
    held = [
        row | {"corpus": -1, "fresh": False}
        for row in _rows(measured)
        if row["split"] in MEASURED and row["clip_sha256"] not in gone
    ]
    offered = [row for number, version in enumerate(training) for row in _offered(number, version)]
    found = dict(_find_leaks(offered, held, frames, leaks))
    left = [row | _leak(reason, other) for i, row in enumerate(offered) for reason, other in _once(found.get(i))]
    kept = [row for i, row in enumerate(offered) if i not in found]
    for number, version in enumerate(training):
        _check_budget((number, str(version)), offered, left, leaks)
    rows, quarantine = _unique_keys([*held, *kept]), read_quarantine(measured)
    splits = summarize_splits(rows, quarantine)
    with new_draft(KIND) as out:
        out.put("index.parquet", to_parquet(to_table(rows, TRAINING_INDEX)))
        out.put("leaks.parquet", to_parquet(to_table(left, LEAKS)))
        out.put("quarantine.parquet", to_parquet(to_table(quarantine, VERSION_QUARANTINE)))
        out.put_json("training.json", {"training": [one.digest for one in training], "measured": measured.digest})
        told = {"left_out": dict(Counter(row["reason"] for row in left)), "leaks": asdict(leaks)}
        out.put_json("summary.json", {"splits": splits, **told})
    return out.result()


def _rows(version: Artifact) -> list[Row]:
    return pq.read_table(version.file("index.parquet"), schema=VERSION_INDEX).to_pylist()


def _offered(number: int, version: Artifact) -> Iterator[Row]:
    changed = {row["clip_sha256"] for row in read_changes(version) if row["change"] in FRESH}
    for row in _rows(version):
        if row["split"] == "train":
            yield row | {"corpus": number, "fresh": row["clip_sha256"] in changed}


def _once(found: Leak | None) -> list[Leak]:
    return [found] if found else []


def _leak(reason: str, other: Row) -> Row:
    return {"reason": reason, "counterpart": other["source"], "split": other["split"]}


def _find_leaks(
    offered: list[Row], held: list[Row], frames: tuple[Artifact, ...], leaks: LeakConfig
) -> Iterator[tuple[int, Leak]]:
    """Numbers of offered rows, each with the reason and its counterpart; the first that is found of a row counts last,
    as the surest: the same recording before the same sentence before the same speaker.
    """
    if leaks.speakers:
        speakers = {row["speaker"]: row for row in reversed(held) if row["speaker"]}
        yield from ((i, (SPEAKER, speakers[r["speaker"]])) for i, r in enumerate(offered) if r["speaker"] in speakers)
    if leaks.sentences:
        sentences = {sentence_hash(row["text"]): row for row in reversed(held) if row["text"].strip()}
        hashes = [sentence_hash(row["text"]) for row in offered]
        yield from ((i, (SENTENCE, sentences[h])) for i, h in enumerate(hashes) if h in sentences)
    if leaks.recordings:
        yield from _same_sound(offered, held, frames)
        for name in ("sha256", "clip_sha256"):
            clips = {row[name]: row for row in reversed(held)}
            yield from ((i, (RECORDING, clips[r[name]])) for i, r in enumerate(offered) if r[name] in clips)


def _same_sound(offered: list[Row], held: list[Row], frames: tuple[Artifact, ...]) -> Iterator[tuple[int, Leak]]:
    prints = _read_fingerprints(frames)
    asked, stored = _joined(held, prints), _joined(offered, prints)
    waves: dict[int, np.ndarray] = {}
    for match in match_fingerprints(asked, stored):
        if match.asked not in waves:
            waves = {match.asked: _wave(held[match.asked])}
        if correlate(waves[match.asked], _wave(offered[match.stored]), match.seconds) >= CORRELATED:
            yield match.stored, (SOUND, held[match.asked])


def _read_fingerprints(frames: tuple[Artifact, ...]) -> dict[tuple[str, int], tuple[np.ndarray, np.ndarray]]:
    """By the shard and offset of each sample."""
    found = {}
    for one in frames:
        table = pq.read_table(one.file("fingerprints.parquet"))
        hashes, times = (_lists(table[name]) for name in ("hashes", "times"))
        places = zip(table["sample_shard"].to_pylist(), table["sample_offset"].to_pylist(), strict=True)
        for (shard, offset), *both in zip(places, hashes, times, strict=True):
            found[shard, offset] = tuple(both)
    return found


def _lists(column: pa.ChunkedArray) -> Iterable[np.ndarray]:
    whole = column.combine_chunks()
    ends = np.cumsum(whole.value_lengths().to_numpy(zero_copy_only=False))
    return np.split(whole.flatten().to_numpy(), ends[:-1]) if len(ends) else []


def _joined(rows: list[Row], prints: dict[tuple[str, int], tuple[np.ndarray, np.ndarray]]) -> Fingerprints:
    missing = next((row for row in rows if (row["shard"], row["offset"]) not in prints), None)
    if missing:
        raise UserError(f"no fingerprint of {missing['source']}; give the frames of the shards of all the versions")
    return join_fingerprints(prints[row["shard"], row["offset"]] for row in rows)


def _wave(row: Row) -> np.ndarray:
    kind, digest, name = row["shard"].split("/", 2)
    place = shard_file(Artifact(kind, digest), name)
    sample = read_sample(storage.read(str(place), row["offset"], row["size"]))
    return resample(*decode_clip(sample.data, sample.extension))


def _check_budget(corpus: tuple[int, str], offered: list[Row], left: list[Row], leaks: LeakConfig) -> None:
    number, version = corpus
    mine, gone = ([row for row in rows if row["corpus"] == number] for rows in (offered, left))
    if len(gone) > leaks.budget * len(mine) or (mine and len(gone) == len(mine)):
        reasons = Counter(row["reason"] for row in gone).most_common()
        told, first = ", ".join(f"{count} {reason}" for reason, count in reasons), gone[0]
        raise UserError(
            f"{version}: {len(gone)} of {len(mine)} training rows leak into what is measured ({told}; first "
            f"{first['source']}: {first['reason']} as {first['counterpart']}), the budget is {leaks.budget:.0%}; "
            "divide the corpus anew (ingest.own_splits=true), or allow more with leaks.budget or leaks.speakers=false"
        )


def _unique_keys(rows: list[Row]) -> list[Row]:
    """The key of a row that another corpus has as well gets the row's digest."""
    seen, made = set[str](), list[Row]()
    for row in rows:
        key = row["key"] if row["key"] not in seen else f"{row['key']}-{row['clip_sha256'][:16]}"
        if key in seen:  # the same clip in two corpora
            continue
        seen.add(key)
        made.append(row | {"key": key})
    return made


def find_text_leaks(lines: Iterable[str], measured: Artifact) -> Iterator[tuple[int, str]]:
    """Of a language model's text the lines, by number from 0, that a dev or test row says, and that row's source."""
    held: dict[int, Any] = {
        sentence_hash(r["text"]): r["source"] for r in _rows(measured) if r["split"] in MEASURED and r["text"].strip()
    }
    for number, line in enumerate(lines):
        if line.strip() and (source := held.get(sentence_hash(line))):
            yield number, source
