"""Writes a sink's report: its rows, run records and pictures in, ``report.html`` and ``report.csv`` out."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from infra.storage import Storage
from pipeline.ledger import read_manifest
from pipeline.report.page import write_report


def write_for(storage: Storage, sink: str, folder: str) -> list[str]:
    """Write both files below the URI ``folder`` and return their URIs. Results and photos are read where they lie."""
    with tempfile.TemporaryDirectory(prefix="daguerre-") as scratch:
        paths = [Path(scratch) / "report.html", Path(scratch) / "report.csv"]
        with paths[0].open("wb") as page, paths[1].open("wb") as listing:
            write_report(current(storage, sink), run_records(storage, sink), storage.read, page, listing)
        for path in paths:
            storage.write(f"{folder}/{path.name}", path.read_bytes())
    return [f"{folder}/{path.name}" for path in paths]


def run_records(storage: Storage, sink: str) -> list[dict[str, Any]]:
    """The sink's run records, oldest first."""
    if not storage.is_folder(f"{sink}/runs"):
        return []
    names = sorted(entry.uri for entry in storage.list(f"{sink}/runs") if entry.path.endswith(".json"))
    return [json.loads(storage.read(uri)) for uri in names]


def current(storage: Storage, sink: str) -> Iterator[pa.RecordBatch]:
    """The current row of each photo."""
    for table in read_manifest(storage, sink):
        yield from table.to_batches()
