"""JPEG 2000, in JP2 boxes or as a raw codestream: samples are encoded again without loss, all other boxes stay.

Pixels are shown as they are stored: an orientation in the EXIF box is not honoured, as no common reader of the format
does. Samples of 2 to 15 bit are shown over the whole range of 8 or 16 and go back to the very same values.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stages.codecs.whole import Kept
from stages.jpeg2000.boxes import INDEXES, SIGNATURE, XMP, Box, Colours, boxes_in, colours_of, framed, natural
from stages.jpeg2000.codestream import START, Stream, decoded, encoded, narrowed, stream_of, widened
from stages.photo import FaultClass, PhotoFault
from stages.picture import Codec, Edit, Page, Samples, Space, Written, Xmp
from stages.xmp import renewed

UNSAID = Colours(None, None, ())


class Jpeg2000(Kept):
    """An opened JPEG 2000 file. See ``stages.picture.Picture``. ``boxes`` are none for a raw codestream."""

    format = "JPEG2000"

    def __init__(self, data: NDArray[np.uint8], boxes: Sequence[Box], stream: Stream, page: Page) -> None:
        super().__init__([page])
        self._data = data
        self._boxes = boxes
        self._stream = stream

    def write(self, edits: Sequence[Edit], xmp: Xmp) -> Written:
        old = codestream_in(self._data, self._boxes)
        new, note = old.tobytes(), ""
        if any(edit.mask.any() for edit in edits):
            new = encoded(narrowed(self.edited(0, edits), self._stream.bits), self._stream)
            note = "" if self._stream.reversible else f"lossy became lossless: {len(new) / old.size:.1f} times the size"
        if not self._boxes:
            return Written(new, "lossless", self.format, joined(note, "a raw codestream holds no XMP"))
        content, unread = self._boxed(new, xmp)
        return Written(content, "lossless", self.format, joined(note, unread))

    def decoded(self, page: int, least: int | None) -> Samples:
        return widened(decoded(codestream_in(self._data, self._boxes), self._stream), self._stream.bits)

    def _boxed(self, stream: bytes, xmp: Xmp) -> tuple[bytes, str]:
        """The file with another codestream and XMP packet, and a note; a new packet's box goes before the stream's."""
        old = next((box for box in self._boxes if self._is_xmp(box)), None)
        packet, note = renewed(xmp, None if old is None else self._data[old.start + 16 : old.end].tobytes())
        record = b"" if packet is None else framed(b"uuid", XMP + packet)
        pieces: list[bytes] = []
        for box in self._boxes:
            if box.kind == b"jp2c":
                pieces += [record] if old is None else []
                pieces.append(framed(b"jp2c", stream))
            else:
                pieces.append(record if box is old else self._data[box.at : box.end].tobytes())
        return b"".join([*pieces, self._data[self._boxes[-1].end :].tobytes()]), note

    def _is_xmp(self, box: Box) -> bool:
        return box.kind == b"uuid" and self._data[box.start : box.start + 16].tobytes() == XMP


def opened(data: NDArray[np.uint8]) -> Jpeg2000:
    """The file with its header read. Raises ``PhotoFault``; see ``stages.picture.Codec``."""
    boxes = [] if data[:4].tobytes() == START else boxes_in(data, 0, data.size)
    colours = colours_of(data, header_of(data, boxes)) if boxes else UNSAID
    stream = stream_of(codestream_in(data, boxes))
    return Jpeg2000(data, boxes, stream, page_of(stream, colours))


def header_of(data: NDArray[np.uint8], boxes: Sequence[Box]) -> Box:
    """The JP2 header box, if the file is one picture that can be put back."""
    kinds = [box.kind for box in boxes]
    brand = next((data[box.start : box.start + 4].tobytes() for box in boxes if box.kind == b"ftyp"), b"jp2 ")
    if brand not in {b"jp2 ", b"jpx "} or b"ftbl" in kinds or kinds.count(b"jp2c") > 1:
        raise PhotoFault(FaultClass.UNSUPPORTED, "JPEG 2000 of several pictures, or of another kind than JP2 and JPX")
    if INDEXES & set(kinds):
        raise PhotoFault(FaultClass.UNSUPPORTED, "JPEG 2000 with an index of its codestream")
    if b"jp2h" not in kinds or b"jp2c" not in kinds:
        raise PhotoFault(FaultClass.TRUNCATED, "JPEG 2000 without a header or a codestream")
    return boxes[kinds.index(b"jp2h")]


def codestream_in(data: NDArray[np.uint8], boxes: Sequence[Box]) -> NDArray[np.uint8]:
    return next((data[box.start : box.end] for box in boxes if box.kind == b"jp2c"), data)


def page_of(stream: Stream, colours: Colours) -> Page:
    space: Space = colours.space or ("L" if stream.components < 3 else "RGB")
    count = {"L": 1, "RGB": 3}[space]
    if stream.components - count not in {0, 1} or not natural(colours.channels, count):
        raise PhotoFault(FaultClass.UNSUPPORTED, f"JPEG 2000 of {stream.components} channels in an unusual order")
    alpha = stream.components > count
    base = ("LA" if alpha else "L") if space == "L" else "RGBA" if alpha else "RGB"
    deep = f"I;{stream.bits}" if base == "L" else f"{base};{stream.bits}"
    return Page(
        width=stream.width,
        height=stream.height,
        mode="1" if stream.bits == 1 else base if stream.bits == 8 else deep,
        space=space,
        alpha=alpha,
        depth=max(8, stream.bits),
        icc=colours.icc,
        passed="bilevel" if stream.bits == 1 else "",
    )


def joined(*notes: str) -> str:
    return "; ".join(note for note in notes if note)


def is_jpeg2000(head: bytes) -> bool:
    return head.startswith((SIGNATURE, START))


CODEC = Codec("JPEG2000", (".jp2", ".j2k", ".jpx", ".jpf", ".j2c", ".jpc"), is_jpeg2000, opened)
