"""What a corpus reader says of one row: an utterance to take in, or why it cannot be one."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import pyarrow as pa

SPLITS = ("test", "dev", "train")  # in the order of reading: of a clip that comes twice, the first stays
# What could not be used, at any stage of any step; all text.
QUARANTINE = pa.schema([(name, pa.string()) for name in ("source", "split", "sha256", "stage", "reason", "detail")])
NOT_CHARGED = "sentence in another split"  # the corpus is sound, only our division leaves this row out


class Utterance(NamedTuple):  # a corpus has millions of rows: this takes a quarter of a frozen dataclass' time
    """split: "train", "dev", "test", or "" for tasks/ingest/split_corpus.py to decide. clips: names of files
    in the corpus; more than one are joined with pauses_ms[i] of silence before clip i. span: start and length in
    seconds (infinite: to the end), where the utterance is a piece of its clip. channels: of the clip, from 0 on, whose
    mean is heard; all where empty. tags: what else is known, such as age, gender, accent, locale.
    content: the row's own text, where it has no clip (then clips[0] only names it) and `text` is a label. apart: what
    no two splits may share beside a speaker, the text where empty.
    """

    split: str
    clips: tuple[str, ...]
    text: str
    speaker: str = ""
    tags: Mapping[str, str] = MappingProxyType({})
    pauses_ms: tuple[int, ...] = ()
    span: tuple[float, float] | None = None
    channels: tuple[int, ...] = ()
    content: str = ""
    apart: str = ""
    split_from: str = ""
    speaker_from: str = ""

    @property
    def source(self) -> str:
        """What names the utterance in messages and tables; two utterances have different ones."""
        heard = f"#{','.join(map(str, self.channels))}" if self.channels else ""
        if self.span:
            return f"{self.clips[0]}{heard}@{self.span[0]:.10g}+{self.span[1]:.10g}"
        if len(self.clips) == 1:
            return f"{self.clips[0]}{heard}"
        pauses = "-".join(map(str, self.pauses_ms))
        return "+".join(self.clips) + (f"~{pauses}" if pauses else "")


class Reject(NamedTuple):
    """A row that cannot be an utterance; a line of the quarantine table."""

    split: str
    source: str
    stage: str  # "read": the corpus' tables; "divide": our splits; "decode": the clip
    reason: str
    detail: str = ""
    sha256: str = ""
