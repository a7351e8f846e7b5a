"""A page's segments: strips and tiles to samples and back, one by one.

Samples here are the stored ones, before they are turned, as numbers of this machine: (rows, columns, samples of the
segment), uint8 or uint16.
"""

from collections.abc import Iterator

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from stages.codec import decoder_faults
from stages.photo import FaultClass, PhotoFault
from stages.picture import Samples, Window
from stages.tiff import tags
from stages.tiff.directory import Flavour, Values
from stages.tiff.layout import Layout
from stages.tiff.lzw import possible

LEVEL = 6  # of Deflate and Zstandard, as most writers have it
SLACK = 128  # bytes that a PackBits segment may give too much: a pad byte is a run of its own


class Segments:
    """The segments of one page of the file in ``data``."""

    def __init__(self, data: NDArray[np.uint8], flavour: Flavour, layout: Layout) -> None:
        self._data = data
        self.layout = layout
        self._dtype = np.dtype(flavour.order + ("u2" if layout.bits == 16 else "u1"))

    @property
    def count(self) -> int:
        return self.layout.across * self.layout.down * self.layout.planes

    @property
    def old_lzw(self) -> bool:
        """Whether a segment is LZW as before TIFF 6.0, codes from the lowest bit on.

        libtiff takes all segments of a page for that if the first is.
        """
        return self.layout.compression == tags.LZW and any(self._old(index) for index in range(self.count))

    def _old(self, index: int) -> bool:
        start = int(self.layout.offsets[index])
        head = self._data[start : start + 2].tobytes()
        head = turned(head) if self.layout.reversed_bits else head
        return len(head) == 2 and head[0] == 0 and head[1] & 1 == 1

    def under(self, window: Window) -> Iterator[tuple[int, Window]]:
        """The segments that share pixels with a stored window, by index and with the window that each covers."""
        layout = self.layout
        x0, y0, x1, y1 = window
        for plane in range(layout.planes):
            for row in range(y0 // layout.rows, -(-y1 // layout.rows)):
                for column in range(x0 // layout.span, -(-x1 // layout.span)):
                    left, top = column * layout.span, row * layout.rows
                    right, bottom = min(left + layout.span, layout.width), min(top + layout.rows, layout.height)
                    yield (plane * layout.down + row) * layout.across + column, (left, top, right, bottom)

    def plane(self, index: int) -> slice:
        """Which samples of a pixel a segment holds."""
        layout = self.layout
        if not layout.planar:
            return slice(0, layout.samples)
        return slice(index // (layout.across * layout.down), index // (layout.across * layout.down) + 1)

    def read(self, window: Window, channels: int) -> Samples:
        """The first ``channels`` samples of each pixel of a stored window; segments may be views of the file."""
        x0, y0, x1, y1 = window
        found = np.empty((y1 - y0, x1 - x0, channels), self._dtype.newbyteorder("="))
        for index, (left, top, right, bottom) in self.under(window):
            plane = self.plane(index)
            if plane.start >= channels:
                break
            rows = slice(max(y0, top) - top, min(y1, bottom) - top)
            columns = slice(max(x0, left) - left, min(x1, right) - left)
            part = self.decoded(index)[rows, columns, : channels - plane.start]
            target = found[max(y0, top) - y0 :, max(x0, left) - x0 :, plane]
            target[: part.shape[0], : part.shape[1]] = part
        return found

    def decoded(self, index: int) -> Samples:
        """One segment, of all its rows and columns. Raises ``PhotoFault`` if it holds less than it should."""
        with decoder_faults():
            return self._decoded(index)

    def _decoded(self, index: int) -> Samples:
        layout = self.layout
        start = int(layout.offsets[index])
        content = self._data[start : start + int(layout.counts[index])]
        if layout.compression == tags.JPEG:
            return self._jpeg(content, layout.rows_of(index))
        size = layout.row_bytes * layout.rows_of(index)
        found = np.frombuffer(decompressed(content, layout, layout.row_bytes * layout.rows), np.uint8)
        if found.size < size:
            message = f"segment {index} holds {found.size} of {size} bytes"
            raise PhotoFault(FaultClass.TRUNCATED, message)
        rows = found[:size].reshape(layout.rows_of(index), -1)
        if layout.bits < 8:
            return unpacked(rows, layout.bits)[:, : layout.span, None]
        samples = rows.view(self._dtype).reshape(len(rows), layout.span, layout.together)
        if layout.predictor == 2:
            return np.asarray(imagecodecs.delta_decode(native(samples), axis=1))
        return samples

    def encoded(self, samples: Samples) -> bytes:
        """A segment's bytes, compressed as those of its page."""
        layout = self.layout
        if layout.predictor == 2:
            samples = np.asarray(imagecodecs.delta_encode(native(samples), axis=1))
        rows = np.ascontiguousarray(samples, self._dtype).view(np.uint8).reshape(len(samples), -1)
        content = compressed(rows, layout.compression)
        return turned(content) if layout.reversed_bits else bytes(content)

    def _jpeg(self, content: NDArray[np.uint8], rows: int) -> Samples:
        layout = self.layout
        if b"\xff\xd9" not in content[-4:].tobytes():
            raise PhotoFault(FaultClass.TRUNCATED, "a JPEG segment without its end")
        height, width = jpeg_size(content.tobytes())
        if height > layout.rows or width > layout.span:
            raise PhotoFault(FaultClass.CORRUPT, f"a JPEG segment of {width} x {height}")
        space = {tags.RGB: "RGB", tags.YCBCR: "YCBCR"}.get(layout.photometric)
        target = None if space is None else "RGB"
        found = imagecodecs.jpeg8_decode(
            content.tobytes(), tables=layout.tables, colorspace=space, outcolorspace=target
        )
        found = np.asarray(found).reshape(*found.shape[:2], -1)
        if found.shape[0] < rows or found.shape[1] < layout.span or found.shape[2] != layout.samples:
            raise PhotoFault(FaultClass.CORRUPT, f"a JPEG segment of {found.shape}")
        return found[:rows, : layout.span]


def jpeg_size(content: bytes) -> tuple[int, int]:
    """Height and width that a JPEG's frame header tells; (0, 0) if there is none (ITU-T T.81, B.1 and B.2.2)."""
    at = 2
    while at + 9 <= len(content) and content[at] == 0xFF:
        kind = content[at + 1]
        if 0xC0 <= kind <= 0xCF and kind not in {0xC4, 0xC8, 0xCC}:
            return int.from_bytes(content[at + 5 : at + 7]), int.from_bytes(content[at + 7 : at + 9])
        at += 1 if kind == 0xFF else 2 + int.from_bytes(content[at + 2 : at + 4])
    return 0, 0


def decompressed(content: NDArray[np.uint8], layout: Layout, most: int) -> Values:
    """A segment's bytes before predictor and byte order. No stream may give more than ``most`` bytes."""
    if layout.compression == tags.RAW and not layout.reversed_bits:
        return content
    stream = turned(content) if layout.reversed_bits else content.tobytes()
    match layout.compression:
        case tags.RAW:
            return stream
        case tags.LZW:
            return imagecodecs.lzw_decode(possible(stream), out=most)
        case tags.PACKBITS:
            return imagecodecs.packbits_decode(stream, out=most + SLACK)
        case tags.ZSTD:
            return imagecodecs.zstd_decode(stream, out=most)
        case _:
            return imagecodecs.deflate_decode(stream, out=most)


def compressed(rows: NDArray[np.uint8], compression: int) -> Values:
    """(rows, bytes) compressed as one segment. PackBits runs end with their row (TIFF 6.0, section 9)."""
    match compression:
        case tags.RAW:
            return rows.tobytes()
        case tags.LZW:
            return imagecodecs.lzw_encode(rows.tobytes())
        case tags.PACKBITS:
            return b"".join(bytes(imagecodecs.packbits_encode(row.tobytes())) for row in rows)
        case tags.ZSTD:
            return imagecodecs.zstd_encode(rows.tobytes(), level=LEVEL)
        case _:
            return imagecodecs.deflate_encode(rows.tobytes(), level=LEVEL)


def turned(content: Values) -> bytes:
    """The bytes with their bits in the other order (FillOrder 2)."""
    return bytes(imagecodecs.bitorder_decode(bytes(content)))


def native(samples: Samples) -> Samples:
    """The same numbers in this machine's byte order."""
    return np.ascontiguousarray(samples, samples.dtype.newbyteorder("="))


def unpacked(rows: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """Rows of bytes that hold several samples each, the first in the highest bits, to one a byte."""
    shifts = np.arange(8 - bits, -1, -bits, dtype=np.uint8)
    values = (rows[:, :, None] >> shifts) & np.uint8((1 << bits) - 1)
    return values.reshape(len(rows), -1)
