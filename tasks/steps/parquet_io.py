"""Tables as the Parquet files of artifacts and drafts."""

import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


def to_table(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_pylist(rows, schema)


def to_parquet(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def from_parquet(data: bytes, columns: list[str] | None = None) -> pa.Table:
    return pq.ParquetFile(pa.BufferReader(data)).read(columns)
