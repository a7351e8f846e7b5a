"""The headers of a BMP file (Microsoft Windows documentation: BITMAPFILEHEADER, BITMAPCOREHEADER to BITMAPV5HEADER)."""

import struct
from dataclasses import dataclass

from stages.photo import FaultClass, PhotoFault

FILE_HEADER = 14
CORE, INFO, MASKED, ALPHA_MASKED, OS2, V4, V5 = 12, 40, 52, 56, 64, 108, 124
KNOWN = frozenset({CORE, INFO, MASKED, ALPHA_MASKED, OS2, V4, V5})
PLAIN, RLE8, RLE4, BITFIELDS, ALPHA_BITFIELDS = 0, 1, 2, 3, 6
EMBEDDED = b"DEBM"  # the colour space "MBED": the profile stands in the file
USUAL_PLACES = (2, 1, 0)  # of red, green and blue in a pixel's bytes


@dataclass(frozen=True, slots=True)
class Header:
    """Where the pixels are and how they are packed. ``places`` are the bytes of red, green, blue (and alpha) in a
    pixel of 24 or 32 bits, (0,) for a grey of 8 bits; None where a pixel is not made of whole bytes.
    """

    width: int
    height: int
    top_down: bool
    bits: int
    compression: int
    size: int
    offset: int
    places: tuple[int, ...] | None
    palette: bytes  # blue, green, red, anything
    icc: bytes | None

    @property
    def stride(self) -> int:
        """Bytes of a row, filled up to whole words of 32 bits."""
        return (self.width * self.bits + 31) // 32 * 4

    @property
    def pixel_bytes(self) -> int:
        return self.stride * self.height

    @property
    def mode(self) -> str:
        if self.places:
            return {1: "L", 3: "RGB", 4: "RGBA"}[len(self.places)]
        return {1: "1", 16: "RGB;16"}.get(self.bits, "P")


def header_of(data: memoryview) -> Header:
    """Raises ``PhotoFault`` for headers that make no sense, and for kinds of BMP that only printers know."""
    if len(data) < FILE_HEADER + CORE:
        raise PhotoFault(FaultClass.TRUNCATED, "the file ends inside its headers")
    offset, size = struct.unpack_from("<II", data, 10)
    if len(data) < max(FILE_HEADER + size, offset):
        raise PhotoFault(FaultClass.TRUNCATED, "the file ends before its pixels")
    layout, place = ("<HHHH", 18) if size == CORE else ("<iiHHI", 18)
    width, height, planes, bits, *rest = struct.unpack_from(layout, data, place)
    compression = rest[0] if rest else PLAIN
    if size not in KNOWN or planes != 1 or width <= 0 or height == 0 or bits not in {1, 4, 8, 16, 24, 32}:
        raise PhotoFault(FaultClass.CORRUPT, "the headers hold values that no BMP has")
    if compression not in {PLAIN, RLE8, RLE4, BITFIELDS, ALPHA_BITFIELDS} or (size == OS2 and compression == BITFIELDS):
        raise PhotoFault(FaultClass.UNSUPPORTED, f"BMP compression {compression}")
    palette = palette_of(data, size, bits, offset)
    places = places_of(data, size, bits, compression, palette)
    icc = profile_of(data, size)
    return Header(width, abs(height), height < 0, bits, compression, size, offset, places, palette, icc)


def palette_of(data: memoryview, size: int, bits: int, offset: int) -> bytes:
    """The palette as four bytes a colour; empty where there is none."""
    if bits > 8:
        return b""
    used: int = 0 if size == CORE else struct.unpack_from("<I", data, FILE_HEADER + 32)[0]
    each = 3 if size == CORE else 4
    count = min(used or 2**bits, 2**bits, (offset - FILE_HEADER - size) // each)
    start = FILE_HEADER + size
    colours = bytes(data[start : start + each * max(0, count)])
    return colours if each == 4 else b"".join(colours[at : at + 3] + b"\0" for at in range(0, len(colours), 3))


def places_of(data: memoryview, size: int, bits: int, compression: int, palette: bytes) -> tuple[int, ...] | None:
    """See ``Header.places``."""
    if bits == 8 and compression == PLAIN:
        grey = b"".join(bytes([level, level, level]) for level in range(256))
        return (0,) if b"".join(palette[at : at + 3] for at in range(0, len(palette), 4)) == grey else None
    if bits in {24, 32} and compression == PLAIN:
        return USUAL_PLACES
    if bits != 32:
        return None
    count = 4 if size >= ALPHA_MASKED or compression == ALPHA_BITFIELDS else 3
    if len(data) < FILE_HEADER + INFO + 4 * count:
        raise PhotoFault(FaultClass.TRUNCATED, "the file ends inside its headers")
    masks = struct.unpack_from(f"<{count}I", data, FILE_HEADER + INFO)
    places = tuple(byte_of(mask) for mask in masks if mask)
    if len(places) < 3 or 0 in masks[:3] or -1 in places or len(set(places)) < len(places):
        raise PhotoFault(FaultClass.UNSUPPORTED, "a BMP whose colours are not whole bytes")
    return places


def byte_of(mask: int) -> int:
    """Which byte of a pixel a mask selects, -1 if it is not one whole byte."""
    return {0xFF: 0, 0xFF00: 1, 0xFF0000: 2, 0xFF000000: 3}.get(mask, -1)


def profile_of(data: memoryview, size: int) -> bytes | None:
    """The profile that a V5 header embeds."""
    if size != V5 or bytes(data[FILE_HEADER + 56 : FILE_HEADER + 60]) != EMBEDDED:
        return None
    start, length = struct.unpack_from("<II", data, FILE_HEADER + 112)
    found = bytes(data[FILE_HEADER + start : FILE_HEADER + start + length])
    return found if found and len(found) == length else None


def of_24_bits(data: memoryview, header: Header) -> bytes:
    """The headers of a file of 24 bits in place of another depth; resolution and colour space stay."""
    pixel_bytes = (header.width * 3 + 3) // 4 * 4 * header.height
    size = header.size if header.size in {CORE, INFO, V4, V5} else INFO
    own = bytearray(data[FILE_HEADER : FILE_HEADER + size])
    struct.pack_into("<I", own, 0, size)
    if size == CORE:
        struct.pack_into("<H", own, 10, 24)
    else:
        struct.pack_into("<ii", own, 4, header.width, -header.height if header.top_down else header.height)
        struct.pack_into("<HII", own, 14, 24, PLAIN, pixel_bytes)
        struct.pack_into("<II", own, 32, 0, 0)
    if size >= V4:
        own[40:56] = bytes(16)  # the masks
    profile = header.icc or b""
    if profile:
        struct.pack_into("<II", own, 112, size + pixel_bytes, len(profile))
    total = FILE_HEADER + size + pixel_bytes + len(profile)
    return struct.pack("<2sIHHI", b"BM", total, 0, 0, FILE_HEADER + size) + bytes(own)
