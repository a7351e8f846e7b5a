"""The chunks of a RIFF file (WebP Container Specification)."""

import struct
from dataclasses import dataclass

from stages.photo import FaultClass, PhotoFault

MAX_CHUNKS = 10_000  # more is no photo's


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk's name and content, without its padding byte."""

    kind: bytes
    content: bytes | memoryview

    def whole(self) -> list[bytes | memoryview]:
        """The chunk as it stands in a file."""
        size = len(self.content)
        return [struct.pack("<4sI", self.kind, size), self.content, bytes(size % 2)]


def chunks_of(data: memoryview) -> tuple[list[Chunk], memoryview]:
    """All chunks, and what stands behind them. Raises ``PhotoFault`` for a file that ends before it says it does."""
    stop = 8 + struct.unpack_from("<I", data, 4)[0] if len(data) >= 12 else len(data) + 1
    if stop > len(data):
        raise PhotoFault(FaultClass.TRUNCATED, "the file ends before the size that it gives")
    found: list[Chunk] = []
    place = 12
    while place + 8 <= stop:
        kind, size = struct.unpack_from("<4sI", data, place)
        if place + 8 + size > stop or len(found) == MAX_CHUNKS:
            raise PhotoFault(FaultClass.CORRUPT, "a chunk is larger than the file, or there are too many")
        found.append(Chunk(kind, data[place + 8 : place + 8 + size]))
        place += 8 + size + size % 2
    return found, data[stop:]


def joined(form: bytes, chunks: list[Chunk], rest: bytes | memoryview = b"") -> bytes:
    """A file of chunks."""
    pieces = [piece for chunk in chunks for piece in chunk.whole()]
    return b"".join([b"RIFF", struct.pack("<I", 4 + sum(map(len, pieces))), form, *pieces, rest])
