"""Lists of photos: Parquet or CSV files with a ``uri`` column and, if they like, ``size`` and ``etag``."""

import csv
import io
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from infra.errors import StorageError
from infra.storage import Entry, Storage, absolute
from infra.uris import SCHEME, check_open, escape, scheme_of

COLUMNS = ("uri", "size", "etag")
ROWS = 10_000


def read_list(storage: Storage, source: str) -> Iterator[Entry]:
    """The items of the list at ``source`` in its order, without paths. Its first bad row is the operator's error."""
    data = storage.read(source)
    rows = parquet_rows(data, source) if source.lower().endswith(".parquet") else csv_rows(data, source)
    for number, row in enumerate(rows, start=1):
        yield item(row, f"row {number} of '{source}'")


def parquet_rows(data: bytes, source: str) -> Iterator[dict[str, Any]]:
    """The rows of a Parquet file, read a batch at a time."""
    try:
        file = pq.ParquetFile(pa.BufferReader(data))
    except pa.ArrowInvalid as error:
        raise StorageError(f"'{source}' is no Parquet file: {error}") from error
    columns = present(file.schema_arrow.names, source)
    for batch in file.iter_batches(batch_size=ROWS, columns=columns):
        yield from batch.to_pylist()


def csv_rows(data: bytes, source: str) -> Iterator[dict[str, Any]]:
    """The rows of a CSV file with a header. Bytes that are not UTF-8 survive as surrogates, as in local names."""
    text = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8-sig", errors="surrogateescape", newline="")
    reader = csv.DictReader(text)
    present(reader.fieldnames or (), source)
    yield from reader


def present(names: Any, source: str) -> list[str]:
    """Those of ``COLUMNS`` that the list has."""
    if "uri" not in names:
        raise StorageError(f"'{source}' has no column 'uri'", f"its columns are {', '.join(names) or 'none'}")
    return [name for name in COLUMNS if name in names]


def item(row: dict[str, Any], where: str) -> Entry:
    """One row as an entry."""
    uri = row["uri"]
    if not isinstance(uri, str) or not uri:
        raise StorageError(f"{where} has no URI")
    if not SCHEME.match(uri) and not uri.startswith("/"):
        raise StorageError(f"{where} is relative: '{escape(uri)}'", "write whole URIs: s3://bucket/key or /folder/file")
    etag = row.get("etag")
    return Entry(located(uri), "", size_of(row.get("size"), where), escape(str(etag).strip('"')) if etag else None)


def located(uri: str) -> str:
    """The URI as the stores take it; a key may end in a slash and mean it."""
    if scheme_of(uri) == "file":
        return absolute(uri)
    check_open(uri)
    return escape(uri)


def size_of(value: Any, where: str) -> int | None:
    """A size in bytes, from a number or its digits."""
    if value is None or value == "":
        return None
    try:
        size = int(value)
    except ValueError:
        size = -1
    if not 0 <= size < 2**63:
        raise StorageError(f"{where} has a size that is none: '{value}'")
    return size
