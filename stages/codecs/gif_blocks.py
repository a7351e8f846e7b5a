"""The blocks of a GIF file (GIF89a Specification, 17 to 27)."""

import struct
from dataclasses import dataclass, field

from stages.photo import FaultClass, PhotoFault

IMAGE, EXTENSION, TRAILER = 0x2C, 0x21, 0x3B
CONTROL, COMMENT, APPLICATION = 0xF9, 0xFE, 0xFF
XMP_TRAILER = b"\x01\xff\xfe\xfd"  # the start of 258 bytes that lead a reader of blocks out of the packet


@dataclass(slots=True)
class Blocks:
    """What stands in a GIF beside its pixels."""

    width: int
    height: int
    frames: int = 0
    transparent: bool = False
    comments: list[bytes] = field(default_factory=list[bytes])
    xmp: bytes | None = None
    icc: bytes | None = None


class Walk:
    """One way through a file. Raises ``PhotoFault`` where it ends early or leaves the format."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._place = 0

    def blocks(self) -> Blocks:
        self._take(6)
        width, height, flags = struct.unpack("<HHBxx", self._take(7))
        self._take(table_size(flags))
        found = Blocks(width, height)
        while (kind := self._take(1)[0]) != TRAILER:
            if kind == IMAGE:
                self._image(found)
            elif kind == EXTENSION:
                self._extension(found)
            else:
                raise PhotoFault(FaultClass.CORRUPT, f"no block at byte {self._place - 1}")
        if not found.frames:
            raise PhotoFault(FaultClass.CORRUPT, "no image data")
        return found

    def _take(self, count: int) -> bytes:
        start, self._place = self._place, self._place + count
        if self._place > len(self._data):
            raise PhotoFault(FaultClass.TRUNCATED, "the file ends before its trailer")
        return bytes(self._data[start : self._place])

    def _image(self, found: Blocks) -> None:
        found.frames += 1
        flags = self._take(9)[8]
        self._take(table_size(flags) + 1)
        self._skip()

    def _extension(self, found: Blocks) -> None:
        label = self._take(1)[0]
        start = self._place
        self._skip()
        raw = bytes(self._data[start : self._place])
        if label == CONTROL and len(raw) >= 6 and not found.frames:
            found.transparent = bool(raw[1] & 1)
        elif label == COMMENT:
            found.comments.append(joined(raw))
        elif label == APPLICATION and raw[1:12] == b"XMP DataXMP" and found.xmp is None:
            found.xmp = raw[12 : raw.rfind(XMP_TRAILER)] if XMP_TRAILER in raw else None
        elif label == APPLICATION and raw[1:12] == b"ICCRGBG1012" and found.icc is None:
            found.icc = joined(raw[12:]) or None

    def _skip(self) -> None:
        """Over a row of sub-blocks and the zero behind them."""
        while length := self._take(1)[0]:
            self._take(length)


def table_size(flags: int) -> int:
    """Bytes of the colour table that a descriptor's flags announce."""
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def joined(raw: bytes) -> bytes:
    """The content of a row of sub-blocks."""
    pieces: list[bytes] = []
    place = 0
    while place < len(raw) and raw[place]:
        pieces.append(raw[place + 1 : place + 1 + raw[place]])
        place += 1 + raw[place]
    return b"".join(pieces)
