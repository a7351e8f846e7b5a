"""S3 Inventory reports as listings: ``manifest.json`` and the files that it names.

Field names and formats: Amazon S3 User Guide, "Cataloging and analyzing your data with S3 Inventory" (version
2016-11-30). CSV and Parquet are read; keys are URL-encoded in CSV alone.
"""

import csv
import gzip
import hashlib
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote_plus

import pyarrow as pa
import pyarrow.parquet as pq

from infra.buckets import split
from infra.errors import StorageError
from infra.storage import Storage
from infra.store import Entry
from infra.uris import name_of, scheme_of

NAME = "manifest.json"
ROWS = 10_000
COLUMNS = {  # the report's name in CSV, and in Parquet
    "Key": "key",
    "Size": "size",
    "ETag": "e_tag",
    "LastModifiedDate": "last_modified_date",
    "IsLatest": "is_latest",
    "IsDeleteMarker": "is_delete_marker",
}
HINT = "give the manifest.json of an S3 Inventory report, as S3 wrote it"
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Report:
    """What a manifest says: the bucket that was listed, the format, CSV's columns, and each file's key and MD5."""

    bucket: str
    format: str
    columns: list[str]
    files: list[tuple[str, str]]


def names_an_inventory(source: str) -> bool:
    return scheme_of(source) == "s3" and name_of(source) == NAME


def read_inventory(storage: Storage, source: str) -> tuple[str, Iterator[Entry]]:
    """The URI of the bucket that the report at ``source`` is about, and its present objects, without paths."""
    report = read_report(storage, source)
    return f"s3://{report.bucket}", entries(storage, source, report)


def read_report(storage: Storage, source: str) -> Report:
    """The manifest. Raises a ``StorageError`` for what is none, or names a format that is not read."""
    try:
        data = json.loads(storage.read(source))
        files = [(str(file["key"]), str(file["MD5checksum"])) for file in data["files"]]
        columns = [column.strip() for column in str(data["fileSchema"]).split(",")]
        report = Report(str(data["sourceBucket"]), str(data["fileFormat"]).upper(), columns, files)
    except (ValueError, KeyError, TypeError) as error:
        raise StorageError(f"'{source}' is no inventory's manifest: {type(error).__name__} {error}", HINT) from None
    if report.format not in {"CSV", "PARQUET"}:
        raise StorageError(
            f"'{source}' is an inventory in {report.format}, which is not read", "have it written as Parquet or CSV"
        )
    if report.format == "CSV" and "Key" not in columns:
        raise StorageError(f"'{source}' has no column Key: {data['fileSchema']}", HINT)
    return report


def entries(storage: Storage, source: str, report: Report) -> Iterator[Entry]:
    """The newest version of each object that was not deleted; no folder markers."""
    for key, md5 in report.files:
        uri = f"s3://{split(source)[0]}/{key}"
        content = storage.read(uri)
        if hashlib.md5(content, usedforsecurity=False).hexdigest() != md5.lower():
            raise StorageError(f"'{uri}' is not the file that its inventory's manifest names: another MD5", HINT)
        rows = csv_rows(content, report.columns) if report.format == "CSV" else parquet_rows(content)
        try:
            yield from (entry_of(row, report.bucket) for row in rows if present(row))
        except (ValueError, KeyError, EOFError, OSError, csv.Error, pa.ArrowException) as error:
            raise StorageError(f"'{uri}' cannot be read: {' '.join(str(error).split())[:200]}", HINT) from None


def csv_rows(content: bytes, columns: list[str]) -> Iterator[Row]:
    """The rows of a gzipped CSV file without a header, its keys decoded."""
    with gzip.open(io.BytesIO(content), "rt", encoding="utf-8", newline="") as lines:
        for values in csv.reader(lines):
            row: Row = dict(zip(columns, values, strict=True))
            yield row | {"Key": unquote_plus(row["Key"], errors="strict")}


def parquet_rows(content: bytes) -> Iterator[Row]:
    """The rows of a Parquet file, by CSV's names."""
    file = pq.ParquetFile(pa.BufferReader(content))
    names = {parquet: name for name, parquet in COLUMNS.items() if parquet in file.schema_arrow.names}
    for batch in file.iter_batches(batch_size=ROWS, columns=list(names)):
        yield from renamed(batch.to_pylist(), names)


def renamed(rows: Iterable[Row], names: dict[str, str]) -> Iterator[Row]:
    return ({names[key]: value for key, value in row.items()} for row in rows)


def present(row: Row) -> bool:
    """Whether a row is an object that a GET would find."""
    latest = row.get("IsLatest") in {None, "", True, "true", "TRUE", "True"}
    deleted = row.get("IsDeleteMarker") in {True, "true", "TRUE", "True"}
    return latest and not deleted and bool(row["Key"]) and not row["Key"].endswith("/")


def entry_of(row: Row, bucket: str) -> Entry:
    size, etag = row.get("Size"), row.get("ETag")
    return Entry(
        f"s3://{bucket}/{row['Key']}",
        "",
        int(size) if size or size == 0 else None,
        str(etag).strip('"') if etag else None,
        time_of(row.get("LastModifiedDate")),
    )


def time_of(value: object) -> datetime | None:
    """A time of the report as aware UTC."""
    if not value:
        return None
    time = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
