"""Boxes of the ISO base media file format (ISO/IEC 14496-12, 4.2)."""

import struct
from dataclasses import dataclass

from stages.photo import FaultClass, PhotoFault

MAX_BOXES = 10_000


@dataclass(frozen=True, slots=True)
class Box:
    """A box: its kind, and where it starts, where its content starts and where it stops."""

    kind: bytes
    start: int
    content: int
    stop: int


def boxes_of(data: memoryview, start: int, stop: int) -> list[Box]:
    """The boxes between two places. Raises ``PhotoFault`` for one that runs over the end."""
    found: list[Box] = []
    while start < stop:
        if start + 8 > stop or len(found) == MAX_BOXES:
            raise PhotoFault(FaultClass.CORRUPT, f"no box at byte {start}")
        size, kind = struct.unpack_from(">I4s", data, start)
        content = start + 8
        if size == 1 and start + 16 <= stop:
            size, content = struct.unpack_from(">Q", data, start + 8)[0], start + 16
        end = stop if size == 0 else start + size
        if end > stop:
            raise PhotoFault(FaultClass.TRUNCATED, f"the file ends inside a box {kind.decode('latin-1')}")
        if end < content:
            raise PhotoFault(FaultClass.CORRUPT, f"no box at byte {start}")
        found.append(Box(kind, start, content, end))
        start = end
    return found


def brands(head: bytes) -> set[bytes]:
    """The brands that the first bytes of a file name; none if it is no such file."""
    if len(head) < 12 or head[4:8] != b"ftyp":
        return set()
    stop = min(len(head), int.from_bytes(head[:4], "big"))
    return {head[8:12]} | {head[at : at + 4] for at in range(16, stop - 3, 4)}


def made(kind: bytes, *content: bytes | memoryview) -> bytes:
    """A new box."""
    return b"".join([struct.pack(">I4s", 8 + sum(map(len, content)), kind), *content])


def resized(data: memoryview, box: Box, removed: int) -> bytes:
    """A box's header for a content that is shorter by so many bytes; one without a size gets one."""
    size = box.stop - box.start - removed
    if box.content - box.start == 16:
        return struct.pack(">I4sQ", 1, box.kind, size)
    if size >= 2**32:
        raise PhotoFault(FaultClass.UNSUPPORTED, "a box of more than 4 GiB without a size")
    return struct.pack(">I4s", size, box.kind) + bytes(data[box.start + 8 : box.content])
