"""A result's file: the photo's own with the edits in it, or a new one where it was to have another format or size."""

import io
import struct
from dataclasses import dataclass

import numpy as np
from PIL import Image

from stages.canvas import Canvas, common, moved, view
from stages.codec import all_codecs, one_line
from stages.colour import rounded_levels
from stages.photo import FaultClass, Output, Photo, PhotoFault
from stages.picture import Codec, Drawing, Edit, Page, Picture, Samples, Window, Written, Xmp

AROUND = 32  # pixels around an edit in which a changed JPEG block can show
REFUSED = (OSError, ValueError, TypeError, OverflowError, struct.error)  # what libraries raise for odd metadata
SUFFIXES = {"PNG": ".png", "TIFF": ".tif", "JPEG": ".jpg", "WEBP": ".webp"}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What results are to be: ``format`` is the name of a codec, or None for the photo's own."""

    scale: int = 1
    format: str | None = None


def produce(photo: Photo, picture: Picture, wanted: Wanted, xmp: Xmp) -> tuple[bytes, Output]:
    """The file of a photo with edits, and how it came to be. Raises ``PhotoFault`` (unwritable)."""
    new = wanted.scale > 1 or wanted.format not in {None, picture.format}
    try:
        written = drawn(photo, picture, wanted, xmp) if new else picture.write(photo.edits, xmp)
    except REFUSED as error:
        raise PhotoFault(FaultClass.UNWRITABLE, one_line(error)) from error
    outside = 0 if new else largest_outside(photo, picture, written)
    return written.content, Output(written.way, written.format, wanted.scale, outside, written.note)


def suffix_of(output: Output, photo_format: str | None) -> str:
    """What is added to a photo's path where its result has another format: "a.gif" becomes "a.gif.png"."""
    return "" if output.format == (photo_format or "") else SUFFIXES[output.format]


def largest_outside(photo: Photo, picture: Picture, written: Written) -> int:
    """The largest change of a sample outside the masks, in levels of the photo's depth."""
    if written.way not in {"dct", "recoded"}:
        return 0
    again = all_codecs()[written.format].open(np.frombuffer(written.content, np.uint8))
    return max((largest_in(picture, again, edits, written.way) for edits in by_page(photo.edits)), default=0)


def by_page(edits: tuple[Edit, ...]) -> list[list[Edit]]:
    return [[edit for edit in edits if edit.page == page] for page in sorted({edit.page for edit in edits})]


def largest_in(before: Picture, after: Picture, edits: list[Edit], way: str) -> int:
    """The same on one page: around the edits where nothing else can have changed, else all over it."""
    page = before.pages[edits[0].page]
    whole = (0, 0, page.width, page.height)
    windows = [widened(edit.window, page) for edit in edits] if way == "dct" else [whole]
    largest = 0
    for window in windows:
        old, new = before.window(edits[0].page, window), after.window(edits[0].page, window)
        change = np.abs(old.astype(np.int32) - new).max(axis=2)
        for edit in edits:
            hide(change, edit, window)
        largest = max(largest, int(change.max(initial=0)))
    return largest


def widened(window: Window, page: Page) -> Window:
    x0, y0, x1, y1 = window
    return max(0, x0 - AROUND), max(0, y0 - AROUND), min(page.width, x1 + AROUND), min(page.height, y1 + AROUND)


def hide(change: Samples, edit: Edit, window: Window) -> None:
    """Take out of ``change``, in a window, what lies in the mask of an edit."""
    x0, y0, x1, y1 = common(edit.window, window)
    if x0 < x1 and y0 < y1:
        inside = view(edit.mask, moved((x0, y0, x1, y1), edit.window))
        view(change, moved((x0, y0, x1, y1), window))[inside] = 0


def drawn(photo: Photo, picture: Picture, wanted: Wanted, xmp: Xmp) -> Written:
    """A new file with the photo's pixels and metadata."""
    if len(picture.pages) > 1:
        raise PhotoFault(FaultClass.UNWRITABLE, "a file of several pages cannot get another format")
    codec = codec_for(picture, wanted)
    canvas = Canvas(picture, 0, photo.edits)
    samples = canvas.samples((0, 0, canvas.width, canvas.height))
    drawing, note = fitted(samples, canvas, codec, photo, xmp)
    if codec.create is None:
        raise RuntimeError(f"{codec.name} cannot be made anew")
    lossy = codec.name == "JPEG"
    way = "converted" if codec.name != picture.format else "recoded" if lossy else "lossless"
    return Written(codec.create(drawing), way, codec.name, note)


def codec_for(picture: Picture, wanted: Wanted) -> Codec:
    """The codec of a new file: the one that was asked for, else the photo's own, else PNG."""
    own = all_codecs()[wanted.format or picture.format]
    return own if own.create else all_codecs()["PNG"]


def fitted(samples: Samples, canvas: Canvas, codec: Codec, photo: Photo, xmp: Xmp) -> tuple[Drawing, str]:
    """The samples as ``codec`` can hold them, and what they lost."""
    page, notes = canvas.facts, list[str]()
    space, icc = page.space, page.icc
    if page.alpha and codec.name == "JPEG":
        raise PhotoFault(FaultClass.UNWRITABLE, "JPEG has no transparency")
    if (space == "CMYK" and codec.name in {"PNG", "WEBP"}) or (space == "L" and codec.name == "WEBP"):
        levels = rounded_levels(canvas.colour.to_srgb(samples), page.depth)
        alpha = samples[..., -1:] if page.alpha else samples[..., :0]
        samples = np.concatenate([levels, alpha], axis=2)
        notes += [f"{space} became sRGB"]
        space, icc = "RGB", None
    if samples.dtype == np.uint16 and codec.name in {"JPEG", "WEBP"}:
        samples = np.rint(samples / 257).astype(np.uint8)
        notes.append("16 bit became 8 bit")
    exif, packet, dpi = metadata(photo)
    drawing = Drawing(samples, space, page.alpha, icc, exif, xmp(packet), dpi)
    return drawing, "; ".join(notes)


def metadata(photo: Photo) -> tuple[bytes | None, bytes | None, tuple[float, float] | None]:
    """EXIF, XMP and resolution of the photo's file, as far as Pillow reads them."""
    if photo.data is None:
        return None, None, None
    try:
        with Image.open(io.BytesIO(photo.data.tobytes())) as opened:
            exif, packet, dpi = (opened.info.get(key) for key in ("exif", "xmp", "dpi"))
    except REFUSED:
        return None, None, None
    exif = exif.removeprefix(b"Exif\0\0") if isinstance(exif, bytes) else None
    return exif, packet if isinstance(packet, bytes) else None, resolution(dpi)


def resolution(dpi: object) -> tuple[float, float] | None:
    """Both resolutions as finite, positive floats, or None."""
    try:
        across, down = (float(value) for value in dpi)  # type: ignore[attr-defined] # a broken tag may hold anything
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return (across, down) if 0 < across < 1e6 and 0 < down < 1e6 else None
