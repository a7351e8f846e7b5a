"""``report.csv``: every row of the manifest, flat, for spreadsheets."""

from types import TracebackType
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pv

from pipeline.report.columns import Column, Faces, field

FACES = ("restored", "left", "rejected", "failed")
PLAIN = (
    "path",
    "uri",
    "status",
    "size",
    "width",
    "height",
    "format",
    "result_uri",
    "sha256",
    "result_sha256",
    "run_id",
)
ERROR = (("error_stage", "stage"), ("error_class", "class"), ("error_message", "message"))

# A spreadsheet takes a cell that begins so for a formula (OWASP, "CSV injection"): an apostrophe makes it text.
FORMULA = r"^([=+\-@\t\r\n])"

SCHEMA = pa.schema(
    [(name, pa.int64() if name in {"size", "width", "height"} else pa.string()) for name in PLAIN]
    + [(name, pa.string()) for name, _ in ERROR]
    + [("faces", pa.int64())]
    + [(f"faces_{status}", pa.int64()) for status in FACES]
    + [("worst_change", pa.float64())]
)


class Listing:
    """Writes the rows as they come; the columns are the same for every archive."""

    def __init__(self, file: BinaryIO) -> None:
        self._writer = pv.CSVWriter(file, SCHEMA)

    def __enter__(self) -> "Listing":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()

    def add(self, batch: pa.RecordBatch, faces: Faces) -> None:
        """Write a batch of manifest rows, whose faces are ``faces``."""
        columns = [batch.column(name) for name in PLAIN]
        columns += [field(batch.column("error"), name) for _, name in ERROR]
        columns += [pa.array(np.bincount(faces.photo, minlength=batch.num_rows))]
        columns += [pa.array(faces.count(status)) for status in FACES]
        columns += [pa.array(faces.worst_change(), from_pandas=True)]
        safe = [harmless(column) if pa.types.is_string(column.type) else column for column in columns]
        self._writer.write(pa.table(safe, names=SCHEMA.names).cast(SCHEMA))


def harmless(column: Column) -> Column:
    """Text that no spreadsheet takes for a formula."""
    return pc.replace_substring_regex(column, FORMULA, r"'\1")
