"""WebDataset: tars in which the members `KEY.EXTENSION` of one key are a sample.

https://github.com/webdataset/webdataset. The place is one .tar (or .tar.gz), a folder of them, or a pattern such as
train-{000000..000099}.tar or *.tar. A sample is a clip, or a text with a label, and what is known of it: in .txt, in
.cls (a label), or in the object of a .json. Which is which is found by the usual names, or said by ingest.audio_field,
text_field, label_field, speaker_field and split_field: the extension of a member or, where a sample has no such member,
a key of its .json. The split is what the sample says, else that of the tar's name or folder (train-000000.tar,
dev/0.tar); where nothing says any, tasks/ingest/split_corpus.py decides. Members that are none of these are left alone.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

from infra.errors import UserError
from tasks.corpora.archive_index import AGAIN
from tasks.corpora.column_names import (
    CHANNEL,
    LABEL,
    SPEAKER,
    SPLIT,
    TEXT,
    find_column,
    find_columns,
    is_finite,
    plain_name,
    read_channels,
)
from tasks.corpora.corpus_files import CorpusFiles
from tasks.corpora.corpus_uri import SHARDS, IngestConfig
from tasks.corpora.readers import text
from tasks.corpora.split_names import KNOWN, order, resolve_splits, split_in_path, unknown_split
from tasks.corpora.table_rows import unique_keys
from tasks.corpora.utterance import Reject, Utterance

AUDIO = ("wav", "flac", "mp3", "ogg", "oga", "opus", "aiff", "aif", "au", "sph", "caf", "raw", "mfc", "audio")
AUDIO += ("m4a", "aac", "wma", "amr", "webm")  # which libsndfile does not know: for the quarantine
IMAGES = ("jpg", "jpeg", "png", "webp", "ppm", "pgm", "pbm", "tif", "tiff", "bmp", "gif")
NAMES = {
    "text": ("txt", *TEXT),
    "label": ("cls", *LABEL, "class"),
    "speaker": SPEAKER,
    "split": SPLIT,
}
# Keys of a .json that are no tags: found out anew, or heard.
MEASURED = {"duration", "seconds", "sample_rate", "sha256", "source", *CHANNEL}
LARGEST_BYTES = 1 << 20  # of a .txt, .cls or .json: what is larger is refused unread
LOOKED_AT = 100  # samples that say what the corpus holds

Row = Utterance | Reject


@dataclass
class Sample:
    """The members of one key: by extension, in small letters, the names they have in the source. archive: their tar.
    again: the first member that is there twice.
    """

    key: str
    archive: str
    members: dict[str, str] = field(default_factory=dict)
    again: str = ""


class Place(NamedTuple):
    """The split of a sample, what says it, and reason and detail where it is none."""

    split: str
    told: str = ""
    fault: tuple[str, str] | None = None


class Unusable(Exception):  # noqa: N818  (not an error of the program: a sample for the quarantine)
    """reason, detail: as the quarantine table has them."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason, self.detail = reason, detail


def utterances(source: CorpusFiles, options: IngestConfig, splits: tuple[str, ...]) -> Iterator[Row]:
    """Clips with their transcripts."""
    return _Reading(source, options).rows(splits, "text")


def labeled(source: CorpusFiles, options: IngestConfig, splits: tuple[str, ...]) -> Iterator[Row]:
    """Clips, or where there are none texts, with their labels."""
    return _Reading(source, options).rows(splits, "label")


def documents(source: CorpusFiles) -> list[str]:
    """The members that are texts, in the order of their names."""
    names = sorted(name for name in source.files if name.partition(AGAIN)[0].endswith(text.SUFFIXES))
    text.check_splits(source, [name[: _end_of_archive(name)] for name in names])
    return names


def samples(source: CorpusFiles) -> Iterator[Sample]:
    """The samples in the order of their tars. What has no extension, or is webdataset's own (`__name__`), is none."""
    found: dict[str, Sample] = {}
    for name in source.files:
        whole, again, _ = name.partition(AGAIN)
        folder, _, base = whole.rpartition("/")
        stem, dot, extension = base.partition(".")
        if not (stem and dot and extension) or base.startswith("__"):
            continue
        key, extension = f"{folder}/{stem}", extension.lower()
        sample = found.setdefault(key, Sample(key, whole[: _end_of_archive(whole)]))
        if again or extension in sample.members:
            sample.again = sample.again or whole
        else:
            sample.members[extension] = name
    yield from found.values()


def _end_of_archive(name: str) -> int:
    """Where in `<archive>/<member>` the archive's name ends, which has folders itself."""
    return min(at + len(end) - 1 for end in (".tar/", ".tar.gz/", ".tgz/") if (at := name.lower().find(end)) >= 0)


class _Reading:
    """A corpus, what its first samples say that it holds, and what the options say of it."""

    def __init__(self, source: CorpusFiles, options: IngestConfig) -> None:
        self.source, self.options = source, options
        asked = (options.audio_field, options.text_field, options.label_field)
        named = (name.lower().lstrip(".") for name in asked)
        known = {*AUDIO, *IMAGES, "json", *NAMES["text"], *NAMES["label"], *named}
        self.samples = [s for s in samples(source) if any(known & {e, e.rpartition(".")[2]} for e in s.members)]
        if not self.samples:
            raise UserError(f"corpus {source.uri}: no clip, .txt, .cls or .json is in its tars; is it WebDataset?")
        first = list(islice(self.samples, LOOKED_AT))
        self.has_audio = bool(options.audio_field) or any(_of_kind(sample, AUDIO) for sample in first)
        self.has_images = not self.has_audio and any(_of_kind(sample, IMAGES) for sample in first)
        if "places" not in source.surveys:
            source.surveys["places"] = [Place("")] * len(self.samples) if options.own_splits else self._places()
        self.places: list[Place] = source.surveys["places"]

    def rows(self, splits: tuple[str, ...], what: str) -> Iterator[Row]:
        """The rows of these splits and those without one. what: "text" or "label"."""
        for split in order(splits):
            for sample, place in zip(self.samples, self.places, strict=True):
                if place.split == split:
                    yield self._row(sample, what, place)

    def _places(self) -> list[Place]:
        """Where the samples belong. Raises UserError for a tar that says no split beside others that do."""
        folder, _, last = self.source.uri.rpartition("/")
        corpus = folder if last.lower().endswith(SHARDS) else self.source.uri
        archives = {sample.archive: "" for sample in self.samples}
        if not self.options.split_field:
            archives = {name: split_in_path(name, corpus) for name in archives}
        said = [self._said_split(sample) for sample in self.samples]
        if not any(said) and not self.options.split_field:
            lost = next((name for name, part in archives.items() if not part), "")
            if lost and (other := next(filter(None, archives.values()), "")):
                raise UserError(
                    f"corpus {self.source.uri}: the name of {lost} says no split, as {other} does; rename it, name the "
                    f"others alone, or set ingest.own_splits=true; {KNOWN}"
                )
            if lost:
                return [Place("")] * len(said)
        splits = resolve_splits({*archives.values(), *said})
        pairs = [(own, archives[sample.archive]) for own, sample in zip(said, self.samples, strict=True)]
        key = self.options.split_field or SPLIT[0]
        places = {pair: _place(pair, splits, key) for pair in set(pairs)}  # one of each, for millions of samples
        return [places[pair] for pair in pairs]

    def _said_split(self, sample: Sample) -> str:
        """What the sample says itself; "" also where that cannot be read, for which it is rejected later."""
        try:
            return self._field(sample, self._known(sample), "split")[0]
        except Unusable:
            return ""

    def _row(self, sample: Sample, what: str, place: Place) -> Row:
        try:
            if sample.again:
                raise Unusable("duplicate member", sample.again)
            known = self._known(sample)
            if place.fault:
                raise Unusable(*place.fault)
            speaker, speaker_from = self._field(sample, known, "speaker")
            row = Utterance(
                split=place.split,
                clips=(sample.key,),
                text=self._field(sample, known, what)[0],
                speaker=speaker,
                tags=self._tags(known, what),
                split_from=place.told,
                speaker_from=speaker_from,
            )
            if what == "label" and not self.has_audio and not self.has_images:
                return self._labeled_text(sample, known, row)
            clip, columns = self._audio(sample), find_columns(tuple(known))
            row = row._replace(channels=read_channels(known, columns))
            return row._replace(clips=(clip,), apart=clip if what == "label" else "")
        except ValueError as error:
            return Reject(place.split, sample.key, "read", "malformed row", str(error))
        except Unusable as unusable:
            return Reject(place.split, sample.key, "read", unusable.reason, unusable.detail)

    def _labeled_text(self, sample: Sample, known: dict[str, Any], row: Utterance) -> Utterance:
        content = self._field(sample, known, "text")[0]
        for name, value in (("text", content), ("label", row.text)):
            if not value:
                raise Unusable(f"empty {name}")
            if "\ufffd" in value:
                raise Unusable(f"{name} is not UTF-8", value[:200])
        if len(content) > self.options.max_characters:
            raise Unusable("too long", f"{len(content)} characters, ingest.max_characters is the limit")
        return row._replace(tags=self._tags(known, "text", "label"), content=content, apart=content)

    def _audio(self, sample: Sample) -> str:
        """The member that is the clip."""
        if self.options.audio_field:
            if name := sample.members.get(self.options.audio_field.lower().lstrip(".")):
                return name
            raise Unusable("no audio", f"no .{self.options.audio_field}, ingest.audio_field, in {_extensions(sample)}")
        found = _of_kind(sample, AUDIO)
        plain = [extension for extension in found if "." not in extension] or found
        if len(plain) == 1:
            return sample.members[plain[0]]
        if plain:
            raise Unusable("several clips", f"{', '.join(plain)}: say with ingest.audio_field which it is")
        if _of_kind(sample, IMAGES):
            raise Unusable("image", "this flow reads sound or text, not images; take a corpus with clips")
        raise Unusable("no audio", f"only {_extensions(sample)}; if one of them is, name it with ingest.audio_field")

    def _field(self, sample: Sample, known: dict[str, Any], what: str) -> tuple[str, str]:
        """A member's content as text, else the value of a key of the .json, and the name of either; "" for neither."""
        for name in self._names(what):
            if member := sample.members.get(name.lower().lstrip(".")):
                return self._content(member).decode("utf-8-sig", errors="replace").strip(), f".{name.lstrip('.')}"
            key = name if name in known else find_column(tuple(known), name)
            value = known.get(key)
            is_text = isinstance(value, str | int | float) and is_finite(value)
            if is_text and (what == "label" or not isinstance(value, bool)):
                return (value.strip() if isinstance(value, str) else json.dumps(value)), f"key {key}"
            if value is not None:
                raise Unusable("malformed row", f"{key} is {json.dumps(value)[:80]}, not text")
        return "", ""

    def _tags(self, known: dict[str, Any], *used: str) -> dict[str, str]:
        """What else the .json says: its texts and numbers."""
        names = {plain_name(n) for what in ("split", "speaker", *used) for n in self._names(what)}
        return {k: str(v) for k, v in known.items() if plain_name(k) not in names and k not in MEASURED and _is_tag(v)}

    def _names(self, what: str) -> tuple[str, ...]:
        asked = getattr(self.options, f"{what}_field")
        return (asked,) if asked else NAMES[what]

    def _known(self, sample: Sample) -> dict[str, Any]:
        """The object of the .json, empty where there is none."""
        if not (name := sample.members.get("json")):
            return {}
        try:
            content = self._content(name)
            # NaN is what pandas writes where nothing is.
            known = json.loads(content, object_pairs_hook=unique_keys, parse_constant=lambda _: None)
            if b"\\ud" in content.lower():
                json.dumps(known, ensure_ascii=False).encode()  # refuses half a surrogate pair, which no file can hold
        except (ValueError, RecursionError) as error:
            raise Unusable("malformed row", f".json: {error}") from error
        if not isinstance(known, dict):
            raise Unusable("malformed row", ".json: not an object")
        return known

    def _content(self, name: str) -> bytes:
        size = self.source.files[name][2]
        if size > LARGEST_BYTES:
            raise Unusable("malformed row", f"{name} has {size >> 20} MB, {LARGEST_BYTES >> 20} are allowed")
        return self.source.read(name)


def _place(pair: tuple[str, str], splits: dict[str, str], key: str) -> Place:
    """Of what a sample says itself, and of the part of its tar's name that does."""
    own, part = pair
    if split := splits.get(own or part):
        return Place(split, f"key {key}: {own}" if own else f"tar {part}")
    return Place("train", fault=unknown_split(own, f"key {key}"))


def _of_kind(sample: Sample, endings: tuple[str, ...]) -> list[str]:
    """The extensions of a sample, such as wav or close.wav, that end so."""
    return [extension for extension in sample.members if extension.rpartition(".")[2] in endings]


def _extensions(sample: Sample) -> str:
    return ", ".join(f".{extension}" for extension in sample.members)


def _is_tag(value: Any) -> bool:
    return value != "" and isinstance(value, str | int | float)
