"""The chunks of a PNG file: where they stand, and their making (PNG specification, third edition, 5 and 11)."""

import struct
import zlib
from collections.abc import Generator
from dataclasses import dataclass

from stages.photo import FaultClass, PhotoFault
from stages.xmp import UnreadablePacketError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
XMP_KEYWORD = b"XML:com.adobe.xmp"
MAX_CHUNKS = 100_000  # image data apart; more is no photo's metadata
MAX_INFLATED = 32_000_000  # bytes of one inflated profile or packet


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk, or a run of image data. ``start`` and ``stop`` hold its length and checksum, too."""

    kind: bytes
    start: int
    stop: int


def chunks_of(data: memoryview) -> list[Chunk]:
    """All chunks of a file up to its end chunk; their checksums are right but for those of the image data.

    Raises ``PhotoFault`` for a file that ends before its end chunk, and for one that is no row of chunks.
    """
    found: list[Chunk] = []
    for chunk in walk(data):
        if chunk.kind == b"IDAT" and found and found[-1].kind == b"IDAT":
            found[-1] = Chunk(b"IDAT", found[-1].start, chunk.stop)
            continue
        if chunk.kind == b"IDAT" and any(each.kind == b"IDAT" for each in found):
            raise PhotoFault(FaultClass.CORRUPT, "other chunks stand between the image data")
        if len(found) > MAX_CHUNKS:
            raise PhotoFault(FaultClass.CORRUPT, f"more than {MAX_CHUNKS} chunks")
        found.append(chunk)
    if not any(each.kind == b"IDAT" for each in found):
        raise PhotoFault(FaultClass.CORRUPT, "no image data")
    return found


def walk(data: memoryview) -> Generator[Chunk]:
    """Chunk by chunk, each whole and named."""
    place = len(SIGNATURE)
    while True:
        if place + 12 > len(data):
            raise PhotoFault(FaultClass.TRUNCATED, "the file ends before its end chunk")
        length, kind = struct.unpack_from(">I4s", data, place)
        if not kind.isalpha():
            raise PhotoFault(FaultClass.CORRUPT, f"no chunk at byte {place}")
        chunk = Chunk(kind, place, place + 12 + length)
        if chunk.stop > len(data):
            raise PhotoFault(FaultClass.TRUNCATED, f"the file ends inside a chunk {kind.decode()}")
        if kind != b"IDAT" and not checksum_holds(data, chunk):
            raise PhotoFault(FaultClass.CORRUPT, f"the checksum of a chunk {kind.decode()} is wrong")
        yield chunk
        if kind == b"IEND":
            return
        place = chunk.stop


def checksum_holds(data: memoryview, chunk: Chunk) -> bool:
    expected: int = struct.unpack_from(">I", data, chunk.stop - 4)[0]
    return zlib.crc32(data[chunk.start + 4 : chunk.stop - 4]) == expected


def body(data: memoryview, chunk: Chunk) -> bytes:
    """A chunk's content."""
    return bytes(data[chunk.start + 8 : chunk.stop - 4])


def made(kind: bytes, content: bytes) -> bytes:
    """A new chunk."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def inflated(content: bytes) -> bytes | None:
    """What a zlib stream holds; None if it is damaged or holds too much."""
    stream = zlib.decompressobj()
    try:
        result = stream.decompress(content, MAX_INFLATED)
    except zlib.error:
        return None
    return result if stream.eof else None


def profile_of(content: bytes) -> bytes | None:
    """The profile in an iCCP chunk: name, zero, method, zlib stream."""
    _, _, rest = content.partition(b"\0")
    return inflated(rest[1:])


def profile_chunk(icc: bytes) -> bytes:
    return made(b"iCCP", b"ICC profile\0\0" + zlib.compress(icc))


def is_xmp(data: memoryview, chunk: Chunk) -> bool:
    start = chunk.start + 8
    return chunk.kind == b"iTXt" and bytes(data[start : start + 18]) == XMP_KEYWORD + b"\0"


def packet_of(content: bytes) -> bytes:
    """The XMP packet in an iTXt chunk: keyword, 0, whether compressed, method, language, 0, keyword, 0, text."""
    compressed = content[len(XMP_KEYWORD) + 1 : len(XMP_KEYWORD) + 2] == b"\1"
    texts = content[len(XMP_KEYWORD) + 3 :].split(b"\0", 2)
    if len(texts) < 3:
        raise UnreadablePacketError("its chunk is damaged")
    found = inflated(texts[2]) if compressed else texts[2]
    if found is None:
        raise UnreadablePacketError("its chunk cannot be inflated")
    return found


def packet_chunk(packet: bytes) -> bytes:
    return made(b"iTXt", XMP_KEYWORD + bytes(5) + packet)


def text_chunk(keyword: bytes, text: bytes) -> bytes:
    """Text of unknown or Latin-1 encoding."""
    return made(b"tEXt", keyword + b"\0" + text.replace(b"\0", b""))


def resolution_chunk(dpi: tuple[float, float]) -> bytes:
    """Dots an inch as dots a metre."""
    across, down = (max(1, round(value / 0.0254)) for value in dpi)
    return made(b"pHYs", struct.pack(">IIB", across, down, 1))
