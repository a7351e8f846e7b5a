"""How a PNG stores its samples, and what becomes of chunks that depend on it (PNG specification, third edition, 11)."""

import struct
from dataclasses import dataclass, replace

import numpy as np

from stages.photo import FaultClass, PhotoFault
from stages.picture import Samples

GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6
DEPTHS = {
    GREY: {1, 2, 4, 8, 16},
    RGB: {8, 16},
    PALETTE: {1, 2, 4, 8},
    GREY_ALPHA: {8, 16},
    RGB_ALPHA: {8, 16},
}
MODES = {GREY: "L", RGB: "RGB", PALETTE: "P", GREY_ALPHA: "LA", RGB_ALPHA: "RGBA"}


@dataclass(frozen=True, slots=True)
class Layout:
    """The header chunk."""

    width: int
    height: int
    depth: int
    kind: int
    interlaced: bool

    @property
    def mode(self) -> str:
        if self.depth == 1:
            return "1" if self.kind == GREY else "P"
        if self.depth == 16:
            return "I;16" if self.kind == GREY else f"{MODES[self.kind]};16"
        return MODES[self.kind]

    @property
    def expands(self) -> bool:
        """Whether edited samples no longer fit: palettes, and greys of fewer than 8 bits."""
        return self.kind == PALETTE or self.depth < 8


def layout_of(header: bytes) -> Layout:
    """Raises ``PhotoFault`` for a header that no PNG has."""
    if len(header) != 13:
        raise PhotoFault(FaultClass.CORRUPT, "the header chunk has the wrong length")
    width, height, depth, kind, compression, filters, interlace = struct.unpack(">IIBBBBB", header)
    known = depth in DEPTHS.get(kind, set[int]()) and (compression, filters) == (0, 0) and interlace in {0, 1}
    if not (known and 0 < width < 2**31 and 0 < height < 2**31):
        raise PhotoFault(FaultClass.CORRUPT, "the header chunk holds values that no PNG has")
    return Layout(width, height, depth, kind, bool(interlace))


def header_of(layout: Layout) -> bytes:
    return struct.pack(">IIBBBBB", layout.width, layout.height, layout.depth, layout.kind, 0, 0, int(layout.interlaced))


def expanded(layout: Layout, alpha: bool) -> Layout:
    """The layout with 8 bits or more, without a palette and without interlacing."""
    if layout.kind == PALETTE:
        return replace(layout, depth=8, kind=RGB_ALPHA if alpha else RGB, interlaced=False)
    return replace(layout, depth=max(8, layout.depth), interlaced=False)


def scale_of(layout: Layout) -> int:
    """What a grey level is multiplied with to fill 8 bits."""
    return 255 // (2**layout.depth - 1) if layout.depth < 8 else 1


def colour_key(layout: Layout, content: bytes) -> tuple[int, ...] | None:
    """The colour that a tRNS chunk makes transparent, in samples as they are decoded; None for palettes."""
    channels = {GREY: 1, RGB: 3}.get(layout.kind)
    if channels is None or len(content) != 2 * channels:
        return None
    values = struct.unpack(f">{channels}H", content)
    return tuple((value & (2**layout.depth - 1)) * scale_of(layout) for value in values)


def with_key_kept(old: Samples, new: Samples, key: tuple[int, ...]) -> Samples:
    """New samples (h, w, channels) with which the same pixels are transparent as with the old ones.

    What has the key's colour keeps it; what would take it on differs from it by one level of its last channel.
    """
    was = (old == np.array(key)).all(axis=2)
    takes = (new == np.array(key)).all(axis=2) & ~was
    if not (was.any() or takes.any()):
        return new
    result = new.copy()
    result[was] = np.array(key, new.dtype)
    result[takes, -1] = key[-1] - 1 if key[-1] == np.iinfo(new.dtype).max else key[-1] + 1
    return result


def refitted(layout: Layout, kind: bytes, content: bytes, palette: bytes) -> bytes | None:
    """The content of a chunk that depends on a layout which is expanded; None where it has lost its meaning."""
    if layout.kind == PALETTE:
        if kind == b"bKGD" and content and len(palette) >= 3 * content[0] + 3:
            return struct.pack(">HHH", *palette[3 * content[0] : 3 * content[0] + 3])
        return None if kind in {b"PLTE", b"tRNS", b"hIST", b"sBIT", b"bKGD"} else content
    if kind in {b"tRNS", b"bKGD"} and len(content) == 2:
        return struct.pack(">H", (struct.unpack(">H", content)[0] & (2**layout.depth - 1)) * scale_of(layout))
    return content
