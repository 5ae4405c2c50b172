"""WebDataset: tars in which the members `KEY.EXTENSION` of one key are a sample.

https://github.com/webdataset/webdataset. The place is one .tar (or .tar.gz), a folder of them, or a pattern such as
train-{000000..000099}.tar or *.tar. A sample is a clip, or a text with a label, and what is known of it: in .txt, in
.cls (a label), or in the object of a .json. Which is which is found by the usual names, or said by ingest.audio_field,
text_field, label_field, speaker_field and split_field: the extension of a member or, where a sample has no such member,
a key of its .json. The split is that of the tar's name or folder (train-000000.tar, dev/0.tar), else the .json's, else
tasks/ingest/split_corpus.py decides. Members that are none of these are left alone.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from infra.errors import UserError
from tasks.corpora.archive_index import AGAIN
from tasks.corpora.corpus_files import CorpusFiles
from tasks.corpora.corpus_uri import SHARDS, IngestConfig
from tasks.corpora.readers import text
from tasks.corpora.readers.manifest import SPLIT_NAMES
from tasks.corpora.readers.manifest import TEXT as TEXT_KEYS
from tasks.corpora.utterance import SPLITS, Reject, Utterance

AUDIO = ("wav", "flac", "mp3", "ogg", "oga", "opus", "aiff", "aif", "au", "sph", "caf", "raw", "mfc", "audio")
AUDIO += ("m4a", "aac", "wma", "amr", "webm")  # which libsndfile does not know: for the quarantine
IMAGES = ("jpg", "jpeg", "png", "webp", "ppm", "pgm", "pbm", "tif", "tiff", "bmp", "gif")
NAMES = {
    "text": ("txt", *TEXT_KEYS, "transcription"),
    "label": ("cls", "label", "class"),
    "speaker": ("speaker", "speaker_id", "client_id"),
    "split": ("split",),
}
MEASURED = {"duration", "seconds", "sample_rate", "sha256", "source"}  # keys of a .json: found out anew, not tags
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
    return sorted(name for name in source.files if name.partition(AGAIN)[0].endswith(text.SUFFIXES))


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
        known = {
            *AUDIO,
            *IMAGES,
            "json",
            *NAMES["text"],
            *NAMES["label"],
            *(name.lower().lstrip(".") for name in asked),
        }
        self.samples = [s for s in samples(source) if any(known & {e, e.rpartition(".")[2]} for e in s.members)]
        if not self.samples:
            raise UserError(f"corpus {source.uri}: no clip, .txt, .cls or .json is in its tars; is it WebDataset?")
        first = list(islice(self.samples, LOOKED_AT))
        self.has_audio = bool(options.audio_field) or any(_of_kind(sample, AUDIO) for sample in first)
        self.has_images = not self.has_audio and any(_of_kind(sample, IMAGES) for sample in first)
        self.split_of_archive = {} if options.own_splits or options.split_field else self._splits_of_archives()
        self.split_is_told = not (options.own_splits or any(self.split_of_archive.values())) and (
            bool(options.split_field) or any(self._tells_split(sample) for sample in first)
        )

    def rows(self, splits: tuple[str, ...], what: str) -> Iterator[Row]:
        """The rows of these splits and those without one. what: "text" or "label"."""
        if self.split_is_told:
            wanted = tuple(split for split in SPLITS if split in splits)
        else:
            wanted = tuple(split for split in ("", *SPLITS) if not split or split in splits)
        for split in wanted:
            for sample in self.samples:
                if self.split_is_told or self._placed(sample) == split:
                    row = self._row(sample, what)
                    if row.split == split:
                        yield row

    def _placed(self, sample: Sample) -> str:
        """The split of the sample's tar; of one that says none beside others that do, train."""
        if not any(self.split_of_archive.values()):
            return ""
        return self.split_of_archive[sample.archive] or "train"

    def _splits_of_archives(self) -> dict[str, str]:
        return {name: _split_of(name, self.source.uri) for name in {sample.archive for sample in self.samples}}

    def _tells_split(self, sample: Sample) -> bool:
        try:
            return "split" in self._known(sample)
        except Unusable:
            return False

    def _row(self, sample: Sample, what: str) -> Row:
        split = "train" if self.split_is_told else self._placed(sample)
        try:
            if sample.again:
                raise Unusable("duplicate member", sample.again)
            known = self._known(sample)
            if self.split_is_told:
                split = self._told_split(sample, known)
            if what == "label" and not self.has_audio and not self.has_images:
                return self._labeled_text(sample, known, split)
            clip = self._audio(sample)
            return Utterance(
                split=split,
                clips=(clip,),
                text=self._field(sample, known, what),
                speaker=self._field(sample, known, "speaker"),
                tags=self._tags(known, what),
                apart=clip if what == "label" else "",
            )
        except Unusable as unusable:
            return Reject(split, sample.key, "read", unusable.reason, unusable.detail)

    def _labeled_text(self, sample: Sample, known: dict[str, Any], split: str) -> Utterance:
        content, label = (self._field(sample, known, what) for what in ("text", "label"))
        for name, value in (("text", content), ("label", label)):
            if not value:
                raise Unusable(f"empty {name}")
            if "\ufffd" in value:
                raise Unusable(f"{name} is not UTF-8", value[:200])
        if len(content) > self.options.max_characters:
            raise Unusable("too long", f"{len(content)} characters, ingest.max_characters is the limit")
        return Utterance(
            split=split,
            clips=(sample.key,),
            text=label,
            speaker=self._field(sample, known, "speaker"),
            tags=self._tags(known, "text", "label"),
            content=content,
            apart=content,
        )

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

    def _field(self, sample: Sample, known: dict[str, Any], what: str) -> str:
        """A member's content as text, else the value of a key of the .json; "" where there is neither."""
        for name in self._names(what):
            if member := sample.members.get(name.lower().lstrip(".")):
                return self._content(member).decode("utf-8-sig", errors="replace").strip()
            value = known.get(name)
            if isinstance(value, str | int | float):
                return value.strip() if isinstance(value, str) else json.dumps(value)
            if value is not None:
                raise Unusable("malformed row", f"{name} is {json.dumps(value)[:80]}, not text")
        return ""

    def _tags(self, known: dict[str, Any], *used: str) -> dict[str, str]:
        """What else the .json says: its texts and numbers."""
        names = {name for what in ("split", "speaker", *used) for name in self._names(what)} | MEASURED
        return {k: str(v) for k, v in known.items() if k not in names and _is_tag(v)}

    def _names(self, what: str) -> tuple[str, ...]:
        asked = getattr(self.options, f"{what}_field")
        return (asked,) if asked else NAMES[what]

    def _told_split(self, sample: Sample, known: dict[str, Any]) -> str:
        said = self._field(sample, known, "split")
        if said.lower() not in SPLIT_NAMES:
            raise Unusable("no split", f"{said!r} is none of {', '.join(SPLIT_NAMES)}")
        return SPLIT_NAMES[said.lower()]

    def _known(self, sample: Sample) -> dict[str, Any]:
        """The object of the .json, empty where there is none."""
        if not (name := sample.members.get("json")):
            return {}
        try:
            content = self._content(name)
            known = json.loads(content, parse_constant=lambda _: None)  # NaN: what pandas writes where nothing is
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


def _of_kind(sample: Sample, endings: tuple[str, ...]) -> list[str]:
    """The extensions of a sample, such as wav or close.wav, that end so."""
    return [extension for extension in sample.members if extension.rpartition(".")[2] in endings]


def _extensions(sample: Sample) -> str:
    return ", ".join(f".{extension}" for extension in sample.members)


def _is_tag(value: Any) -> bool:
    return value != "" and isinstance(value, str | int | float)


def _split_of(archive: str, uri: str) -> str:
    """By the tar's name or one of its folders, else by the folder that the corpus is."""
    for part in reversed(archive.lower().split("/")):
        words = {SPLIT_NAMES[word] for word in re.split(r"[-_.]", part) if word in SPLIT_NAMES}
        if len(words) == 1:
            return words.pop()
    folder, _, last = uri.lower().rpartition("/")
    return SPLIT_NAMES.get(folder.rpartition("/")[2] if last.endswith(SHARDS) else last, "")
