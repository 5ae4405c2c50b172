"""Sentence pairs: aligned text files NAME.en and NAME.de (or .gz), TMX, or a table, TSV, CSV or JSON lines.

--source-language and --target-language say which sides are read: the ends of the files' names, the xml:lang of a TMX,
the columns of a table or keys of its rows, which may be called source and target too. In a folder or an archive the
names say the splits (train.en, dev.en, test.en, in any spelling), in a table a column may; without them, or with
ingest.own_splits, tasks/ingest/split_corpus.py divides the pairs: no source sentence in two splits.
"""

import posixpath
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace

from infra.errors import UserError
from tasks.corpora.column_names import find_column, read_text
from tasks.corpora.corpus_files import CorpusFiles
from tasks.corpora.corpus_tables import TableRow, find_tables, read_tables
from tasks.corpora.corpus_uri import IngestConfig
from tasks.corpora.sentence_pairs import SIDES, Row, languages, read_aligned, sentence_pair, without_packing
from tasks.corpora.split_names import KNOWN, order, resolve_splits, split_in_path
from tasks.corpora.tmx_file import find_language, read_units

TMX, PLAIN = ".tmx", ".txt"
LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8})*")  # en, deu, pt-BR, zh_Hans; as csv and tsv look too
NO_LANGUAGES = {"csv", "tsv"}
NESTED = "translation"  # the key of an object by language, as data sets on Hugging Face have it
OTHER_NAMES = ("source", "src"), ("target", "tgt")

Sides = tuple[str, str]


def pairs(source: CorpusFiles, options: IngestConfig, splits: tuple[str, ...]) -> Iterator[Row]:
    both = languages(options, f"parallel:{source.uri}")
    aligned, memories = find_aligned(source, both), find_memories(source)
    if aligned and memories:
        found = f"{next(iter(aligned))}.{both[0]} and {memories[0]}"
        raise UserError(f"{source.uri}: it has aligned files and TMX ({found}); name one of them, or move one away")
    if not aligned and not memories:
        yield from _from_tables(source, both, options, splits)
        return
    names = {name: "" if options.own_splits else split_in_path(name, source.uri) for name in aligned or memories}
    meanings = resolve_splits(filter(None, names.values()))
    check_splits(source, names, own=options.own_splits)
    for split in order(splits):
        for name, told in names.items():
            if meanings.get(told, "") != split:
                continue
            origin = f"name {told}" if told else ""
            if aligned:
                yield from read_aligned(source, aligned[name], split, origin)
            else:
                yield from _from_memory(source, name, both, (split, origin))


def find_aligned(source: CorpusFiles, both: Sides) -> dict[str, Sides]:
    """By what their names share, the files in both languages. Raises UserError for one file alone."""
    asked = posixpath.basename(source.asked)
    sides = [_sides(source, language) for language in both]
    found = {stem: (sides[0][stem], sides[1][stem]) for stem in sorted(sides[0].keys() & sides[1].keys())}
    for n, stem in [(n, stem) for n, side in enumerate(sides) for stem in sorted(side) if stem not in found]:
        name, missing = sides[n][stem], f"{posixpath.basename(stem)}.{both[1 - n]}"
        if not asked or name == asked:
            there = [code for code in find_languages(source) if code.casefold() not in map(str.casefold, both)]
            other = f", or say --{SIDES[1 - n]}-language {' or '.join(there)}" if there else ""
            told = f"{source.uri}: {name} is there without its other side, {missing}"
            raise UserError(f"{told}; put it beside it, or move {name} away{other}")
    return {stem: names for stem, names in found.items() if not asked or asked in names}


def _sides(source: CorpusFiles, language: str) -> dict[str, str]:
    """The files in a language, by what stands before it. Raises UserError for two that differ in their packing."""
    found = dict[str, str]()
    for name in filter(lambda name: _stem(name, language), source.names()):
        if (other := found.setdefault(_stem(name, language), name)) != name:
            raise UserError(f"{source.uri}: {other} and {name} are one side of the same pairs; move one of them away")
    return found


def _stem(name: str, language: str) -> str:
    """What stands before the language in a file's name, "" where it is not of this language."""
    stem, code = _stem_and_end(name)
    return stem if code.casefold() == language.casefold() else ""


def _stem_and_end(name: str) -> tuple[str, str]:
    stem, _, end = without_packing(name).removesuffix(PLAIN).rpartition(".")
    return stem, end


def find_languages(source: CorpusFiles) -> list[str]:
    """What the names of aligned files end in: of files that share the rest of their names with another."""
    ends = defaultdict[str, set[str]](set)
    for name in source.names():
        stem, end = _stem_and_end(name)
        if stem and LANGUAGE.fullmatch(end) and end.lower() not in NO_LANGUAGES:
            ends[stem].add(end)
    return sorted({end for those in ends.values() if len(those) > 1 for end in those})


def find_memories(source: CorpusFiles) -> list[str]:
    names = [posixpath.basename(source.asked)] if source.asked else source.names()
    return [name for name in names if without_packing(name).lower().endswith(TMX)]


def check_splits(source: CorpusFiles, names: dict[str, str], *, own: bool) -> None:
    """Raises UserError where some files say a split and others none, or several none: they might be trained on by
    accident.
    """
    silent = [name for name, told in names.items() if not told]
    if own or not silent or len(names) == 1:
        return
    there = f"{len(names)} files say their splits by their names, but {silent[0]} says none"
    told = "rename it, move it away, name one file as the corpus, or divide all by --set ingest.own_splits=true"
    raise UserError(f"corpus {source.uri}: {there}; {told}; {KNOWN}")


def _from_memory(source: CorpusFiles, name: str, both: Sides, placed: tuple[str, str]) -> Iterator[Row]:
    place = source.locate(name)
    assert place is not None
    for number, unit in enumerate(read_units(name, place), 1):
        sides = find_language(unit, both[0]), find_language(unit, both[1])
        yield sentence_pair(f"{name}:{number}", placed[0], sides, placed[1])


def _from_tables(source: CorpusFiles, both: Sides, options: IngestConfig, splits: tuple[str, ...]) -> Iterator[Row]:
    there = ", ".join(f"NAME.{code}" for code in find_languages(source))
    told = f" (there are {there}: say which by --source-language and --target-language)" if there else ""
    what = f"a corpus of sentence pairs without files NAME.{both[0]} and NAME.{both[1]}{told}, and without TMX,"
    tables = find_tables(source, lambda columns: bool(side_columns(columns, both)), what)
    for table in tables:
        if not side_columns(table.columns, both):
            has = ", ".join(table.columns) or "no rows"
            wanted = f"{both[0]} and {both[1]}, or source and target"
            raise UserError(f"{source.uri}/{table.name}: a table of sentence pairs has columns {wanted}; it has {has}")
    if options.own_splits:
        tables = [replace(table, split="", column="") for table in tables]

    def made(row: TableRow) -> Row:
        return _from_row(row, both)

    yield from read_tables(source, tables, splits, made, "")


def side_columns(columns: tuple[str, ...], both: Sides) -> Sides | None:
    """Those of source and target; of an object that holds both, its key twice. None where there are none."""
    found = side_column(columns, both, 0), side_column(columns, both, 1)
    nested = find_column(columns, NESTED)
    return found if all(found) else (nested, nested) if nested else None


def side_column(columns: tuple[str, ...], both: Sides, side: int) -> str:
    """Of one of the sides, "" where there is none."""
    return next((found for name in (both[side], *OTHER_NAMES[side]) if (found := find_column(columns, name))), "")


def _from_row(row: TableRow, both: Sides) -> Row:
    """Raises ValueError for a value that is no text."""
    columns, fields = tuple(row.fields), row.fields
    nested = find_column(columns, NESTED)
    if nested and not all(side_column(columns, both, side) for side in (0, 1)):
        fields = fields[nested]
        if not isinstance(fields, dict):
            raise ValueError(f"{nested} is no object by language")
        columns = tuple(fields)
    sides = [read_text(fields, [side_column(columns, both, side)])[0] for side in (0, 1)]
    return sentence_pair(row.place, row.split, (sides[0], sides[1]), row.told)
