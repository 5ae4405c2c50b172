"""Captions in a table: CSV, TSV or JSON lines with the columns image,caption[,split], several rows a photo.

In JSON lines `caption` or `captions` may be a list, and `boxes` a list of [label, x0, y0, x1, y1]. Paths are relative
to the table. Instead of a split column there may be a table for each split. Without either, or with ingest.own_splits,
tasks/ingest/split_photos.py divides the photos.
"""

import json
import posixpath
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from infra.errors import UserError
from tasks.corpora.column_names import find_column, is_finite
from tasks.corpora.corpus_files import CorpusFiles
from tasks.corpora.corpus_tables import Table, TableRow, find_tables, read_tables
from tasks.corpora.photo_row import Box, PhotoIngestConfig, PhotoRow, find_photo
from tasks.corpora.utterance import Reject

IMAGE = ("image", "photo", "image_path", "image_file", "image_name", "file_name", "filepath", "path", "img", "picture")
CAPTION = ("caption", "captions", "text", "sentence", "sentences", "description", "comment")
SEVERAL = {"caption": "captions", "sentence": "sentences"}  # a row may have both
BOXES = ("boxes",)


def photos(source: CorpusFiles, options: PhotoIngestConfig, splits: tuple[str, ...]) -> Iterator[PhotoRow | Reject]:
    tables = find_caption_tables(source)
    if options.own_splits:
        tables = [replace(table, split="", column="") for table in tables]
    yield from join_captions(read_tables(source, tables, splits, lambda row: _row(source, row), ""))


def find_caption_tables(source: CorpusFiles) -> list[Table]:
    """Raises UserError where there is none, and for one without the columns that it needs."""
    tables = find_tables(source, _fits, "a table of captions")
    for table in tables:
        if not _fits(table.columns):
            has = f"has {', '.join(table.columns)}" if table.columns else "has no rows"
            place = f"{source.uri}/{table.name}"
            raise UserError(f"{place}: a table of captions has the columns image,caption; it {has}")
    return tables


def join_captions(rows: Iterator[PhotoRow | Reject]) -> Iterator[PhotoRow | Reject]:
    """A row a photo and split, with the captions of all its rows, in the order of the first."""
    groups, captions = dict[tuple[str, str], PhotoRow](), defaultdict[tuple[str, str], list[str]](list)
    for row in rows:
        if isinstance(row, Reject):
            yield row
        else:
            groups.setdefault((row.split, row.photo), row)
            captions[row.split, row.photo] += row.captions
            if not groups[row.split, row.photo].boxes:
                groups[row.split, row.photo] = groups[row.split, row.photo]._replace(boxes=row.boxes)
    for key, row in groups.items():
        yield row._replace(captions=tuple(captions[key]))


def _fits(columns: tuple[str, ...]) -> bool:
    return all(any(find_column(columns, name) for name in names) for names in (IMAGE, CAPTION))


def _row(source: CorpusFiles, row: TableRow) -> PhotoRow:
    """Raises ValueError for a value that is not what its column says."""
    _, image = _value(row.fields, IMAGE)
    name, caption = _value(row.fields, CAPTION)
    more = find_column(tuple(row.fields), SEVERAL[name.lower()]) if name.lower() in SEVERAL else ""
    if not isinstance(image, str):
        raise ValueError(f"image is {json.dumps(image)[:80]}, not a path")
    given = _as_list(caption)
    if more and (others := [one for one in _as_list(row.fields[more]) if one != ""]):
        given = [*(one for one in given if one != ""), *others]
    for one in given:
        if not isinstance(one, str | int | float) or isinstance(one, bool) or not is_finite(one):
            raise ValueError(f"{name} is {json.dumps(one)[:80]}, not text")
    return PhotoRow(
        split=row.split,
        photo=find_photo(source, posixpath.dirname(row.table.name), image.strip()),
        captions=tuple(str(one) for one in given),
        boxes=_boxes(_value(row.fields, BOXES)[1]),
        split_from=row.told,
    )


def _as_list(caption: Any) -> list[Any]:
    return caption if isinstance(caption, list) else ["" if caption is None else caption]


def _value(fields: Mapping[str, Any], names: tuple[str, ...]) -> tuple[str, Any]:
    """The first of these columns that there is, and its value."""
    found = next((column for name in names if (column := find_column(tuple(fields), name))), "")
    return found, fields.get(found)


def _boxes(told: Any) -> tuple[Box, ...]:
    if isinstance(told, str):  # of a CSV
        try:
            told = json.loads(told) if told.strip() else None
        except json.JSONDecodeError as error:
            raise ValueError(f"boxes is {told[:80]!r}, not JSON") from error
    if told is None:
        return ()
    shaped = isinstance(told, list) and all(isinstance(one, list) and len(one) == 5 for one in told)
    if not shaped or not all(isinstance(one[0], str) and _are_numbers(one[1:]) for one in told):
        raise ValueError(f"boxes is {json.dumps(told)[:80]}, not a list of [label, x0, y0, x1, y1]")
    return tuple(Box(label, *map(float, corners)) for label, *corners in told)


def _are_numbers(values: list[Any]) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) and is_finite(value) for value in values)
