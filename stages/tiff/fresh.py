"""Pages in a form of our own, for new files and for pages whose old form cannot hold an edit: Deflate, predictor 2."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import imagecodecs
import numpy as np

from stages.photo import PhotoFault
from stages.picture import Drawing, Samples, Space
from stages.tiff import tags
from stages.tiff.directory import BYTE, LONG, RATIONAL, SHORT, UNDEFINED, File, Flavour
from stages.tiff.segments import LEVEL
from stages.tiff.surgery import Change, Surgery, claims_of, widest

STRIP = 1 << 18  # bytes of samples in a strip
PHOTOMETRIC = {"L": tags.BLACK_IS_ZERO, "RGB": tags.RGB, "CMYK": tags.SEPARATED}
BARE = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x01\0\0\0\0\0\0\0"  # a TIFF of nothing but an orientation
REPLACED = frozenset({tags.SUBFILE, tags.OLD_SUBFILE, tags.SUB_DIRECTORIES, tags.XMP, tags.ICC})


@dataclass(frozen=True, slots=True)
class Form:
    """Samples (h, w, channels) as stored, and what they mean."""

    samples: Samples
    space: Space
    alpha: bool


def created(drawing: Drawing) -> bytes:
    """A new TIFF of one page. The EXIF block, a TIFF itself, becomes its beginning, so that its offsets stay true."""
    file = beginning(drawing.exif)
    surgery = Surgery(file.data, file.flavour, claims_of(file, []))
    entries = page_entries(surgery, file.flavour, Form(drawing.samples, drawing.space, drawing.alpha))
    entries[tags.ORIENTATION] = surgery.entry(tags.ORIENTATION, SHORT, file.flavour.integers(SHORT, [1]))
    if drawing.dpi:
        entries |= resolution_entries(surgery, file.flavour, drawing.dpi)
    if drawing.xmp:
        entries[tags.XMP] = surgery.entry(tags.XMP, BYTE, drawing.xmp)
    if drawing.icc:
        entries[tags.ICC] = surgery.entry(tags.ICC, UNDEFINED, drawing.icc)
    change = Change(entries, tags.OF_THE_FORM | REPLACED)
    end = bytes(file.flavour.room)
    surgery.replace(file.flavour.first_at, surgery.directory(file, file.directories[0], change, end))
    return surgery.joined()


def beginning(exif: bytes | None) -> File:
    """The file that a new one starts from; a damaged block is left out."""
    try:
        file = File(np.frombuffer(exif or BARE, np.uint8))
    except PhotoFault:
        file = File(np.frombuffer(BARE, np.uint8))
    return file


def page_entries(surgery: Surgery, flavour: Flavour, form: Form) -> dict[int, bytes]:
    """The raw entries of a page of ``form``, whose strips are appended."""
    height, width, channels = form.samples.shape
    rows = max(1, STRIP // (width * channels * form.samples.itemsize))
    strips = list(encoded_strips(form.samples, rows, flavour))
    offsets = [surgery.append(strip) for strip in strips]
    wide = widest(flavour)
    values = {
        tags.WIDTH: (LONG, [width]),
        tags.HEIGHT: (LONG, [height]),
        tags.BITS: (SHORT, [8 * form.samples.itemsize] * channels),
        tags.COMPRESSION: (SHORT, [8]),
        tags.PHOTOMETRIC: (SHORT, [PHOTOMETRIC[form.space]]),
        tags.STRIP_OFFSETS: (wide, offsets),
        tags.SAMPLES: (SHORT, [channels]),
        tags.ROWS: (LONG, [rows]),
        tags.STRIP_COUNTS: (wide, [len(strip) for strip in strips]),
        tags.PLANAR: (SHORT, [1]),
        tags.PREDICTOR: (SHORT, [2]),
    }
    if form.alpha:
        values[tags.EXTRA_SAMPLES] = (SHORT, [2])
    return {tag: surgery.entry(tag, kind, flavour.integers(kind, each)) for tag, (kind, each) in values.items()}


def encoded_strips(samples: Samples, rows: int, flavour: Flavour) -> Iterator[bytes]:
    for top in range(0, samples.shape[0], rows):
        part = np.ascontiguousarray(samples[top : top + rows])
        turned = np.asarray(imagecodecs.delta_encode(part, axis=1)).astype(samples.dtype.newbyteorder(flavour.order))
        yield bytes(imagecodecs.deflate_encode(turned.tobytes(), level=LEVEL))


def resolution_entries(surgery: Surgery, flavour: Flavour, dpi: tuple[float, float]) -> dict[int, bytes]:
    """Pixels an inch, across and down."""
    unit = surgery.entry(tags.RESOLUTION_UNIT, SHORT, flavour.integers(SHORT, [2]))
    entries = {tags.RESOLUTION_UNIT: unit}
    for tag, value in zip((tags.X_RESOLUTION, tags.Y_RESOLUTION), dpi, strict=True):
        ratio = Fraction(value).limit_denominator(10_000)
        entries[tag] = surgery.entry(tag, RATIONAL, flavour.packed("II", ratio.numerator, ratio.denominator))
    return entries
