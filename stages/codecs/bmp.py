"""BMP: pixels of whole bytes are replaced in place, all else stays byte for byte; other kinds become 24 bits.

Whole bytes are 24 and 32 bits, and 8 bits with a palette that is the grey ramp. A fourth byte that is no alpha is left
as it is. There is no place for XMP, so the record of the edit is in the manifest alone.
"""

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stages.codec import decoder_faults
from stages.codecs.bmp_header import FILE_HEADER, KNOWN, RLE4, RLE8, Header, header_of, of_24_bits
from stages.codecs.whole import Kept
from stages.photo import FaultClass, PhotoFault
from stages.picture import Codec, Edit, Page, Samples, Written, Xmp

NOTE = "BMP holds no XMP: the record of the edit is in the manifest alone"


class BmpPicture(Kept):
    """An opened BMP."""

    format = "BMP"

    def __init__(self, data: NDArray[np.uint8]) -> None:
        self._data = np.ascontiguousarray(data)
        self._header = header_of(self._data.data)
        header = self._header
        packed = header.compression in {RLE8, RLE4}
        if not packed and header.offset + header.pixel_bytes > self._data.size:
            raise PhotoFault(FaultClass.TRUNCATED, "the file ends before its last row")
        grey, alpha = header.mode == "L", header.mode == "RGBA"
        passed = "bilevel" if header.bits == 1 else ""
        space = "L" if grey else "RGB"
        super().__init__([Page(header.width, header.height, header.mode, space, alpha, icc=header.icc, passed=passed)])

    def write(self, edits: Sequence[Edit], xmp: Xmp) -> Written:
        changes = [edit for edit in edits if edit.mask.any()]
        if not changes:
            return Written(self._data.tobytes(), "lossless", self.format, NOTE)
        if self._header.places:
            return Written(self._replaced(self._header.places, changes), "segments", self.format, NOTE)
        return Written(self._converted(changes), "converted", self.format, NOTE)

    def _replaced(self, places: tuple[int, ...], edits: Sequence[Edit]) -> bytes:
        """The file's bytes with other pixels where the masks say so."""
        content = self._data.copy()
        pixels = pixels_of(content, self._header)
        for edit in edits:
            x0, y0, x1, y1 = edit.window
            window = pixels[y0:y1, x0:x1]
            for channel, place in enumerate(places):
                window[..., place][edit.mask] = edit.samples[..., channel][edit.mask]
        return content.tobytes()

    def _converted(self, edits: Sequence[Edit]) -> bytes:
        """A file of 24 bits."""
        samples = self.edited(0, edits)
        height, width = samples.shape[:2]
        rows = np.zeros((height, (width * 3 + 3) // 4 * 4), np.uint8)
        rows[:, : width * 3] = (samples if self._header.top_down else samples[::-1])[..., ::-1].reshape(height, -1)
        return of_24_bits(self._data.data, self._header) + rows.tobytes() + (self._header.icc or b"")

    def decoded(self, page: int, least: int | None) -> Samples:
        header = self._header
        if header.places:
            return pixels_of(self._data, header)[..., list(header.places)]
        with decoder_faults():
            try:
                image = Image.open(io.BytesIO(self._data.data), formats=["BMP"]).convert("RGB")
            except ValueError as error:  # Pillow's word for run lengths that end early
                raise PhotoFault(FaultClass.TRUNCATED, str(error)) from error
        return np.asarray(image)


def pixels_of(data: NDArray[np.uint8], header: Header) -> NDArray[np.uint8]:
    """A file's pixels of whole bytes, (h, w, bytes of a pixel), the top row first: a view."""
    size = header.bits // 8
    rows = data[header.offset : header.offset + header.pixel_bytes].reshape(header.height, header.stride)
    pixels = rows[:, : header.width * size].reshape(header.height, header.width, size)
    return pixels if header.top_down else pixels[::-1]


def sniff(head: bytes) -> bool:
    return head[:2] == b"BM" and int.from_bytes(head[FILE_HEADER : FILE_HEADER + 4], "little") in KNOWN


CODEC = Codec("BMP", (".bmp", ".dib"), sniff, BmpPicture)
