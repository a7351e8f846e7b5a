"""JPEG without a generation loss: only the DCT coefficients under the edits change, all others keep their bits.

Every marker segment stays as it was but for the XMP packet; progressive files stay progressive. Where coefficients
cannot be replaced, the whole photo is encoded again with its own tables and sampling, and the note says why.
"""

import io
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import mozjpeg_lossless_optimization as mozjpeg
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile, get_sampling

from stages.codec import decoder_faults
from stages.codecs.exif import made_upright, orientation_of
from stages.codecs.whole import Kept
from stages.jpeg.change import Changer, mixing
from stages.jpeg.coefficients import Change, Coefficients, read, scans
from stages.jpeg.segments import (
    APP1,
    DQT,
    EOI,
    EXIF,
    PROGRESSIVE,
    SOI,
    XMP,
    XMP_MOST,
    Coding,
    Frame,
    Segment,
    Unfit,
    bare,
    before_scans,
    coding_of,
    end_of_first,
    frame_header,
    frame_of,
    has_others,
    icc_of,
    is_adobe,
    is_exif,
    is_jfif,
    is_xmp,
    segment_bytes,
    walk,
)
from stages.jpeg.tables import check_fit, huffman_tables, quantisation
from stages.photo import FaultClass, PhotoFault
from stages.picture import Codec, Drawing, Edit, Page, Samples, Space, Window, Written, Xmp
from stages.turn import stored, stored_size, stored_window, upright
from stages.xmp import renewed

START, END = bytes([0xFF, SOI]), bytes([0xFF, EOI])
SPACES: dict[int, Space] = {1: "L", 3: "RGB", 4: "CMYK"}
SEQUENTIAL = frozenset({0xC0, 0xC1})
EXTENDED = 0xC1  # sequential with any tables
QUALITY = 95
OTHERS = "the index of the further images in the file (MPF) is as it was, though they may lie elsewhere now"


class JpegPicture(Kept):
    """An opened JPEG; of a file of several (MPO) the first one, the others stay behind it."""

    format = "JPEG"

    def __init__(self, data: NDArray[np.uint8]) -> None:
        self._data = np.ascontiguousarray(data).data
        self._segments = tuple(walk(self._data))
        self._head = before_scans(self._segments)
        self._frame = frame_of(self._segments, self._data)
        check_supported(self._frame)
        self._coding: Coding = coding_of(self._frame, self._head, self._data)
        self._adobe = any(is_adobe(segment, self._data) for segment in self._head)
        self._page = described(self._frame, self._head, self._data)
        super().__init__([self._page])
        self._read: Coefficients | None = None

    def window(self, page: int, window: Window) -> Samples:
        """Of a large photo only the blocks around the window are decoded; the samples are the same."""
        if self.by_windows(page):
            with suppress(Unfit):
                return self._decoded_window(window)
        return super().window(page, window)

    def write(self, edits: Sequence[Edit], xmp: Xmp) -> Written:
        try:
            body = self._with_changes([edit for edit in edits if edit.mask.any()])
            way, note = "dct", ""
        except Unfit as reason:
            body = self._encoded_again(edits)
            way, note = "recoded", f"encoded again as a whole: {reason}"
        place, packet, full = self._packet(xmp)
        moved = OTHERS if has_others(self._head, self._data) else ""
        notes = "; ".join(each for each in (note, full, moved) if each)
        return Written(self._joined(place, packet, body), way, self.format, notes)

    def _packet(self, xmp: Xmp) -> tuple[tuple[int, int], bytes, str]:
        """Which bytes of the file make way for the segment of the new XMP packet, the segment, and a note."""
        old = next((segment for segment in self._head if is_xmp(segment, self._data)), None)
        place = old.start if old else end_of_first(self._head)
        packet, note = renewed(xmp, old.payload(self._data)[len(XMP) :] if old else None)
        if packet is None:
            return (place, place), b"", note
        if len(packet) > XMP_MOST:
            return (place, place), b"", "XMP is full: it is left as it is, without the record of the edit"
        return (place, old.end if old else place), segment_bytes(APP1, XMP + packet), note

    def _joined(self, place: tuple[int, int], packet: bytes, body: Sequence[bytes | memoryview] | None) -> bytes:
        """The file with another packet and, if there is one, another ``body`` (from its tables to its end marker)."""
        if body is None:
            return b"".join([self._data[: place[0]], packet, self._data[place[1] :]])
        metadata = [segment for segment in self._segments if segment.metadata]
        before = [segment.whole(self._data) for segment in metadata if segment.start < place[0]]
        after = [segment.whole(self._data) for segment in metadata if segment.start >= place[1]]
        return b"".join([START, *before, packet, *after, *body, self._data[self._segments[-1].end :]])

    def _with_changes(self, edits: Sequence[Edit]) -> Sequence[bytes | memoryview] | None:
        """The image data with the edits in them; None if the file's own already say the same."""
        if not edits:
            return None
        check_fit(self._frame, self._segments, self._data)
        steps = quantisation(self._segments, self._data)
        changer = Changer(self._frame, mixing(self._coding, self._adobe), steps)
        changes = [change for edit in edits for change in self._changes(edit, changer)]
        if not changes:
            return None
        body = self._sequential(self._coefficients(), changes)
        if self._frame.marker != PROGRESSIVE:
            return body
        try:
            progressive = mozjpeg.optimize(b"".join([START, *body]))
        except ValueError as error:
            raise Unfit(f"its scans cannot be made progressive again: {error}") from error
        return bare_parts(memoryview(progressive))

    def _sequential(self, picture: Coefficients, changes: Sequence[Change] = ()) -> list[bytes]:
        """Tables, frame header, scans and end marker of a sequential JPEG."""
        marker = self._frame.marker if self._frame.marker in SEQUENTIAL else EXTENDED
        tables = [segment.whole(self._data) for segment in self._segments if segment.marker == DQT]
        coded = scans(picture, huffman_tables(self._frame, self._segments, self._data), changes)
        return [*tables, frame_header(replace(picture.frame, marker=marker)), *coded, END]

    def _changes(self, edit: Edit, changer: Changer) -> list[Change]:
        old = self.window(edit.page, edit.window)
        difference = np.subtract(edit.samples, old, dtype=np.int16)
        difference[~edit.mask] = 0
        page = self._page
        x0, y0, _, _ = stored_window(edit.window, page.width, page.height, page.orientation)
        return changer.changes(x0, y0, stored(difference, page.orientation))

    def _coefficients(self) -> Coefficients:
        """All coefficients; kept, for they are in no memory of this process as long as nobody looks at them."""
        if self._read is None:
            check_fit(self._frame, self._segments, self._data)
            self._read = read([START, *bare(self._data, self._segments)], self._frame)
        return self._read

    def decoded(self, page: int, least: int | None) -> Samples:
        """All samples, as they are stored, reduced by 2, 4 or 8 where ``least`` allows it."""
        with decoder_faults(), JpegImageFile(io.BytesIO(self._data)) as image:
            longer = max(image.size)
            factor = next((each for each in (8, 4, 2) if least and -(-longer // each) >= least), 1)
            if factor > 1:
                image.draft(None, (max(1, image.width // factor), max(1, image.height // factor)))
            image.load()
            return self._as_samples(image)

    def _decoded_window(self, window: Window) -> Samples:
        """The samples of one window, by way of a small JPEG of its blocks and those around it."""
        page = self._page
        x0, y0, x1, y1 = stored_window(window, page.width, page.height, page.orientation)
        left, top, right, bottom = around((x0, y0, x1, y1), self._frame)
        part = self._coefficients().cut((left, top, right, bottom))
        marks = [each for each in self._head if is_jfif(each, self._data) or is_adobe(each, self._data)]
        small = b"".join([START, *(each.whole(self._data) for each in marks), *self._sequential(part)])
        with decoder_faults(), JpegImageFile(io.BytesIO(small)) as image:
            image.load()
            samples = self._as_samples(image)[y0 - top : y1 - top, x0 - left : x1 - left]
        return upright(samples, page.orientation)

    def _as_samples(self, image: Image.Image) -> Samples:
        """Pillow's pixels. It takes all CMYK for Adobe's, which is stored upside down."""
        samples = np.asarray(image)
        if samples.ndim == 2:
            samples = samples[..., None]
        return 255 - samples if self._page.space == "CMYK" and not self._adobe else samples

    def _encoded_again(self, edits: Sequence[Edit]) -> Sequence[bytes | memoryview]:
        """The image data of all samples, with the file's own quantisation, and its sampling where Pillow has it."""
        if self._coding == "ycck":
            raise PhotoFault(FaultClass.UNWRITABLE, "YCCK cannot be encoded again")
        samples = stored(self.edited(0, edits), self._page.orientation)
        if self._page.space == "CMYK" and not self._adobe:
            samples = 255 - samples
        with JpegImageFile(io.BytesIO(self._data)) as source:
            tables, sampling = source.quantization, get_sampling(source)
        out = io.BytesIO()
        image_of(samples, self._page.space).save(
            out,
            "JPEG",
            qtables=tables,
            subsampling=max(0, sampling),
            progressive=self._frame.marker == PROGRESSIVE,
            optimize=True,
            keep_rgb=self._coding == "rgb",
        )
        return bare_parts(out.getbuffer())


def bare_parts(data: memoryview) -> list[memoryview]:
    """From the tables to the end marker of a file that was just written."""
    return bare(data, tuple(walk(data)))


def check_supported(frame: Frame) -> None:
    """Raises ``PhotoFault`` for the kinds of JPEG that Pillow does not decode."""
    if frame.marker not in SEQUENTIAL | {PROGRESSIVE}:
        raise PhotoFault(FaultClass.UNSUPPORTED, f"a JPEG of the rare kind {frame.marker:02X}: arithmetic or lossless")
    if frame.precision != 8:
        raise PhotoFault(FaultClass.UNSUPPORTED, f"a JPEG of {frame.precision} bits")
    if len(frame.components) not in SPACES:
        raise PhotoFault(FaultClass.UNSUPPORTED, f"a JPEG of {len(frame.components)} components")


def described(frame: Frame, segments: Sequence[Segment], data: memoryview) -> Page:
    """The facts of the page."""
    exif = next((segment.payload(data) for segment in segments if is_exif(segment, data)), b"")
    orientation = orientation_of(exif)
    width, height = stored_size(frame.width, frame.height, orientation)
    space = SPACES[len(frame.components)]
    return Page(width, height, space, space, False, 8, orientation, icc_of(segments, data))


def around(window: Window, frame: Frame) -> Window:
    """The MCUs of a window and one more on each side, for chroma is interpolated between blocks."""
    x0, y0, x1, y1 = window
    width, height = frame.mcu
    right, bottom = (-(-x1 // width) + 1) * width, (-(-y1 // height) + 1) * height
    left, top = max(0, x0 // width - 1) * width, max(0, y0 // height - 1) * height
    return left, top, min(frame.width, right), min(frame.height, bottom)


def image_of(samples: Samples, space: Space) -> Image.Image:
    """Samples (h, w, channels) uint8 as Pillow has them."""
    height, width = samples.shape[:2]
    return Image.frombuffer(space, (width, height), np.ascontiguousarray(samples), "raw", space, 0, 1)


def create(drawing: Drawing) -> bytes:
    """A new JPEG of quality 95 with whole chroma. CMYK is written as Adobe does."""
    if drawing.samples.dtype != np.uint8 or drawing.alpha:
        raise PhotoFault(FaultClass.UNWRITABLE, "JPEG holds 8 bits and no transparency")
    if drawing.xmp and len(drawing.xmp) > XMP_MOST:
        raise PhotoFault(FaultClass.UNWRITABLE, "the XMP packet is too large for a JPEG")
    out = io.BytesIO()
    image_of(drawing.samples, drawing.space).save(
        out,
        "JPEG",
        quality=QUALITY,
        subsampling=0,
        optimize=True,
        icc_profile=drawing.icc,
        exif=EXIF + made_upright(drawing.exif) if drawing.exif else b"",
        xmp=drawing.xmp or b"",
        dpi=drawing.dpi or (0, 0),
    )
    return out.getvalue()


def sniff(head: bytes) -> bool:
    return head.startswith(START + b"\xff")


CODEC = Codec("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"), sniff, JpegPicture, create)
