"""Pictures for the page: upright, small, and within a budget of bytes."""

import hashlib
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import Image

from stages.canvas import Canvas
from stages.codec import decoder_faults, sniff
from stages.photo import FaultClass, PhotoFault

Read = Callable[[str], bytes]
Box = tuple[float, float, float, float]

LADDER = ((900, 80), (760, 76), (640, 72), (520, 68), (400, 62), (280, 55))  # longer side in pixels, JPEG quality
ZOOM = 224  # longer side of a face, in pixels
ZOOM_QUALITY = 82
AROUND = 1.6  # side of a zoom, as a multiple of the face's box
MOST_PIXELS = 90_000_000  # of a picture that is worth decoding for a thumbnail


class UnreadableError(Exception):
    """A picture that cannot be shown; the message says why."""


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A JPEG as a data URI, ``width`` by ``height`` pixels."""

    uri: str
    width: int
    height: int


def load(read: Read, uri: str, sha256: str | None) -> Image.Image:
    """The first page of the file at ``uri``, upright, sRGB. Whatever goes wrong is an ``UnreadableError``: a report
    never fails.

    Only content of the row's own ``sha256`` is shown: a row, whoever wrote it, cannot bring other files into a report.
    """
    try:
        content = read(uri)
        if sha256_of(content) != sha256:
            raise PhotoFault(FaultClass.CORRUPT, "it is not what the row says")
        return shown(content)
    except PhotoFault as fault:
        raise UnreadableError(f"cannot be shown ({fault.message[:200]})") from fault
    except Exception as error:
        detail = (str(error).splitlines() or [""])[0][:200]
        raise UnreadableError(f"cannot be read ({type(error).__name__}: {detail})") from error


def sha256_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def shown(data: bytes) -> Image.Image:
    """A file's first page as people are to see it."""
    content = np.frombuffer(data, np.uint8)
    with decoder_faults():
        canvas = Canvas(sniff(content).open(content))
    if canvas.width * canvas.height > MOST_PIXELS:
        raise PhotoFault(FaultClass.TOO_LARGE, "too large to be shown here")
    return Image.fromarray(canvas.rgb((0, 0, canvas.width, canvas.height)))


def zoom(picture: Image.Image, box: Box) -> Thumbnail | None:
    """The square around a face's ``box`` (x, y, width, height); None if it does not touch the picture."""
    x, y, width, height = box
    reach = AROUND * max(width, height) / 2
    left, top = max(x + width / 2 - reach, 0), max(y + height / 2 - reach, 0)
    right, bottom = min(x + width / 2 + reach, picture.width), min(y + height / 2 + reach, picture.height)
    if not (right - left >= 1 and bottom - top >= 1):
        return None
    scale = ZOOM / max(right - left, bottom - top)
    size = max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale))
    face = picture.resize(size, Image.Resampling.LANCZOS, box=(left, top, right, bottom), reducing_gap=3)
    return encode(face, ZOOM_QUALITY)


def alike(pictures: list[Image.Image], room: int) -> list[Thumbnail]:
    """All ``pictures`` at the best size and quality at which they fit ``room`` bytes together; empty if none does."""
    for side, quality in LADDER:
        small = [shrunk(picture, side, quality) for picture in pictures]
        if sum(len(thumbnail.uri) for thumbnail in small) <= room:
            return small
    return []


def shrunk(picture: Image.Image, side: int, quality: int) -> Thumbnail:
    """``picture`` with its longer side at most ``side`` pixels."""
    scale = min(1.0, side / max(picture.size))
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    return encode(picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=3), quality)


def encode(picture: Image.Image, quality: int) -> Thumbnail:
    """``picture`` as JPEG."""
    file = BytesIO()
    picture.save(file, "JPEG", quality=quality, optimize=True)
    uri = "data:image/jpeg;base64," + b64encode(file.getvalue()).decode()
    return Thumbnail(uri, picture.width, picture.height)


@dataclass(slots=True)
class Budget:
    """Bytes for the pictures of ``photos`` photos; what one leaves over the next may use."""

    left: int
    photos: int

    def share(self) -> int:
        """Bytes for the next photo."""
        return self.left // max(self.photos, 1)

    def spend(self, used: int) -> None:
        """One photo is done and used so many bytes."""
        self.left -= used
        self.photos -= 1
