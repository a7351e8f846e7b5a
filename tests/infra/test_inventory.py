"""S3 Inventory reports: the objects that are there, under their own names, and nothing that was tampered with."""

import csv
import gzip
import hashlib
import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.errors import StorageError
from infra.inventory import names_an_inventory
from infra.listing import Listing
from infra.storage import Entry, Storage
from tests.object_store import ObjectStore

COLUMNS = ["Bucket", "Key", "VersionId", "IsLatest", "IsDeleteMarker", "Size", "LastModifiedDate", "ETag"]
PARQUET = ["bucket", "key", "version_id", "is_latest", "is_delete_marker", "size", "last_modified_date", "e_tag"]
THEN = datetime(2026, 11, 6, 21, 32, 0, 500000, tzinfo=UTC)
ODD = 'scans/münster + 50%/1 & 2, "x".jpg'
ROWS: list[tuple[Any, ...]] = [
    ("photos", "scans/a.jpg", "v2", True, False, 10, THEN, "e1"),
    ("photos", "scans/a.jpg", "v1", False, False, 9, THEN, "e0"),
    ("photos", ODD, "v1", True, False, 20, THEN, "e2-7"),
    ("photos", "scans/gone.jpg", "v3", True, True, None, THEN, None),
    ("photos", "scans/", "v1", True, False, 0, THEN, "e3"),
    ("photos", "other/b.jpg", "v1", True, False, 30, THEN, "e4"),
    ("photos", "scans/Thumbs.db", "v1", True, False, 40, THEN, "e5"),
    ("photos", "scans/../../up.jpg", "v1", True, False, 50, THEN, "e6"),
]
FOUND = {"scans/a.jpg": 10, ODD: 20, "other/b.jpg": 30, "scans/%2E%2E/%2E%2E/up.jpg": 50}


def csv_file(rows: list[tuple[Any, ...]], plus: bool = True) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.writer(out, quoting=csv.QUOTE_ALL)
    for bucket, key, version, latest, deleted, size, time, etag in rows:
        name = quote_plus(key, safe="/") if plus else quote(key)
        stamp = time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        flags = str(latest).lower(), str(deleted).lower()
        writer.writerow([bucket, name, version, *flags, "" if size is None else size, stamp, etag or ""])
    return gzip.compress(out.getvalue().encode())


def parquet_file(rows: list[tuple[Any, ...]]) -> bytes:
    table = pa.Table.from_pylist([dict(zip(PARQUET, row, strict=True)) for row in rows])
    index = PARQUET.index("last_modified_date")
    table = table.set_column(index, "last_modified_date", table.column(index).cast(pa.timestamp("ms", "UTC")))
    out = io.BytesIO()
    pq.write_table(table, out)
    return out.getvalue()


def stored(store: ObjectStore, contents: list[bytes], kind: str = "CSV", **changes: Any) -> str:
    """The URI of a report's manifest."""
    named = {f"inventory/data/{number}": content for number, content in enumerate(contents)}
    manifest = {
        "sourceBucket": "photos",
        "destinationBucket": "arn:aws:s3:::somewhere",
        "version": "2016-11-30",
        "fileFormat": kind,
        "fileSchema": ", ".join(COLUMNS),
        "files": [
            {"key": key, "size": len(content), "MD5checksum": hashlib.md5(content).hexdigest()}
            for key, content in named.items()
        ],
    }
    content = json.dumps(manifest | changes).encode()
    return f"{store.bucket(named | {'inventory/2026/manifest.json': content})}/inventory/2026/manifest.json"


def found(source: str, root: str | None = None) -> dict[str, Entry]:
    return {entry.path: entry for entry, wanted in Listing(Storage(), source, root=root) if wanted}


@pytest.mark.parametrize("plus", [True, False])
def test_csv_lists_what_is_there_by_decoded_names(object_store: ObjectStore, plus: bool) -> None:
    source = stored(object_store, [csv_file(ROWS[:3], plus), csv_file(ROWS[3:], plus)])
    listed = found(source)
    assert {path: entry.size for path, entry in listed.items()} == FOUND
    assert listed[ODD] == Entry(f"s3://photos/{ODD}", ODD, 20, "e2-7", THEN)
    assert object_store.counts["LIST"] == 0


def test_parquet_lists_the_same(object_store: ObjectStore) -> None:
    assert found(stored(object_store, [parquet_file(ROWS)], "Parquet")) == found(stored(object_store, [csv_file(ROWS)]))


def test_a_root_chooses_a_prefix_and_names_photos_below_it(object_store: ObjectStore) -> None:
    listed = found(stored(object_store, [csv_file(ROWS)]), "s3://photos/scans")
    assert {path for path in listed if ".." not in listed[path].uri} == {"a.jpg", ODD.removeprefix("scans/")}
    assert found(stored(object_store, [csv_file(ROWS)]), "s3://photos/sca") == {}


def test_reports_without_versions_list_everything(object_store: ObjectStore) -> None:
    content = gzip.compress(b'"photos","a.jpg"\n"photos","b.jpg"\n')
    listed = found(stored(object_store, [content], fileSchema="Bucket, Key"))
    assert listed == {name: Entry(f"s3://photos/{name}", name) for name in ("a.jpg", "b.jpg")}


def test_files_that_are_not_what_the_manifest_says_are_refused(object_store: ObjectStore) -> None:
    files = [{"key": "inventory/data/0", "size": 1, "MD5checksum": "0" * 32}]
    with pytest.raises(StorageError, match=r"inventory/data/0' is not the file .*: another MD5"):
        found(stored(object_store, [csv_file(ROWS)], files=files))


@pytest.mark.parametrize(
    ("content", "kind", "changes", "message"),
    [
        (b"", "ORC", {}, "is an inventory in ORC, which is not read"),
        (b"", "CSV", {"fileSchema": "Bucket, Size"}, "has no column Key"),
        (b"", "CSV", {"files": None}, "is no inventory's manifest"),
        (b"no gzip", "CSV", {}, "cannot be read"),
        (gzip.compress(b'"photos"\n'), "CSV", {}, "cannot be read"),
        (gzip.compress(csv_file(ROWS))[:50], "CSV", {}, "cannot be read"),
        (b"no parquet", "Parquet", {}, "cannot be read"),
    ],
    ids=["orc", "no key", "no files", "no gzip", "one column", "cut off", "no parquet"],
)
def test_what_cannot_be_read_is_said_in_one_line(
    object_store: ObjectStore, content: bytes, kind: str, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(StorageError, match=message):
        found(stored(object_store, [content], kind, **changes))


def test_a_manifest_that_is_no_json_is_refused(object_store: ObjectStore) -> None:
    with pytest.raises(StorageError, match="is no inventory's manifest"):
        found(f"{object_store.bucket({'manifest.json': b'{'})}/manifest.json")


def test_only_objects_called_so_are_inventories(tmp_path: Path) -> None:
    assert names_an_inventory("s3://b/x/manifest.json")
    assert not names_an_inventory("s3://b/x/manifest.json.jpg")
    assert not names_an_inventory(f"file://{tmp_path}/manifest.json")
