"""The boxes of a JP2 or JPX file (ITU-T T.800, annex I): where they lie, and what they say of the colours."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stages.photo import FaultClass, PhotoFault
from stages.picture import Space

SIGNATURE = b"\x00\x00\x00\x0cjP  \r\n\x87\n"
XMP = bytes.fromhex("BE7ACFCB97A942E89C71999491E3AFAC")
INDEXES = frozenset({b"cidx", b"fidx", b"iptr"})  # JPIP's: they hold places in the codestream
ENUMERATED: dict[int, Space] = {16: "RGB", 17: "L"}
COLOURS = {12: "CMYK", 14: "CIELab", 18: "sYCC"}
PROFILES: dict[bytes, Space] = {b"RGB ": "RGB", b"GRAY": "L"}
MOST = 10_000  # boxes of a file


@dataclass(frozen=True, slots=True)
class Box:
    """A box from ``at`` to ``end``; its content begins at ``start``."""

    kind: bytes
    at: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Colours:
    """What a file says of its channels: ``space`` and ``icc`` of its first readable colour specification."""

    space: Space | None
    icc: bytes | None
    channels: tuple[tuple[int, int, int], ...]


def boxes_in(data: NDArray[np.uint8], start: int, end: int) -> list[Box]:
    """The boxes between two places of ``data``. Zeros after the last are no box. ``PhotoFault`` if one is cut."""
    found: list[Box] = []
    at = start
    while at + 8 <= end and data[at : at + 8].any():
        head = data[at : at + 16].tobytes()
        size, kind, content = int.from_bytes(head[:4]), head[4:8], at + 8
        if size == 1:
            size, content = int.from_bytes(head[8:16]), at + 16
        upto = at + size if size else end
        if upto < content or len(found) == MOST:
            raise PhotoFault(FaultClass.CORRUPT, f"a box of {size} bytes, or too many boxes")
        if upto > end:
            raise PhotoFault(FaultClass.TRUNCATED, f"the box {kind!r} ends after the file does")
        found.append(Box(kind, at, content, upto))
        at = upto
    return found


def colours_of(data: NDArray[np.uint8], header: Box) -> Colours:
    """What the boxes in the JP2 header box say. ``PhotoFault`` (unsupported) for colours that are not worked on."""
    parts = boxes_in(data, header.start, header.end)
    if any(box.kind in {b"pclr", b"cmap"} for box in parts):
        raise PhotoFault(FaultClass.UNSUPPORTED, "JPEG 2000 with a palette")
    space, icc = None, None
    for box in parts:
        if box.kind == b"colr" and space is None:
            space, icc = colour(data[box.start : box.end].tobytes())
    definitions = next((data[box.start : box.end].tobytes() for box in parts if box.kind == b"cdef"), b"")
    words = np.frombuffer(definitions[2 : 2 + (len(definitions) - 2) // 6 * 6], ">u2") if len(definitions) > 8 else []
    channels = tuple((int(a), int(b), int(c)) for a, b, c in np.reshape(words, (-1, 3)))
    return Colours(space, icc, channels)


def colour(content: bytes) -> tuple[Space | None, bytes | None]:
    """Space and profile of one colour specification box; neither if it is of a method that nobody has to read."""
    if len(content) < 3:
        raise PhotoFault(FaultClass.CORRUPT, "a colour specification without a method")
    if content[0] == 1:
        number = int.from_bytes(content[3:7])
        if number not in ENUMERATED:
            raise PhotoFault(FaultClass.UNSUPPORTED, f"JPEG 2000 in {COLOURS.get(number, f'colour space {number}')}")
        return ENUMERATED[number], None
    if content[0] in {2, 3}:
        if content[19:23] not in PROFILES:
            raise PhotoFault(FaultClass.UNSUPPORTED, "JPEG 2000 with a profile of neither grey nor RGB")
        return PROFILES[content[19:23]], content[3:]
    return None, None


def natural(channels: Sequence[tuple[int, int, int]], colours: int) -> bool:
    """Whether the channel definitions say: first the colours in their order, then at most one alpha for all of them."""
    for number, meaning, of in channels:
        fits = meaning == 0 and of == number + 1 if number < colours else meaning in {1, 2} and of == 0
        if not fits:
            return False
    return True


def framed(kind: bytes, content: bytes) -> bytes:
    """A box with its head."""
    size = len(content) + 8
    if size < 1 << 32:
        return size.to_bytes(4) + kind + content
    return (1).to_bytes(4) + kind + (size + 8).to_bytes(8) + content
