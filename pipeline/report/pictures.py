"""Pictures for the page: upright, small, and within a budget of bytes."""

import warnings
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import Image, ImageOps

Read = Callable[[str], bytes]
Box = tuple[float, float, float, float]

LADDER = ((900, 80), (760, 76), (640, 72), (520, 68), (400, 62), (280, 55))  # longer side in pixels, JPEG quality
ZOOM = 224  # longer side of a face, in pixels
ZOOM_QUALITY = 82
AROUND = 1.6  # side of a zoom, as a multiple of the face's box
ICC_LIMIT = 4096  # bytes of a colour profile that is worth its place


class UnreadableError(Exception):
    """A picture that cannot be shown; the message says why."""


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A JPEG as a data URI, ``width`` by ``height`` pixels."""

    uri: str
    width: int
    height: int


def load(read: Read, uri: str) -> Image.Image:
    """The picture at ``uri``, upright and RGB. Whatever goes wrong is an ``UnreadableError``: a report never fails."""
    try:
        return upright(read(uri))
    except Image.DecompressionBombWarning as error:
        raise UnreadableError("too large to be shown here") from error
    except Exception as error:
        detail = (str(error).splitlines() or [""])[0][:200]
        raise UnreadableError(f"cannot be read ({type(error).__name__}: {detail})") from error


def upright(data: bytes) -> Image.Image:
    """A file's picture as the EXIF orientation wants it, RGB."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(BytesIO(data)) as file:
            profile = file.info.get("icc_profile") if file.mode == "RGB" else None
            picture = to_rgb(ImageOps.exif_transpose(file))
    if isinstance(profile, bytes) and len(profile) <= ICC_LIMIT:
        picture.info["icc_profile"] = profile
    return picture


def to_rgb(picture: Image.Image) -> Image.Image:
    """Any mode as RGB; 16-bit and float greys are stretched to their own range."""
    if not picture.mode.startswith(("I", "F")):
        return picture.convert("RGB")
    levels = np.asarray(picture, np.float64)
    low, high = float(levels.min()), float(levels.max())
    grey = (levels - low) * (255 / max(high - low, 1e-12))
    return Image.fromarray(grey.astype(np.uint8)).convert("RGB")


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
    return encode(face, ZOOM_QUALITY, picture)


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
    return encode(picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=3), quality, picture)


def encode(picture: Image.Image, quality: int, origin: Image.Image) -> Thumbnail:
    """``picture`` as JPEG, with the colour profile of ``origin``."""
    file = BytesIO()
    picture.save(file, "JPEG", quality=quality, optimize=True, icc_profile=origin.info.get("icc_profile"))
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
