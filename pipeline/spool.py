"""What is due, on local disk: a temporary file without a name, which goes with its process."""

import tempfile
from collections.abc import Iterator
from typing import Any, cast

import pyarrow as pa

from infra.storage import Entry

DUE = pa.schema(
    [
        ("uri", pa.string()),
        ("path", pa.string()),
        ("size", pa.int64()),
        ("etag", pa.string()),
        ("mtime", pa.timestamp("us", "UTC")),
        ("row", pa.int64()),  # where the index has its row, or -1
        ("retry", pa.bool_()),
    ]
)
Due = tuple[Entry, int, bool]


class Spool:
    """Entries that are due, written in chunks and read again in batches, in the same order."""

    def __init__(self) -> None:
        self.count = 0
        self._file = tempfile.TemporaryFile(prefix="daguerre-")  # noqa: SIM115 - it lives as long as the spool
        self._writer = pa.ipc.new_stream(self._file, DUE, options=pa.ipc.IpcWriteOptions(compression="zstd"))

    def add(self, entries: list[Due]) -> None:
        if not entries:
            return
        columns = zip(*((e.uri, e.path, e.size, e.etag, e.mtime, row, retry) for e, row, retry in entries), strict=True)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, DUE, strict=True)]
        self._writer.write_batch(pa.record_batch(arrays, schema=DUE))
        self.count += len(entries)

    def batches(self, size: int) -> Iterator[list[Due]]:
        """Everything that was added, ``size`` at a time. Nothing can be added afterwards."""
        self._writer.close()
        self._file.flush()
        self._file.seek(0)
        batch: list[Due] = []
        for chunk in pa.ipc.open_stream(self._file):
            for row in chunk.to_pylist():
                batch.append(due_of(row))
                if len(batch) == size:
                    yield batch
                    batch = []
        if batch:
            yield batch


def due_of(row: dict[str, Any]) -> Due:
    entry = Entry(row["uri"], row["path"], row["size"], row["etag"], row["mtime"])
    return entry, cast("int", row["row"]), cast("bool", row["retry"])
