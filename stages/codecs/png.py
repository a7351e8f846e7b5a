"""PNG: every chunk stays byte for byte but the image data and the XMP; samples of 8 and 16 bits stay what they are.

The embedded profile (iCCP) tells the colours; gAMA and cHRM without one are kept, but not acted on. Orientation is
that of the eXIf chunk. A palette becomes RGB(A) and a grey of 2 or 4 bits one of 8 where a face was changed; interlaced
files come out without interlacing. Apple's iDOT chunk, a table of places in the image data, is dropped.
"""

from collections.abc import Sequence
from dataclasses import replace

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from stages.codec import decoder_faults
from stages.codecs.exif import made_upright, orientation_of
from stages.codecs.png_chunks import (
    SIGNATURE,
    Chunk,
    body,
    chunks_of,
    is_xmp,
    made,
    packet_chunk,
    packet_of,
    profile_chunk,
    profile_of,
    resolution_chunk,
)
from stages.codecs.png_image import image_data
from stages.codecs.png_layout import (
    GREY,
    GREY_ALPHA,
    PALETTE,
    RGB,
    RGB_ALPHA,
    Layout,
    colour_key,
    expanded,
    header_of,
    layout_of,
    refitted,
    with_key_kept,
)
from stages.codecs.whole import Kept
from stages.photo import FaultClass, PhotoFault
from stages.picture import Codec, Drawing, Edit, Page, Samples, Written, Xmp
from stages.turn import stored, stored_size
from stages.xmp import renewed

END = made(b"IEND", b"")


class PngPicture(Kept):
    """An opened PNG of one page."""

    format = "PNG"

    def __init__(self, data: NDArray[np.uint8]) -> None:
        self._data = np.ascontiguousarray(data).data
        self._chunks = chunks_of(self._data)
        if self._chunks[0].kind != b"IHDR":
            raise PhotoFault(FaultClass.CORRUPT, "the first chunk is not the header")
        self._firsts = {chunk.kind: chunk for chunk in reversed(self._chunks)}
        self._layout = layout_of(self._first(b"IHDR"))
        refuse_animation(self._chunks, self._first(b"acTL"))
        self._page = self._described()
        super().__init__([self._page])

    def write(self, edits: Sequence[Edit], xmp: Xmp) -> Written:
        old = next((chunk for chunk in self._chunks if is_xmp(self._data, chunk)), None)
        packet, note = renewed(lambda _: xmp(packet_of(body(self._data, old)) if old else None), None)
        record = packet_chunk(packet) if packet else b""
        if any(edit.mask.any() for edit in edits):
            encoded = image_data(self._edited(edits))
            layout = expanded(self._layout, self._page.alpha)
        else:
            encoded, layout = None, self._layout
        pieces: list[bytes | memoryview] = [SIGNATURE]
        for chunk in self._chunks:
            if chunk.kind == b"IDAT" and not old:
                pieces.append(record)
            pieces.append(record if chunk is old and record else self._rewritten(chunk, layout, encoded))
        pieces.append(self._data[self._chunks[-1].stop :])
        way = "converted" if encoded is not None and self._layout.expands else "lossless"
        return Written(b"".join(pieces), way, self.format, note)

    def _rewritten(self, chunk: Chunk, layout: Layout, encoded: bytes | None) -> bytes | memoryview:
        """A chunk as it stands in the result."""
        whole = self._data[chunk.start : chunk.stop]
        if chunk.kind == b"iDOT":
            return b""
        if encoded is None:
            return whole
        if chunk.kind == b"IDAT":
            return encoded
        if chunk.kind == b"IHDR":
            return made(b"IHDR", header_of(layout))
        if self._layout.expands:
            content = body(self._data, chunk)
            refit = refitted(self._layout, chunk.kind, content, self._first(b"PLTE"))
            return b"" if refit is None else whole if refit == content else made(chunk.kind, refit)
        return whole

    def _first(self, kind: bytes) -> bytes:
        """The content of the first chunk of a kind, empty if there is none."""
        return body(self._data, self._firsts[kind]) if kind in self._firsts else b""

    def _described(self) -> Page:
        layout, profile, exif = self._layout, self._first(b"iCCP"), self._first(b"eXIf")
        orientation = orientation_of(exif)
        width, height = stored_size(layout.width, layout.height, orientation)
        return Page(
            width,
            height,
            layout.mode,
            "L" if layout.kind in {GREY, GREY_ALPHA} else "RGB",
            layout.kind in {GREY_ALPHA, RGB_ALPHA} or (layout.kind == PALETTE and bool(self._first(b"tRNS"))),
            max(8, layout.depth),
            orientation,
            profile_of(profile) if profile else None,
            "bilevel" if layout.depth == 1 else "",
        )

    def decoded(self, page: int, least: int | None) -> Samples:
        """Stored samples (h, w, channels). The decoder gets what it needs and no more: no colour key, no profile."""
        needed = {b"IHDR", b"IDAT"} | ({b"PLTE", b"tRNS"} if self._layout.kind == PALETTE else set[bytes]())
        pieces = [self._data[chunk.start : chunk.stop] for chunk in self._chunks if chunk.kind in needed]
        with decoder_faults():
            samples = imagecodecs.png_decode(b"".join([SIGNATURE, *pieces, END]))
        return samples.reshape(self._layout.height, self._layout.width, self._page.channels)

    def _edited(self, edits: Sequence[Edit]) -> Samples:
        """All samples in stored orientation, transparent where the file is."""
        key = colour_key(self._layout, self._first(b"tRNS"))
        if key is not None:
            edits = [
                replace(edit, samples=with_key_kept(self.window(0, edit.window), edit.samples, key)) for edit in edits
            ]
        return stored(self.edited(0, edits), self._page.orientation)


def refuse_animation(chunks: Sequence[Chunk], control: bytes) -> None:
    """An animation has frames beside its first picture; one frame alone is a photo."""
    if int.from_bytes(control[:4], "big") > 1 or any(chunk.kind == b"fdAT" for chunk in chunks):
        raise PhotoFault(FaultClass.UNSUPPORTED, "an animation")


def create(drawing: Drawing) -> bytes:
    """A new PNG of 8 or 16 bits: L, LA, RGB or RGBA."""
    if drawing.space == "CMYK":
        raise PhotoFault(FaultClass.UNWRITABLE, "PNG holds no CMYK")
    height, width = drawing.samples.shape[:2]
    kind = (GREY, GREY_ALPHA)[drawing.alpha] if drawing.space == "L" else (RGB, RGB_ALPHA)[drawing.alpha]
    layout = Layout(width, height, 16 if drawing.samples.dtype == np.uint16 else 8, kind, interlaced=False)
    pieces: list[bytes | memoryview] = [SIGNATURE, made(b"IHDR", header_of(layout))]
    pieces += [profile_chunk(drawing.icc)] if drawing.icc else []
    pieces += [resolution_chunk(drawing.dpi)] if drawing.dpi else []
    pieces += [made(b"eXIf", made_upright(drawing.exif))] if drawing.exif else []
    pieces += [packet_chunk(drawing.xmp)] if drawing.xmp else []
    return b"".join([*pieces, image_data(np.ascontiguousarray(drawing.samples)), END])


CODEC = Codec("PNG", (".png",), lambda head: head.startswith(SIGNATURE), PngPicture, create)
