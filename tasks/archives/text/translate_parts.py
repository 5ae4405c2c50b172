"""Documents as the job of an archive: read and split into sentences on CPUs, translated by a model in actors.

The sentences of a part, each once however often it stands there, are sorted by length and batched: a batch depends on
the part alone.
"""

import base64
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from infra.artifact_store import Artifact
from infra.errors import UserError
from tasks.archives.archive_job import JobBatch, ReadPart
from tasks.archives.item_file import check_unchanged, open_item, split_reason
from tasks.archives.output_store import PartResult
from tasks.archives.text.translation_tables import Row, build_tables, flag_translation
from tasks.archives.work_list import Part, WorkItem
from tasks.bundles.model_bundle import load_in_actor
from tasks.decoding.translate import TranslationConfig, Translator
from tasks.documents.document import DocumentConfig, Passage, Range, Rest, Translated
from tasks.documents.formats import document_format, packed_as, unpacked
from tasks.documents.sentence_split import Span, cut_long, join_sentences, split_sentences
from tasks.text.tokenizer import load_source_tokenizer, load_tokenizer

CONTROL = re.compile("[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")  # blanks are none
SENTENCES = 512  # that an actor is given at a time
DOCUMENT = "document"  # the format that is each file's own
TRANSLATION_FORMATS = ("parquet", DOCUMENT)
PASSAGES = "passages"


@dataclass(frozen=True, kw_only=True)
class TranslationJob:
    """formats: of TRANSLATION_FORMATS; Parquet is always written. decoding: digest of the configs. length_ratio: beyond
    which a translation is flagged.
    """

    bundle: Artifact
    config: TranslationConfig
    documents: DocumentConfig
    formats: tuple[str, ...]
    decoding: str
    length_ratio: float = 3.0

    def read(self, part: Part) -> Iterator[JobBatch | ReadPart]:
        tokenizer = load_source_tokenizer(self.bundle) or load_tokenizer(self.bundle)
        reader = _Reader(self, lambda text: len(tokenizer.encode(text)))
        killers = dict(part.killers)
        files = list[Row]()
        for number, item in enumerate(part.items):
            files.append(reader.read_item(item, killers.get(number, "")))
            if part.apart:
                yield from reader.batches()
        yield from reader.batches()
        yield ReadPart({"files": files, "tokens": reader.tokens}, float(sum(told["tokens"] for told in files)))

    def load(self) -> Callable[[JobBatch], Any]:
        translator = Translator(load_in_actor(self.bundle)[0], self.config)

        def translate(batch: JobBatch) -> Any:
            found = translator.translate([text for _, text in batch.told])
            return [[place, *made] for (place, _), made in zip(batch.told, found, strict=True)]

        return translate

    def assemble(self, part: Part, told: Any, found: Sequence[Any]) -> PartResult:
        said = {place: made for batch in found for place, *made in batch}
        rows: dict[str, list[Row]] = {name: [] for name in ("translations", "files", "quarantine", "pieces")}
        files = dict[str, bytes]()
        for item, one in zip(part.items, told["files"], strict=True):
            written = _Assembly(self, item, rows).add(one, said, told["tokens"])
            if written is not None and DOCUMENT in self.formats:
                if item.pieces == 1:
                    files[f"{DOCUMENT}/{item.name}"] = written
                else:
                    rows["pieces"].append({"name": item.name, "begin": item.begin, "content": written})
        return PartResult(*_with_files(build_tables(rows), files))


def _with_files(made: tuple[dict[str, bytes], dict[str, float]], files: dict[str, bytes]) -> tuple[Any, ...]:
    return made[0], files, made[1]


@dataclass
class _Reader:
    """Sentences by number, in the order in which they are first read; tokens: how many each has."""

    job: TranslationJob
    count: Callable[[str], int]
    places: dict[str, int] = field(default_factory=dict)
    tokens: list[int] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)

    def read_item(self, item: WorkItem, killer: str) -> Row:
        """What is known of a file or piece, as JSON has it; what is wrong with it is told, not raised."""
        told: Row = {"status": "quarantined", "stage": "list", "tokens": 0, **split_reason(item.problem)}
        if killer:
            told |= {"stage": "translate", "reason": "kills its worker", "detail": killer}
        if item.problem or killer:
            return told
        told["stage"] = "read"
        try:
            check_unchanged(item)
            with open_item(item) as raw, unpacked(raw, item.name) as file:
                how = document_format(item.name, self.job.documents)
                made = list(how.read(file, Range(item.begin, item.end, item.line)))
            check_unchanged(item)
            told[PASSAGES] = [self._passage(one) for one in made if isinstance(one, Passage)]
        except OSError as error:
            return told | {"reason": "cannot be read", "detail": error.strerror or str(error)}
        except UserError as problem:
            return told | split_reason(str(problem).removeprefix(f"{item.place}: "))
        (rest,) = (one for one in made if isinstance(one, Rest))
        told["rest"] = [_packed(rest.kept), rest.lines, rest.charset]
        spans = [span for *_, spans in told[PASSAGES] for span in spans]
        return told | {"status": "translated", "tokens": sum(self.tokens[at] for *_, at in spans if at >= 0)}

    def _passage(self, one: Passage) -> list[Any]:
        """Its spans, each with the number of its sentence, -1 for one that is not translated."""
        spans = list[Any]()
        for sentence in () if one.problem else split_sentences(one.text, self.job.documents.split_sentences):
            spans += [[*span, self._place(one.text, span)] for span in self._fitting(one.text, sentence)]
        text = one.text.encode(errors="backslashreplace").decode() if one.problem else one.text
        return [_packed(one.kept), text, one.line, one.problem, spans]

    def _fitting(self, text: str, sentence: Span) -> Iterator[Span]:
        if found := CONTROL.search(text, sentence.begin, sentence.end):
            yield Span(sentence.begin, sentence.end, f"control characters (U+{ord(found[0]):04X})")
            return
        try:
            yield from list(cut_long(text, sentence, self.count, self.job.config.max_source_tokens))
        except UserError as problem:  # of a tokenizer that has nothing for what it does not know
            yield Span(sentence.begin, sentence.end, str(problem))

    def _place(self, text: str, span: Span) -> int:
        if span.problem:
            return -1
        sentence = text[span.begin : span.end]
        if sentence not in self.places:
            self.places[sentence] = len(self.places)
            self.tokens.append(self.count(sentence))
            self.waiting.append(sentence)
        return self.places[sentence]

    def batches(self) -> Iterator[JobBatch]:
        """Of the sentences that have come since, from the shortest to the longest; one without tokens needs none."""
        ranked = sorted((self.tokens[self.places[text]], self.places[text], text) for text in self.waiting)
        ranked = [one for one in ranked if one[0]]
        self.waiting.clear()
        for begin in range(0, len(ranked), SENTENCES):
            some = ranked[begin : begin + SENTENCES]
            yield JobBatch([[place, text] for _, place, text in some], b"", float(sum(size for size, *_ in some)))


@dataclass
class _Assembly:
    """One file's rows, added to those of the part."""

    job: TranslationJob
    item: WorkItem
    rows: dict[str, list[Row]]

    def add(self, told: Row, said: dict[int, Any], tokens: list[int]) -> bytes | None:
        """The document, or what it has of this piece; None where nothing could be read."""
        item, rows = self.item, self.rows
        row = {"file": item.file, "size": item.size, "version": item.version, "line": item.line, "pieces": item.pieces}
        row |= {"name": item.name, "status": told["status"], "tokens": told["tokens"]}
        failed, begun = len(rows["quarantine"]), len(rows["translations"])
        if told["status"] == "quarantined":
            rows["quarantine"].append({"file": item.file} | {n: told[n] for n in ("stage", "reason", "detail")})
            rows["files"].append(row | {"quarantined": 1})
            return None
        passages, texts = list[Passage](), list[Translated]()
        numbers = Counter[int]()
        for kept, text, line, problem, spans in told[PASSAGES]:
            passages.append(Passage(_unpacked(kept), text, line, problem))
            if problem:
                self._quarantine(line, None, text, problem)
            else:
                made = [self._sentence(text, span, (line, numbers), said, tokens) for span in spans]
                whole = all(problem == "" for *_, problem, _ in spans)
                texts.append(Translated(join_sentences(text, [Span(*span[:3]) for span in spans], made), whole))
        kept, lines, charset = told["rest"]
        how = document_format(item.name, self.job.documents)
        written = how.write(passages, texts, Rest(_unpacked(kept), lines, charset))
        mine, quarantined = rows["translations"][begun:], len(rows["quarantine"]) - failed
        row |= {"lines": lines, "lines_out": how.count(written), "sentences": len(mine), "quarantined": quarantined}
        row |= {"flagged": sum(bool(one["flags"]) for one in mine)} | ({"status": "partial"} if quarantined else {})
        rows["files"].append(row)
        return packed_as(written, item.name)

    def _sentence(
        self, text: str, span: Any, where: tuple[int, Counter[int]], said: dict[int, Any], tokens: list[int]
    ) -> str:
        """What stands in the document for a sentence: its translation, or itself."""
        begin, end, problem, place = span
        source, (line, numbers) = text[begin:end], where
        row: Row = {"file": self.item.file, "line": line, "sentence": numbers[line], "source": readable_text(source)}
        row |= {"flags": [], "model": self.job.bundle.digest, "decoding": self.job.decoding}
        if problem:
            self._quarantine(line, numbers[line], source, problem)
        elif tokens[place] == 0:  # nothing that the model reads is in it
            row |= {"translation": source, "flags": ["nothing to translate"], "tokens": 0, "truncated": False}
        else:
            translation, score, n_best, truncated, unknown = said[place]
            flags = flag_translation(source, translation, self.job.length_ratio)
            row |= {"translation": translation, "score": score, "truncated": truncated, "unknown": unknown}
            row |= {"n_best": [{"text": text, "score": score} for text, score in n_best], "tokens": tokens[place]}
            row |= {"flags": [*flags, *(["truncated"] if truncated else [])]}
        numbers[line] += 1
        self.rows["translations"].append({"unknown": 0} | row)
        return " ".join(row.get("translation", source).split("\n")).strip()

    def _quarantine(self, line: int, sentence: int | None, source: str, problem: str) -> None:
        told = {"file": self.item.file, "line": line, "sentence": sentence, "source": readable_text(source)[:1000]}
        self.rows["quarantine"].append(told | {"stage": "read"} | split_reason(problem))


def readable_text(text: str) -> str:
    """As a table may have it: half a surrogate pair as an escape."""
    return text.encode(errors="backslashreplace").decode()


def _packed(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _unpacked(data: str) -> bytes:
    return base64.b64decode(data)
