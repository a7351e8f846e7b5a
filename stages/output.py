"""A result's file: the photo's own with the edits in it, or a new one where it was to have another format or size."""

import io
import struct
import warnings
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from stages.canvas import Canvas, bands, common, moved, view
from stages.codec import all_codecs, one_line
from stages.colour import rounded_levels
from stages.photo import FaultClass, Output, Photo, PhotoFault
from stages.picture import Codec, Drawing, Edit, Page, Picture, Samples, Window, Written, Xmp
from stages.xmp import renewed

AROUND = 32  # pixels around an edit in which a changed JPEG block can show
REFUSED = (OSError, ValueError, TypeError, OverflowError, struct.error)  # what libraries raise for odd metadata
DESCRIBING = tuple(
    getattr(ExifTags.Base, name)
    for name in ("ImageDescription", "Make", "Model", "Software", "DateTime", "Artist", "Copyright", "HostComputer")
)
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
    windows = [widened(edit.window, page) for edit in edits] if way == "dct" else [(0, 0, page.width, page.height)]
    parts = [band for window in windows for band in bands(window)]
    return max(largest_at(before, after, edits, part) for part in parts)


def largest_at(before: Picture, after: Picture, edits: list[Edit], window: Window) -> int:
    """The same in one window."""
    change = cv2.absdiff(before.window(edits[0].page, window), after.window(edits[0].page, window))
    change = change.reshape(window[3] - window[1], window[2] - window[0], -1).max(axis=2)
    for edit in edits:
        hide(change, edit, window)
    return int(change.max(initial=0))


def widened(window: Window, page: Page) -> Window:
    x0, y0, x1, y1 = window
    return max(0, x0 - AROUND), max(0, y0 - AROUND), min(page.width, x1 + AROUND), min(page.height, y1 + AROUND)


def hide(change: NDArray[np.generic], edit: Edit, window: Window) -> None:
    """Take out of ``change``, in a window, what lies in the mask of an edit."""
    x0, y0, x1, y1 = common(edit.window, window)
    if x0 < x1 and y0 < y1:
        inside = view(edit.mask, moved((x0, y0, x1, y1), edit.window))
        view(change, moved((x0, y0, x1, y1), window))[inside] = 0


def drawn(photo: Photo, picture: Picture, wanted: Wanted, xmp: Xmp) -> Written:
    """A new file with the photo's pixels and metadata."""
    if not single(picture):
        raise PhotoFault(FaultClass.UNWRITABLE, "a file of several pages cannot get another format")
    codec = codec_for(picture, wanted)
    drawing, notes = fitted(Canvas(photo.enlarged or picture, 0, photo.edits), codec)
    exif, old, dpi = metadata(photo)
    packet, note = renewed(xmp, old)
    drawing = replace(drawing, exif=exif, xmp=None if note else packet, dpi=dpi)
    if codec.create is None:
        raise RuntimeError(f"{codec.name} cannot be made anew")
    same = codec.name == picture.format and not picture.pages[0].mode.startswith("P")
    way = "converted" if not same else "recoded" if codec.name == "JPEG" else "lossless"
    return Written(codec.create(drawing), way, codec.name, "; ".join([*notes, *([note] if note else [])]))


def single(picture: Picture) -> bool:
    """Whether a file's first page is all that it shows: thumbnails and masks apart."""
    return all(page.passed in {"thumbnail", "mask"} for page in picture.pages[1:])


def codec_for(picture: Picture, wanted: Wanted) -> Codec:
    """The codec of a new file: the one that was asked for, else the photo's own, else PNG."""
    own = all_codecs()[wanted.format or picture.format]
    return own if own.create else all_codecs()["PNG"]


def fitted(canvas: Canvas, codec: Codec) -> tuple[Drawing, list[str]]:
    """The page as ``codec`` can hold it, and what it lost."""
    page, notes = canvas.facts, list[str]()
    if page.alpha and codec.name == "JPEG":
        raise PhotoFault(FaultClass.UNWRITABLE, "JPEG has no transparency")
    samples, space, icc = canvas.samples((0, 0, canvas.width, canvas.height)), page.space, page.icc
    if (space == "CMYK" and codec.name in {"PNG", "WEBP"}) or (space == "L" and codec.name == "WEBP"):
        samples, space, icc = as_srgb(canvas, samples), "RGB", None
        notes.append(f"{page.space} became sRGB")
    if page.premultiplied:
        samples = straight(samples)
    if samples.dtype == np.uint16 and codec.name in {"JPEG", "WEBP"}:
        samples = np.asarray(cv2.convertScaleAbs(samples, alpha=1 / 257), np.uint8).reshape(samples.shape)
        notes.append("16 bit became 8 bit")
    return Drawing(samples, space, page.alpha, icc), notes


def as_srgb(canvas: Canvas, samples: Samples) -> Samples:
    """Samples (h, w, channels) of a page as sRGB of its depth, alpha behind them."""
    height, width = samples.shape[:2]
    alpha = samples[..., -1:] if canvas.facts.alpha else samples[..., :0]
    found = np.empty((height, width, 3 + alpha.shape[2]), samples.dtype)
    for _, y0, _, y1 in bands((0, 0, width, height)):
        found[y0:y1, :, :3] = rounded_levels(canvas.colour.to_srgb(samples[y0:y1]), canvas.facts.depth)
        found[y0:y1, :, 3:] = alpha[y0:y1]
    return found


def straight(samples: Samples) -> Samples:
    """Premultiplied samples (h, w, colours + 1) with their colours divided by alpha."""
    found = np.array(samples)
    top = np.iinfo(samples.dtype).max
    for _, y0, _, y1 in bands((0, 0, samples.shape[1], samples.shape[0])):
        colours, alpha = samples[y0:y1, :, :-1].astype(np.float32), samples[y0:y1, :, -1:].astype(np.float32)
        found[y0:y1, :, :-1] = np.rint(colours * top / np.maximum(alpha, 1)).clip(0, top)
    return found


def metadata(photo: Photo) -> tuple[bytes | None, bytes | None, tuple[float, float] | None]:
    """EXIF, XMP and resolution of the photo's file, as far as Pillow (or pillow-heif) reads them."""
    if photo.data is None:
        return None, None, None
    content = io.BytesIO(photo.data.tobytes())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            opened = opened_heif(content) if photo.format == "HEIC" else Image.open(content)
            exif, packet, dpi = (opened.info.get(key) for key in ("exif", "xmp", "dpi"))
            exif = described(opened) if photo.format == "TIFF" else exif
    except REFUSED:
        return None, None, None
    exif = exif.removeprefix(b"Exif\0\0") if isinstance(exif, bytes) else None
    return exif, packet if isinstance(packet, bytes) else None, resolution(dpi)


def opened_heif(content: io.BytesIO) -> Image.Image:
    """A HEIC as a Pillow image, for its metadata."""
    import pillow_heif

    return pillow_heif.open_heif(content).to_pillow()


def described(opened: Image.Image) -> bytes | None:
    """The tags of a TIFF that describe the photo, as an EXIF block."""
    tags, kept = opened.getexif(), Image.Exif()
    for tag in DESCRIBING:
        if tag in tags:
            kept[tag] = tags[tag]
    return kept.tobytes() if len(kept) else None


def resolution(dpi: object) -> tuple[float, float] | None:
    """Both resolutions as finite, positive floats, or None."""
    try:
        across, down = (float(value) for value in dpi)  # type: ignore[attr-defined] # a broken tag may hold anything
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return (across, down) if 0 < across < 1e6 and 0 < down < 1e6 else None
