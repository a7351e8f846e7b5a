"""The quantised DCT coefficients of a JPEG: read from the file, cut into windows, and coded again.

They are read with jpeglib (MPL-2.0), whose C library has no error handling that a process survives; see ``reader``.
They lie in a file without a name that ends with the last array on it, so that memory holds only what is in use.
"""

import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stages.jpeg import reader
from stages.jpeg.huffman import Symbols, coded, codes_for, symbols_of
from stages.jpeg.segments import DHT, SOS, Frame, Unfit, segment_bytes
from stages.photo import FaultClass, PhotoFault

LIBRARY = "cjpeglib_turbo210.*"  # the libjpeg in jpeglib that is nearest to Pillow's
# ITU-T T.81, figure A.6
ZIGZAG = np.array(
    [0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21]
    + [28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61]
    + [54, 47, 55, 62, 63]
)
LARGEST = 1023  # of a changed coefficient (T.81, table F.2; DC values as large have legal differences)
TOGETHER = 10  # blocks that an MCU of several components may have
AT_ONCE = 1 << 16  # blocks coded at once

Blocks = NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Change:
    """What is added to a component's coefficients: (rows, columns, 64) int16 from block (``row``, ``column``) on."""

    component: int
    row: int
    column: int
    values: Blocks


@dataclass(frozen=True, slots=True)
class Coefficients:
    """A frame and each component's coefficients, (rows, columns, 64) int16 in natural order, read-only."""

    frame: Frame
    planes: tuple[Blocks, ...]

    def cut(self, window: tuple[int, int, int, int]) -> "Coefficients":
        """Those of the MCUs in a window x0, y0, x1, y1 of whole MCUs (or up to the photo's edge), as a photo."""
        x0, y0, x1, y1 = window
        frame = replace(self.frame, width=x1 - x0, height=y1 - y0)
        width, height = frame.mcu
        planes: list[Blocks] = []
        for component, plane in zip(frame.components, self.planes, strict=True):
            rows, columns = frame.blocks(component)
            row, column = y0 // height * component.down, x0 // width * component.across
            planes.append(plane[row : row + rows, column : column + columns])
        return Coefficients(frame, tuple(planes))


def read(content: Sequence[bytes | memoryview], frame: Frame) -> Coefficients:
    """The coefficients of a JPEG in pieces, which need hold nothing but its tables, headers and scans.

    Raises ``Unfit`` where the library fails, ``PhotoFault`` (truncated) where the scans end early.
    """
    shapes = [(*frame.blocks(component), 64) for component in frame.components]
    counts = [rows * columns for rows, columns, _ in shapes]
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as target:
        for piece in content:
            source.write(piece)
        source.flush()
        target.truncate(sum(counts) * reader.BYTES)
        descriptors = source.fileno(), target.fileno()
        command = [sys.executable, "-I", "-S", reader.__file__, library(), *map(str, [*descriptors, *counts])]
        child = subprocess.run(command, pass_fds=descriptors, capture_output=True, check=False)
        said = " ".join(child.stderr.decode("utf-8", "replace").split())
        if "Premature end" in said:
            raise PhotoFault(FaultClass.TRUNCATED, "the image data is truncated")
        if "Corrupt" in said and "extraneous" not in said:
            raise Unfit("its scans are damaged")
        if child.returncode:
            raise Unfit(f"its coefficients cannot be read: {said[:200] or child.returncode}")
        everything = np.memmap(target, np.int16, "r")
    planes = np.split(everything, np.cumsum(counts)[:-1] * 64)
    return Coefficients(frame, tuple(plane.reshape(shape) for plane, shape in zip(planes, shapes, strict=True)))


@cache
def library() -> str:
    """Where jpeglib's C library lies. jpeglib itself is not imported: its functions copy all coefficients twice."""
    found = importlib.util.find_spec("jpeglib")
    folders = found.submodule_search_locations if found else None
    for folder in folders or []:
        for path in (Path(folder) / "cjpeglib").glob(LIBRARY):
            return str(path)
    raise ModuleNotFoundError(f"jpeglib, with its {LIBRARY}, is not installed")


def scans(picture: Coefficients, tables: Sequence[tuple[int, int]], changes: Sequence[Change] = ()) -> Iterator[bytes]:
    """Huffman tables, scan headers and scan data with ``changes`` added: one scan where the standard allows that.

    ``tables`` are the numbers of the components' Huffman tables for DC and AC. Raises ``Unfit`` for coefficients that
    only a damaged file can have.
    """
    components = picture.frame.components
    size = sum(each.across * each.down for each in components)
    everything = list(range(len(components)))
    for parts in [everything] if size <= TOGETHER else [[index] for index in everything]:
        symbols = list(symbols_in(picture, parts, tables, changes))
        codes = codes_for(symbols)
        if not codes.legal:
            raise Unfit("its coefficients are out of range")
        yield segment_bytes(DHT, codes.tables)
        selected = [bytes([components[index].id, tables[index][0] << 4 | tables[index][1]]) for index in parts]
        yield segment_bytes(SOS, bytes([len(parts)]) + b"".join(selected) + bytes([0, 63, 0]))
        yield from coded(symbols, codes)


def symbols_in(
    picture: Coefficients, parts: Sequence[int], tables: Sequence[tuple[int, int]], changes: Sequence[Change]
) -> Iterator[Symbols]:
    """The symbols of one scan of the components ``parts``, some rows of MCUs at a time."""
    frame = picture.frame
    alone = len(parts) == 1
    shapes = [(1, 1) if alone else (frame.components[index].down, frame.components[index].across) for index in parts]
    rows, columns = picture.planes[parts[0]].shape[:2] if alone else frame.mcus[::-1]
    size = sum(down * across for down, across in shapes)
    step = max(1, AT_ONCE // (columns * size))
    last = [0] * len(parts)
    kinds = np.array(
        [tables[index] for index, shape in zip(parts, shapes, strict=True) for _ in range(shape[0] * shape[1])]
    )
    for row in range(0, rows, step):
        height = min(step, rows - row)
        units = np.empty((height * columns, size, 64), np.int16)
        place = 0
        for number, (index, (down, across)) in enumerate(zip(parts, shapes, strict=True)):
            part = changed_rows(picture.planes[index], index, row * down, height * down, changes)
            count = down * across
            ordered = in_units(part, height, columns, down, across)
            last[number] = differences(ordered, last[number])
            units[:, place : place + count] = ordered.reshape(-1, count, 64)
            place += count
        numbers = np.tile(kinds, (height * columns, 1)).astype(np.uint8)
        yield symbols_of(units.reshape(-1, 64), numbers[:, 0], numbers[:, 1])


def changed_rows(plane: Blocks, component: int, row: int, height: int, changes: Sequence[Change]) -> Blocks:
    """A copy of some rows of a component with the changes in them."""
    part = np.array(plane[row : row + height])
    for change in changes:
        first, end = max(row, change.row), min(row + part.shape[0], change.row + change.values.shape[0])
        if change.component != component or first >= end:
            continue
        added = change.values[first - change.row : end - change.row]
        view = part[first - row : end - row, change.column : change.column + added.shape[1]]
        total = np.clip(view.astype(np.int32) + added, -LARGEST, LARGEST)
        np.copyto(view, total.astype(np.int16), where=added != 0)
    return part


def in_units(part: Blocks, height: int, columns: int, down: int, across: int) -> Blocks:
    """Rows of blocks in the order of their MCUs, (n, 64) in zigzag order. What fills up an MCU has only a DC value."""
    missing = height * down - part.shape[0], columns * across - part.shape[1]
    if any(missing):
        whole = np.pad(part[..., :1], ((0, missing[0]), (0, missing[1]), (0, 0)), "edge")
        full = np.zeros((*whole.shape[:2], 64), np.int16)
        full[..., :1] = whole
        full[: part.shape[0], : part.shape[1]] = part
        part = full
    units = part.reshape(height, down, columns, across, 64).transpose(0, 2, 1, 3, 4)
    return np.take(units, ZIGZAG, axis=-1).reshape(-1, 64)


def differences(blocks: Blocks, last: int) -> int:
    """Turn each block's DC value into the difference to the block before; the last value."""
    values = blocks[:, 0].astype(np.int32)
    blocks[:, 0] = np.clip(np.diff(values, prepend=last), -32767, 32767)
    return int(values[-1])
