"""WebP: lossless stays lossless, lossy is encoded again; every chunk but the image and the XMP stays as it was.

Lossless files keep the colours under full transparency. The transparency of lossy files is lossless, too.
"""

import io
import struct
from collections.abc import Sequence

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stages.codec import decoder_faults
from stages.codecs.exif import made_upright, orientation_of
from stages.codecs.riff import Chunk, chunks_of, joined
from stages.codecs.whole import Kept
from stages.photo import FaultClass, PhotoFault
from stages.picture import Codec, Drawing, Edit, Page, Samples, Written, Xmp
from stages.turn import stored, stored_size
from stages.xmp import renewed

IMAGES = frozenset({b"VP8 ", b"VP8L"})
LAYERS = IMAGES | {b"ALPH"}
ICC, ALPHA, EXIF, XMP = 0x20, 0x10, 0x08, 0x04  # flags of the VP8X chunk
ALPHA_USED = 1 << 28  # in the header of a VP8L chunk
# Measured on group/10045.png written at quality 80: 95 gives 46.5 dB to the decoded photo in 1.7 times the bytes;
# 90 gives 44.3 dB in 1.2 times, 100 no more than 48.2 dB in 2.4 times (the halved chroma is lost again each time).
QUALITY = 95
EFFORT = 40  # lossless: 100 makes no smaller files than 40 and takes three times as long
LARGEST = 16383


class WebpPicture(Kept):
    """An opened WebP of one page."""

    format = "WEBP"

    def __init__(self, data: NDArray[np.uint8]) -> None:
        self._data = np.ascontiguousarray(data).data
        self._chunks, self._rest = chunks_of(self._data)
        if self._first(b"ANIM") or self._first(b"ANMF"):
            raise PhotoFault(FaultClass.UNSUPPORTED, "an animation")
        self._image = next((chunk for chunk in self._chunks if chunk.kind in IMAGES), None)
        if self._image is None:
            raise PhotoFault(FaultClass.CORRUPT, "no image data")
        self._size, self._lossless = size_of(self._image), self._image.kind == b"VP8L"
        self._page = self._described(self._image)
        super().__init__([self._page])

    def write(self, edits: Sequence[Edit], xmp: Xmp) -> Written:
        layers = [chunk for chunk in self._chunks if chunk.kind in LAYERS]
        changed = any(edit.mask.any() for edit in edits)
        if changed:
            edited = stored(self.edited(0, edits), self._page.orientation)
            layers = encoded(edited, self._lossless, self._page.alpha)
        packet, note = renewed(xmp, self._first(b"XMP "))
        chunks = self._with(layers, packet)
        content = joined(b"WEBP", chunks, self._rest)
        return Written(content, "recoded" if changed and not self._lossless else "lossless", self.format, note)

    def _with(self, layers: list[Chunk], packet: bytes | None) -> list[Chunk]:
        """The file's chunks with other image data and another packet, which stands where the old one stood."""
        first = next(chunk for chunk in self._chunks if chunk.kind in LAYERS)
        result: list[Chunk] = []
        for chunk in self._chunks:
            if chunk is first:
                result += layers
            elif chunk.kind == b"XMP " and packet:
                result.append(Chunk(b"XMP ", packet))
                packet = None
            elif chunk.kind not in LAYERS:
                result.append(chunk)
        if packet:
            last = max((at for at, chunk in enumerate(result) if chunk.kind in LAYERS | {b"EXIF"}), default=-1)
            result.insert(last + 1, Chunk(b"XMP ", packet))
        return self._extended(result)

    def _extended(self, chunks: list[Chunk]) -> list[Chunk]:
        """The chunks behind an extended header that announces the packet, if there is one."""
        old = self._first(b"VP8X")
        if not any(chunk.kind == b"XMP " for chunk in chunks):
            return chunks
        if old is None:
            return [header(*self._size, XMP | (ALPHA if self._page.alpha else 0)), *chunks]
        announcing = Chunk(b"VP8X", bytes([old[0] | XMP]) + old[1:])
        return [announcing if chunk.kind == b"VP8X" else chunk for chunk in chunks]

    def _first(self, kind: bytes) -> bytes | None:
        """The content of the first chunk of a kind."""
        return next((bytes(chunk.content) for chunk in self._chunks if chunk.kind == kind), None)

    def _described(self, image: Chunk) -> Page:
        extended = self._first(b"VP8X")
        if extended is not None and (len(extended) < 10 or canvas(extended) != self._size):
            raise PhotoFault(FaultClass.CORRUPT, "the picture is not as large as its canvas")
        if self._lossless:
            alpha = bool(struct.unpack_from("<I", image.content, 1)[0] & ALPHA_USED)
        else:
            alpha = self._first(b"ALPH") is not None or bool(extended and extended[0] & ALPHA)
        orientation = orientation_of(self._first(b"EXIF") or b"")
        width, height = stored_size(*self._size, orientation)
        mode = "RGBA" if alpha else "RGB"
        return Page(width, height, mode, "RGB", alpha, 8, orientation, self._first(b"ICCP") or None)

    def decoded(self, page: int, least: int | None) -> Samples:
        with decoder_faults():
            return imagecodecs.webp_decode(bytes(self._data), hasalpha=self._page.alpha)


def size_of(image: Chunk) -> tuple[int, int]:
    """Width and height that the image data give (RFC 6386, 9.1; WebP Lossless Bitstream Specification, 3)."""
    head = bytes(image.content[:10])
    if image.kind == b"VP8L" and len(head) >= 5 and head[0] == 0x2F:
        (bits,) = struct.unpack_from("<I", head, 1)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if image.kind == b"VP8 " and len(head) == 10 and head[3:6] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", head, 6)
        return width & 0x3FFF, height & 0x3FFF
    raise PhotoFault(FaultClass.CORRUPT, "the image data have no header")


def canvas(extended: bytes) -> tuple[int, int]:
    """Width and height in a VP8X chunk."""
    return int.from_bytes(extended[4:7], "little") + 1, int.from_bytes(extended[7:10], "little") + 1


def header(width: int, height: int, flags: int) -> Chunk:
    """A VP8X chunk."""
    sizes = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return Chunk(b"VP8X", bytes([flags, 0, 0, 0]) + sizes)


def encoded(samples: Samples, lossless: bool, alpha: bool) -> list[Chunk]:
    """The chunks of stored samples (h, w, 3 or 4)."""
    out = io.BytesIO()
    image = Image.fromarray(samples)
    quality = EFFORT if lossless else QUALITY
    image.save(out, "WEBP", lossless=lossless, quality=quality, method=4, exact=True, alpha_quality=100)
    layers = [chunk for chunk in chunks_of(out.getbuffer())[0] if chunk.kind in LAYERS]
    return [with_alpha_used(chunk) if alpha and lossless else chunk for chunk in layers]


def with_alpha_used(image: Chunk) -> Chunk:
    """Lossless image data that announce transparency, though all may be opaque: the encoder would drop it then."""
    content = bytearray(image.content)
    struct.pack_into("<I", content, 1, struct.unpack_from("<I", content, 1)[0] | ALPHA_USED)
    return Chunk(image.kind, bytes(content))


def create(drawing: Drawing) -> bytes:
    """A new lossless WebP: RGB or RGBA of 8 bits; grey becomes RGB."""
    samples = drawing.samples
    height, width = samples.shape[:2]
    if drawing.space == "CMYK" or samples.dtype != np.uint8 or max(width, height) > LARGEST:
        message = f"WebP holds 8-bit RGB of at most {LARGEST} x {LARGEST} pixels"
        raise PhotoFault(FaultClass.UNWRITABLE, message)
    if drawing.space == "L":
        samples = np.concatenate([samples[..., :1]] * 3 + [samples[..., 1:]], axis=2)
    exif = made_upright(drawing.exif) if drawing.exif else None
    parts = {b"ICCP": drawing.icc, b"EXIF": exif, b"XMP ": drawing.xmp}
    extra = [Chunk(kind, content) for kind, content in parts.items() if content]
    layers = encoded(np.ascontiguousarray(samples), lossless=True, alpha=drawing.alpha)
    bits = {b"ICCP": ICC, b"EXIF": EXIF, b"XMP ": XMP}
    flags = sum(bits[chunk.kind] for chunk in extra) | (ALPHA if drawing.alpha else 0)
    before = [chunk for chunk in extra if chunk.kind == b"ICCP"]
    after = [chunk for chunk in extra if chunk.kind != b"ICCP"]
    return joined(b"WEBP", [header(width, height, flags), *before, *layers, *after])


def sniff(head: bytes) -> bool:
    return head[:4] == b"RIFF" and head[8:12] == b"WEBP"


CODEC = Codec("WEBP", (".webp",), sniff, WebpPicture, create)
