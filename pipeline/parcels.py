"""Photos on their way between the pools of a run, and the manifest's rows on theirs to the driver: Ray's blocks.

A block has one binary column. A cell is a photo, as it also crosses to a child (``pipeline.isolation.wire``), or a
whole table of rows. Ray takes Arrow tables apart in Python, array by array, and the manifest has ninety of these
(docs/decisions/0016).
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from pipeline.isolation.wire import framed, unframed
from stages.photo import Photo

PHOTO, ROWS = "photo", "rows"


def pack(photos: Sequence[Photo]) -> pa.Table:
    """A block with a cell for each photo."""
    messages = [framed(photo) for photo in photos]
    sizes = [sum(part.nbytes for part in parts) for parts in messages]
    ends = np.cumsum([0, *sizes], dtype=np.int64)
    content = np.empty(ends[-1], np.uint8)
    at = 0
    for part in (part for parts in messages for part in parts):
        content[at : at + part.nbytes] = np.frombuffer(part, np.uint8)
        at += part.nbytes
    buffers = [None, pa.py_buffer(ends.data), pa.py_buffer(content.data)]
    return pa.table({PHOTO: pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(messages), buffers)})


def unpack(block: pa.Table) -> list[Photo]:
    """The photos in a block of ``pack``. Arrays are read-only views of its memory."""
    return [unframed(cell) for cell in cells(block, PHOTO)]


def pack_rows(rows: pa.Table) -> pa.Table:
    """A block with one cell, or none for no rows."""
    if not rows.num_rows:
        return pa.table({ROWS: pa.array([], pa.large_binary())})
    stream = pa.BufferOutputStream()
    with pa.ipc.new_stream(stream, rows.schema) as writer:
        writer.write_table(rows)
    return pa.table({ROWS: pa.array([stream.getvalue().to_pybytes()], pa.large_binary())})


def unpack_rows(block: pa.Table) -> list[pa.Table]:
    """The tables in a block of ``pack_rows``."""
    return [pa.ipc.open_stream(pa.py_buffer(cell)).read_all() for cell in cells(block, ROWS)]


def cells(block: pa.Table, column: str) -> Iterator[memoryview]:
    """The bytes of each cell, read-only and without a copy."""
    return (memoryview(cell.as_buffer()).toreadonly() for cell in block.column(column))
