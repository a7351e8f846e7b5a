"""A photo's file as the stages see it: pages of samples in, the same file with other samples in a few windows out.

A codec (``stages/codecs``) opens a file's bytes and gives a ``Picture``. Samples are the file's own: its colour space,
depth and channels, turned upright. Nothing is decoded before somebody asks for it, and nothing but the windows that
were edited is encoded again where the format allows that.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.uint8 | np.uint16]
Bits = NDArray[np.bool_]
Window = tuple[int, int, int, int]  # x0, y0, x1, y1 in upright pixels, the ends excluded
Space = Literal["L", "RGB", "CMYK"]
Xmp = Callable[[bytes | None], bytes]  # the file's XMP packet, or None, to the packet with the record of the edit


@dataclass(frozen=True, slots=True)
class Page:
    """The facts of one page, known before its samples are decoded.

    ``width`` and ``height`` are upright. Samples are (height, width, channels): the colour channels of ``space``, then
    alpha where there is one; uint8 where ``depth`` is at most 8, else uint16 over the whole range 0..65535. CMYK is
    ink: 0 is none. With ``premultiplied`` alpha the colours are stored times alpha. ``mode`` names the stored form as
    people know it ("RGB", "LA", "P", "I;16", "CMYK", "1").
    ``passed`` says why this page is handed through untouched; empty if it is worked on.
    """

    width: int
    height: int
    mode: str
    space: Space = "RGB"
    alpha: bool = False
    depth: int = 8
    orientation: int = 1
    icc: bytes | None = None
    passed: str = ""
    premultiplied: bool = False

    @property
    def channels(self) -> int:
        return {"L": 1, "RGB": 3, "CMYK": 4}[self.space] + self.alpha


@dataclass(frozen=True, slots=True)
class Edit:
    """New samples (y1 - y0, x1 - x0, channels) for a window of a page; ``mask`` (y1 - y0, x1 - x0) is where they count.

    Where ``mask`` is False the samples are those of the file. Edits of one page do not overlap.
    """

    page: int
    window: Window
    samples: Samples
    mask: Bits


@dataclass(frozen=True, slots=True)
class Written:
    """A result. ``way`` says how it was made, ``note`` what else there is to know of it.

    "dct": only the JPEG blocks under the edits changed. "segments": only the strips or tiles under them.
    "lossless": all samples encoded again, none lost. "recoded": all samples encoded again, with loss.
    "converted": another format or depth than the photo's.
    """

    content: bytes
    way: Literal["dct", "segments", "lossless", "recoded", "converted"]
    format: str
    note: str = ""


class Raster(Protocol):
    """Pages of samples that can be looked at, from a file or from memory."""

    pages: Sequence[Page]

    def samples(self, page: int, least: int | None = None) -> Samples:
        """The samples of a page, (h, w, channels), upright. With ``least`` they may be smaller than the page, reduced
        by the decoder, as long as the longer side keeps ``least`` pixels; the aspect stays but for rounding.
        """
        ...

    def window(self, page: int, window: Window) -> Samples:
        """The samples of one window of a page, as they stand in ``samples(page)``; may be a view of them."""
        ...


class Picture(Raster, Protocol):
    """An opened file. Its methods raise ``PhotoFault`` for what is wrong with the file."""

    format: str

    def let_go(self) -> None:
        """Give up what is kept of large pages; who asks for samples afterwards has them decoded again."""
        ...

    def write(self, edits: Sequence[Edit], xmp: Xmp) -> Written:
        """The file with the edits in it and all else as it was: size, depth, channels, orientation tag, profile,
        resolution, metadata; the XMP packet alone becomes ``xmp`` of what it was, where the format can hold one.
        """
        ...


@dataclass(frozen=True, slots=True)
class Drawing:
    """What a new file is made of. ``samples`` are (h, w, channels), upright as seen: the file gets orientation 1.

    ``exif`` is a block as in a JPEG's APP1 without its "Exif\\0\\0"; whoever writes it sets its orientation to 1.
    """

    samples: Samples
    space: Space
    alpha: bool
    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Codec:
    """One format. A file in ``stages/codecs`` that defines ``CODEC`` is known by that alone.

    ``sniff`` gets the first 64 bytes. ``open`` reads headers only and raises ``PhotoFault``: ``unsupported`` (with the
    reason) for what could not come out as it went in. ``create`` makes a new file, for those formats that are offered
    as an output.
    """

    name: str
    suffixes: tuple[str, ...]
    sniff: Callable[[bytes], bool]
    open: Callable[[NDArray[np.uint8]], Picture]
    create: Callable[[Drawing], bytes] | None = None
    becomes: str | None = None  # the format that a result has where it cannot be this one: GIF becomes PNG
