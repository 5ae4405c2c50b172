"""The tables of a corpus and which splits their rows belong to: by a column, else by the file's name or its folders."""

import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeVar

from infra.errors import UserError
from tasks.corpora.column_names import find_columns, read_known
from tasks.corpora.corpus_files import CorpusFiles
from tasks.corpora.corpus_uri import UNFINISHED
from tasks.corpora.split_names import KNOWN, NOT_SPLITS, order, resolve_splits, split_in_path, unknown_split
from tasks.corpora.table_rows import DELIMITED, SUFFIXES, read_header, read_rows
from tasks.corpora.utterance import Reject

MOST_TABLES = 100  # without a split in their names, or below the top: more are notes, one a clip

Row = TypeVar("Row")


class Survey(NamedTuple):
    """What a table has. columns: as they are written, of every row. splits, subsets: the values in such columns."""

    columns: tuple[str, ...]
    splits: frozenset[str]
    subsets: frozenset[str]


@dataclass(frozen=True)
class Table:
    """name: of the file. split, told: what its name says, "" where it says none, and which part of the name does.
    column: whose values say the rows' splits, "split" or "subset", "" where none does. splits: what each value means.
    """

    name: str
    columns: tuple[str, ...]
    split: str
    told: str
    column: str
    splits: Mapping[str, str]


class TableRow(NamedTuple):
    """place: what names the row in messages. told: what says its split."""

    table: Table
    place: str
    fields: Mapping[str, Any]
    split: str
    told: str


def _split_value(row: Mapping[str, Any], names: tuple[str, ...]) -> tuple[str, str]:
    """What a row says of its split, and in which column; whatever is no text as it is written."""
    try:
        return read_known(row, names)
    except ValueError:
        return next((str(row[name]), name) for name in names if row[name] is not None)


def survey_table(source: CorpusFiles, name: str) -> Survey:
    """Read once; of CSV and TSV without such a column only the first row."""
    if name in source.surveys:
        return source.surveys[name]
    columns, found = dict[str, None](), {"split": set[str](), "subset": set[str]()}
    for _, row in read_rows(source, name):
        if isinstance(row, str):
            columns = columns or dict.fromkeys(read_header(source, name))  # no row may be as the header has it
            continue
        columns |= dict.fromkeys(row)
        try:
            known = find_columns(tuple(row))
        except ValueError:
            continue  # a row that is rejected
        if name.lower().endswith(DELIMITED) and not (known.split or known.subset):
            break
        for role, values in found.items():
            values.add(_split_value(row, getattr(known, role))[0])
    splits, subsets = (frozenset(values - {""}) for values in found.values())
    source.surveys[name] = Survey(tuple(columns), splits, subsets)
    return source.surveys[name]


def find_tables(source: CorpusFiles, fits: Callable[[tuple[str, ...]], bool], what: str) -> list[Table]:
    """The tables of a corpus, in the order of their names. fits: whether a table with these columns is one; what: such
    tables, for messages.

    Raises UserError where there are none, and for one beside others that says no split: it must not be trained on by
    accident.
    """
    if UNFINISHED in source.files:
        raise UserError(f"corpus {source.uri}: an export to it has not ended; run it again")
    if source.asked and not source.asked.lower().endswith(SUFFIXES):
        raise UserError(f"{source.asked}: {what} is a table, {', '.join(SUFFIXES)} by its name")
    names = [posixpath.basename(source.asked)] if source.asked else _shallowest(source, fits)
    told = {name: split_in_path(name, source.uri) for name in names}
    if len(names) == 1:
        return resolve_tables(source, told)
    if sum(not said for said in told.values()) > MOST_TABLES:
        names = [name for name in names if told[name]]
    fitting = [name for name in names if told[name] or fits(survey_table(source, name).columns)]
    placed = {name: told[name] for name in fitting if told[name] or _column(survey_table(source, name))}
    others = [name for name in fitting if name not in placed and _stem(name) not in NOT_SPLITS]
    if placed and others:
        raise UserError(
            f"{source.uri}/{others[0]}: says no split, and there are others that do ({', '.join(list(placed)[:5])}); "
            f"name its split in its name or in a column, move it away, or name one file as the corpus; {KNOWN}"
        )
    if not placed and len(others) != 1:
        others = others or names
        found = f"it has {len(others)}: {', '.join(others[:5])}; name one of them" if others else "it has none"
        raise UserError(
            f"corpus {source.uri}: {what} is one table ({', '.join(SUFFIXES)}), or one for each split "
            f"(train.csv, dev.csv, test.csv, ...); {found}"
        )
    return resolve_tables(source, placed or {others[0]: ""})


def resolve_tables(source: CorpusFiles, told: dict[str, str]) -> list[Table]:
    """The tables of a corpus by what of their names says their splits, "" where nothing does."""
    surveys = {name: survey_table(source, name) for name in told}
    columns = {name: _column(survey) for name, survey in surveys.items()}
    values = {n: surveys[n].splits if column == "split" else surveys[n].subsets for n, column in columns.items()}
    said = {value for name, column in columns.items() if column for value in values[name]}
    splits = resolve_splits({*said, *filter(None, told.values())})
    return [
        Table(
            name=name,
            columns=surveys[name].columns,
            split=splits.get(part, ""),
            told=f"name {part}" if part else "",
            column=columns[name],
            splits=splits,
        )
        for name, part in told.items()
    ]


def _column(survey: Survey) -> str:
    if survey.splits:
        return "split"
    return "subset" if survey.subsets and len(resolve_splits(survey.subsets)) == len(survey.subsets) else ""


def _shallowest(source: CorpusFiles, fits: Callable[[tuple[str, ...]], bool]) -> list[str]:
    """The files at the top that may be tables; where there are none those in the uppermost folders that are tables."""
    names = [name for name in source.names() if name.lower().endswith(SUFFIXES)]
    depth = min((name.count("/") for name in names), default=0)
    names = [name for name in names if name.count("/") == depth]
    if depth == 0:
        return names
    return [name for name in names if len(names) <= MOST_TABLES and fits(survey_table(source, name).columns)]


def _stem(name: str) -> str:
    return posixpath.basename(name).rpartition(".")[0].lower()


def read_tables(
    source: CorpusFiles, tables: list[Table], splits: tuple[str, ...], make: Callable[[TableRow], Row], default: str
) -> Iterator[Row | Reject]:
    """The rows of these splits, and those without one. make: of a row with a split, raises ValueError for one that
    cannot be. default: the split of a table that nothing says one of.
    """
    for split in order(splits):
        for table in tables:
            of_table = table.split or default
            if not table.column and of_table != split:
                continue
            folder = posixpath.dirname(table.name)
            for number, fields in read_rows(source, table.name, partial(is_clip, source, folder)):
                place = f"{table.name}:{number}"
                of_row, told, reject = _placed(table, fields, of_table)
                if of_row != split:
                    continue
                if reject or isinstance(fields, str):
                    yield Reject(split, place, "read", *(reject or ("malformed row", str(fields))))
                    continue
                try:
                    yield make(TableRow(table, place, fields, split, told))
                except ValueError as error:
                    yield Reject(split, place, "read", "malformed row", str(error))


def _placed(table: Table, row: Mapping[str, Any] | str, of_table: str) -> tuple[str, str, tuple[str, str] | None]:
    """The split of a row, what says it, and reason and detail where it cannot be: then it counts as one of train."""
    if isinstance(row, str) or not table.column:
        return ("train" if table.column else of_table), table.told, None
    try:
        said, name = _split_value(row, getattr(find_columns(tuple(row)), table.column))
    except ValueError as error:
        return "train", "", ("malformed row", str(error))
    if not said and table.split:
        return table.split, table.told, None
    if split := table.splits.get(said):
        return split, f"column {name}: {said}", None
    return "train", "", unknown_split(said, f"column {name or table.column}")


def has_column(columns: Iterable[str], role: str) -> bool:
    return any(getattr(find_columns((column,)), role) for column in columns)


def find_clip(source: CorpusFiles, folder: str, audio: str) -> str:
    """Beside the table, or in one of the folders where clips are often kept. Raises ValueError for no path."""
    if "\0" in audio:
        raise ValueError("a path with a NUL in it")
    if audio.startswith(("/", "s3://")):
        return audio
    places = (posixpath.normpath(posixpath.join(folder, below, audio)) for below in ("", "audio", "clips", "wavs"))
    return source.first(*places)


def is_clip(source: CorpusFiles, folder: str, audio: str) -> bool:
    return bool(audio) and "\0" not in audio and source.locate(find_clip(source, folder, audio)) is not None
