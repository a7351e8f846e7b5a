"""Files to pixels and back: the upright RGB view that the stages work on, and the same kind of file again.

Only what comes out as it went in is taken: 8-bit grey or colour, one page. Everything else is refused as
``unsupported``, never flattened to 8 bit (Pillow would do that without a word).
"""

import io
import struct
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, JpegImagePlugin, PngImagePlugin, UnidentifiedImageError

from stages.photo import FaultClass, PhotoFault, Pixels

WRITABLE = {"JPEG", "PNG", "TIFF", "WEBP", "BMP"}
SUFFIXES = {
    "JPEG": {".jpg", ".jpeg", ".jpe", ".jfif"},
    "PNG": {".png"},
    "TIFF": {".tif", ".tiff"},
    "WEBP": {".webp"},
    "BMP": {".bmp", ".dib"},
}
EIGHT_BIT = {"L", "LA", "P", "RGB", "RGBA", "PA"}
ORIENTATION = 274
HEIF_BRANDS = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"}
LOSSLESS_TIFF = {"raw", "packbits", "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate"}

Image.MAX_IMAGE_PIXELS = None  # the cap is ours, from the config, and is checked before any pixel is decoded


@dataclass(frozen=True, slots=True)
class Limits:
    """Caps that are checked before decoding."""

    max_bytes: int
    max_pixels: int


@dataclass(frozen=True, slots=True)
class Encoding:
    """How the file was written, so that it can be written so again."""

    format: str
    mode: str
    orientation: int = 1
    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    comment: bytes | None = None
    dpi: tuple[float, float] | None = None
    quantization: dict[int, list[int]] | None = None
    subsampling: int = -1
    progressive: bool = False
    compression: str | None = None
    lossless: bool = False
    gamma: float | None = None
    srgb: int | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded photo, upright. ``rgb`` is (H, W, 3) uint8 (grey photos have three equal channels); ``alpha`` (H, W)
    or None.
    """

    rgb: Pixels
    alpha: NDArray[np.uint8] | None
    grey: bool
    encoding: Encoding


def decode(data: Pixels, name: str, limits: Limits) -> Picture:
    """The picture in a file's bytes. Raises ``PhotoFault`` with the class of what is wrong; ``name`` gives the
    expected format.
    """
    with decoder_faults():
        opened = open_checked(data, name, limits)
        turned = stored_orientation(opened) if opened.format == "TIFF" else None  # Pillow turns TIFFs and forgets it
        opened.load()
        encoding = encoding_of(opened, data, turned or stored_orientation(opened))
        grey = opened.mode in {"L", "LA"}
        image = opened.convert("RGBA" if has_alpha(opened) else "RGB")
    pixels = upright(np.asarray(image), 1 if turned else encoding.orientation)
    alpha = np.ascontiguousarray(pixels[..., 3]) if pixels.shape[2] == 4 else None
    return Picture(np.ascontiguousarray(pixels[..., :3]), alpha, grey, encoding)


def open_checked(data: Pixels, name: str, limits: Limits) -> ImageFile.ImageFile:
    """The opened, not yet decoded file, if it is an image that can come out as it went in."""
    opened = identify(data)
    pixels = opened.width * opened.height
    if pixels > limits.max_pixels:
        message = f"{opened.width} x {opened.height} is more than {limits.max_pixels} pixels"
        raise PhotoFault(FaultClass.TOO_LARGE, message)
    reason = why_unsupported(opened)
    if reason:
        raise PhotoFault(FaultClass.UNSUPPORTED, reason)
    if PurePosixPath(name).suffix.lower() not in SUFFIXES[str(opened.format)]:
        raise PhotoFault(FaultClass.MISLABELLED, f"the content is {opened.format}, the name is not")
    return opened


def identify(data: Pixels) -> ImageFile.ImageFile:
    """The file opened by its content, whatever its name."""
    try:
        return Image.open(io.BytesIO(data.data))
    except UnidentifiedImageError:
        head = data[:12].tobytes()
        if head[4:8] == b"ftyp" and head[8:12] in HEIF_BRANDS:
            raise PhotoFault(FaultClass.UNSUPPORTED, "HEIC is not supported yet") from None
        raise PhotoFault(FaultClass.NOT_AN_IMAGE, "the content is no image of a known format") from None


@contextmanager
def decoder_faults() -> Generator[None]:
    """What a decoder raises is the photo's fault, unless memory ran out. Damaged files raise errors of every type."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (PhotoFault, MemoryError):
        raise
    except Exception as error:
        message = one_line(error)
        kind = FaultClass.TRUNCATED if "truncated" in message.lower() else FaultClass.CORRUPT
        raise PhotoFault(kind, message) from error


def why_unsupported(opened: ImageFile.ImageFile) -> str:
    """Why this file could not come out as it went in; empty if it can."""
    if opened.format not in WRITABLE:
        return f"{opened.format} cannot be written back yet"
    if getattr(opened, "n_frames", 1) > 1:
        return "more than one page"
    if any(";16" in str(tile.args) for tile in opened.tile):
        return "16 bit cannot be written back yet"
    return "" if opened.mode in EIGHT_BIT else f"mode {opened.mode} cannot be written back yet"


def has_alpha(image: Image.Image) -> bool:
    return image.mode in {"LA", "RGBA", "PA"} or "transparency" in image.info


def stored_orientation(opened: ImageFile.ImageFile) -> int:
    """The orientation tag, 1 to 8; 1 where there is none, or nonsense, or damaged metadata."""
    try:
        value = opened.getexif().get(ORIENTATION, 1)
    except Exception:  # damaged metadata raises errors of every type, and costs the photo nothing else
        return 1
    return value if isinstance(value, int) and value in range(1, 9) else 1


def encoding_of(opened: ImageFile.ImageFile, data: Pixels, orientation: int) -> Encoding:
    """What has to be said to Pillow for writing such a file again."""
    info = opened.info
    jpeg = isinstance(opened, JpegImagePlugin.JpegImageFile)
    return Encoding(
        format=str(opened.format),
        mode=opened.mode,
        orientation=orientation,
        icc=info.get("icc_profile"),
        exif=info.get("exif"),
        xmp=info.get("xmp"),
        comment=info.get("comment") if jpeg else None,
        dpi=resolution(info.get("dpi")),
        quantization={key: list(table) for key, table in opened.quantization.items()} if jpeg else None,
        subsampling=JpegImagePlugin.get_sampling(opened) if jpeg else -1,
        progressive=bool(info.get("progressive")),
        compression=info.get("compression"),
        lossless=opened.format != "WEBP" or b"VP8L" in riff_chunks(data),
        gamma=info.get("gamma"),
        srgb=info.get("srgb"),
    )


def riff_chunks(data: Pixels) -> list[bytes]:
    """The names of a RIFF file's chunks, in order."""
    found: list[bytes] = []
    place = 12
    while place + 8 <= data.size:
        found.append(data[place : place + 4].tobytes())
        size = int.from_bytes(data[place + 4 : place + 8].tobytes(), "little")
        place += 8 + size + size % 2
    return found


def resolution(dpi: object) -> tuple[float, float] | None:
    """Both resolutions as finite, positive floats, or None."""
    try:
        across, down = (float(value) for value in dpi)  # type: ignore[attr-defined] # a broken tag may hold anything
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return (across, down) if 0 < across < 1e6 and 0 < down < 1e6 else None


def encode(picture: Picture, rgb: Pixels) -> bytes:
    """A file like the one that ``picture`` came from, with ``rgb`` (H, W, 3) uint8, upright, as its pixels.

    Raises ``PhotoFault`` (unwritable) if Pillow does not take the photo's own metadata or tables.
    """
    how = picture.encoding
    layers = rgb if picture.alpha is None else np.dstack([rgb, picture.alpha])
    image = Image.fromarray(stored(layers, how.orientation))
    if picture.grey:
        image = image.convert("L") if picture.alpha is None else image.convert("LA")
    out = io.BytesIO()
    try:
        SAVERS[how.format](image, how, out)
    except (OSError, ValueError, TypeError, OverflowError, struct.error) as error:
        raise PhotoFault(FaultClass.UNWRITABLE, one_line(error)) from error
    return out.getvalue()


def save_jpeg(image: Image.Image, how: Encoding, out: io.BytesIO) -> None:
    """With the photo's own quantisation tables and sampling."""
    image.save(
        out,
        "JPEG",
        qtables=how.quantization,
        subsampling=how.subsampling,
        progressive=how.progressive,
        icc_profile=how.icc,
        exif=how.exif or b"",
        xmp=how.xmp or b"",
        comment=how.comment or b"",
        dpi=how.dpi or (0, 0),
    )


def save_png(image: Image.Image, how: Encoding, out: io.BytesIO) -> None:
    extra = {"dpi": how.dpi} if how.dpi else {}
    image.save(out, "PNG", icc_profile=how.icc, exif=how.exif or b"", pnginfo=png_chunks(how), **extra)


def png_chunks(how: Encoding) -> PngImagePlugin.PngInfo:
    """The chunks that say how the colours are meant, and the XMP, which may hold the orientation."""
    chunks = PngImagePlugin.PngInfo()
    if how.srgb is not None:
        chunks.add(b"sRGB", bytes([how.srgb]))
    if how.gamma is not None:
        chunks.add(b"gAMA", struct.pack(">I", round(how.gamma * 100_000)))
    if how.xmp:
        chunks.add_itxt("XML:com.adobe.xmp", how.xmp.decode("utf-8", "replace"))
    return chunks


def save_tiff(image: Image.Image, how: Encoding, out: io.BytesIO) -> None:
    compression = how.compression if how.compression in LOSSLESS_TIFF else "tiff_adobe_deflate"
    extra = {"dpi": how.dpi} if how.dpi else {}
    tags = {ORIENTATION: how.orientation}
    image.save(out, "TIFF", compression=compression, icc_profile=how.icc, tiffinfo=tags, **extra)


def save_webp(image: Image.Image, how: Encoding, out: io.BytesIO) -> None:
    """Lossless stays lossless and exact; lossy is encoded again at quality 95."""
    image.save(
        out,
        "WEBP",
        lossless=how.lossless,
        exact=how.lossless,
        quality=80 if how.lossless else 95,
        icc_profile=how.icc,
        exif=how.exif or b"",
        xmp=how.xmp or b"",
    )


def save_bmp(image: Image.Image, how: Encoding, out: io.BytesIO) -> None:
    image.save(out, "BMP", dpi=how.dpi or (96, 96))


SAVERS = {"JPEG": save_jpeg, "PNG": save_png, "TIFF": save_tiff, "WEBP": save_webp, "BMP": save_bmp}


def upright(pixels: Pixels, orientation: int) -> Pixels:
    """Stored pixels (H, W, C) turned as the EXIF ``orientation`` (1 to 8) asks for viewing."""
    if orientation in {5, 6, 7, 8}:
        pixels = pixels.swapaxes(0, 1)
    if orientation in {2, 3, 6, 7}:
        pixels = pixels[:, ::-1]
    if orientation in {3, 4, 7, 8}:
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def stored(pixels: Pixels, orientation: int) -> Pixels:
    """The inverse of ``upright``: orientations 6 and 8 undo each other, all others themselves."""
    return upright(pixels, {6: 8, 8: 6}.get(orientation, orientation))


def one_line(error: Exception) -> str:
    """An error's text on one line, or its type where it has none."""
    text = " ".join(str(error).split())
    return (text or type(error).__name__)[:300]
