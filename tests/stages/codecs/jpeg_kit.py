"""JPEGs of every kind for the tests of the codec, and what a decoder says of them."""

import io
from collections.abc import Callable
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from unittest.mock import patch

import cv2
import numpy as np
from codec_kit import XMP, array, saved
from numpy.typing import NDArray
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from skimage.data import astronaut

from stages.codecs import jpeg, whole
from stages.jpeg import coefficients
from stages.picture import Edit, Picture, Samples, Window

PACKET = b"http://ns.adobe.com/xap/1.0/\0"
EXIF = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0%c\0\0\0\0\0\0"
THUMBNAIL = b"\xff\xd8\xff\xda\0\x02\xff\xd9"  # in EXIF, an end marker that is none of the photo's
FACE: Window = (37, 22, 103, 91)
SAMPLINGS = {"444": 0x111111, "422": 0x211111, "420": 0x221111, "440": 0x121111, "411": 0x411111}
Bytes = NDArray[np.uint8]


@cache
def portrait() -> Bytes:
    """A photo whose sides are no multiple of any MCU, (109, 149, 3)."""
    return np.asarray(Image.fromarray(astronaut()[:256, 100:450]).resize((149, 109), Image.Resampling.LANCZOS))


def by_opencv(pixels: Bytes, sampling: str, progressive: bool = False, restart: int = 0) -> Bytes:
    options = [cv2.IMWRITE_JPEG_QUALITY, 88, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, SAMPLINGS[sampling]]
    options += [cv2.IMWRITE_JPEG_PROGRESSIVE, int(progressive), cv2.IMWRITE_JPEG_RST_INTERVAL, restart]
    return np.asarray(cv2.imencode(".jpg", pixels[..., ::-1], options)[1], np.uint8).reshape(-1)


def by_pillow(mode: str, **options: object) -> Bytes:
    return saved(Image.fromarray(portrait()).convert(mode), "JPEG", quality=88, **options)


def with_bytes(data: Bytes, change: Callable[[bytes], bytes]) -> Bytes:
    return array(change(data.tobytes()))


def ycck() -> Bytes:
    """Pillow writes no YCCK; what it calls CMYK becomes one, of odd colours, by its marker alone."""
    return with_bytes(by_pillow("CMYK"), lambda whole: whole.replace(b"Adobe\0d\0\0\0\0\0", b"Adobe\0d\0\0\0\0\2"))


def plain_cmyk() -> Bytes:
    """CMYK without Adobe's marker: 0 is no ink."""
    whole = by_pillow("CMYK").tobytes()
    place = whole.index(b"\xff\xee")
    return array(whole[:place] + whole[place + 16 :])


def wide_tables() -> Bytes:
    """Quantisation tables of 16 bits, with steps over 255."""
    whole = by_pillow("RGB").tobytes()
    result, place = b"", 0
    while (found := whole.find(b"\xff\xdb\0\x43", place)) >= 0:
        steps = np.frombuffer(whole[found + 5 : found + 69], np.uint8).astype(">u2")
        steps[40:] += 300
        result += whole[place:found] + b"\xff\xdb\0\x83" + bytes([0x10 | whole[found + 4]]) + steps.tobytes()
        place = found + 69
    return array((result + whole[place:]).replace(b"\xff\xc0", b"\xff\xc1", 1))


def one_scan_each() -> Bytes:
    """A sequential file whose components have scans of their own, by the codec's own hand."""
    data = by_opencv(portrait(), "420")
    with patch.object(coefficients, "TOGETHER", 0):
        picture = jpeg.CODEC.open(data)
        content = picture.write([brightened(picture)], lambda _: XMP).content
    return array(content.replace(segment(0xE1, PACKET + XMP), b""))


KINDS: dict[str, Callable[[], Bytes]] = {
    **{name: lambda name=name: by_opencv(portrait(), name) for name in SAMPLINGS},
    **{f"{name} progressive": lambda name=name: by_opencv(portrait(), name, progressive=True) for name in SAMPLINGS},
    "grey": lambda: by_pillow("L"),
    "grey progressive": lambda: by_pillow("L", progressive=True),
    "restart markers": lambda: by_opencv(portrait(), "420", restart=3),
    "one scan each": one_scan_each,
    "best tables": lambda: by_pillow("RGB", optimize=True),
    "16-bit tables": wide_tables,
    "RGB": lambda: by_pillow("RGB", keep_rgb=True),
    "CMYK": lambda: by_pillow("CMYK", subsampling=2),
    "CMYK progressive": lambda: by_pillow("CMYK", progressive=True),
    "CMYK without Adobe": plain_cmyk,
    "YCCK": ycck,
    "one pixel": lambda: saved(portrait()[:1, :1], "JPEG"),
}


def brightened(picture: Picture, window: Window = FACE, by: int = 40) -> Edit:
    """A round, soft change of a window, its mask a disc."""
    old = picture.window(0, window)
    y, x = np.mgrid[: old.shape[0], : old.shape[1]] - (np.array(old.shape[:2]) / 2 - 0.5)[:, None, None]
    distance = np.hypot(x, y) / (min(old.shape[:2]) / 2)
    weight = np.clip(2 - 2 * distance, 0, 1)[..., None]
    change = weight * by * (1 if old.mean() < 128 else -1) * (1 + 0.5 * np.sin(x + y / 2))[..., None]
    new = np.rint(np.clip(old + change, 0, 255)).astype(np.uint8)
    return Edit(0, window, new, distance < 1)


def near_mask(edit: Edit, frame: tuple[int, int], mcu: tuple[int, int], more: tuple[int, int]) -> NDArray[np.bool_]:
    """The pixels (h, w) of the MCUs under a mask and ``more`` pixels (across, down) around them."""
    height, width = frame
    x0, y0, x1, y1 = edit.window
    touched = np.zeros((height, width), bool)
    touched[y0:y1, x0:x1] = edit.mask
    rows, columns = np.nonzero(touched)
    for row, column in {(row // mcu[1], column // mcu[0]) for row, column in zip(rows, columns, strict=True)}:
        top, left = max(0, row * mcu[1] - more[1]), max(0, column * mcu[0] - more[0])
        touched[top : (row + 1) * mcu[1] + more[1], left : (column + 1) * mcu[0] + more[0]] = True
    return touched


def metadata(content: bytes | Bytes) -> list[tuple[str, bytes]]:
    """The APPn and COM segments as Pillow reads them, those of XMP apart."""
    with JpegImageFile(io.BytesIO(bytes(content))) as image:
        return [(kind, body) for kind, body in image.applist if not body.startswith(PACKET)]


def packet(content: bytes | Bytes) -> bytes | None:
    with JpegImageFile(io.BytesIO(bytes(content))) as image:
        return image.info.get("xmp")


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body


def with_metadata(data: Bytes, orientation: int = 1, old: bytes | None = XMP) -> Bytes:
    """With EXIF and its thumbnail, XMP, extended XMP, IPTC, a profile, an unknown marker segment and a comment."""
    whole = data.tobytes()
    place = 4 + int.from_bytes(whole[4:6], "big") if whole[3] == 0xE0 else 2
    parts = [segment(0xE1, EXIF % orientation + THUMBNAIL)]
    parts += [segment(0xE1, PACKET + old)] if old is not None else []
    parts += [
        segment(0xE1, b"http://ns.adobe.com/xmp/extension/\0" + b"0" * 40 + b"<a/>"),
        segment(0xE2, b"ICC_PROFILE\0\x02\x02" + b"end"),
        segment(0xE2, b"ICC_PROFILE\0\x01\x02" + b"begin"),
        segment(0xED, b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\0"),
        segment(0xE9, b"\xff\xd9 of somebody's own"),
        segment(0xFE, "Grüße".encode()),
    ]
    return array(whole[:place] + b"".join(parts) + whole[place:])


def psnr(first: Samples, second: Samples) -> float:
    error = np.mean((first.astype(np.float64) - second) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


@contextmanager
def everything_is_large():
    """Windows are decoded from blocks, as those of large photos."""
    with patch.object(whole, "KEPT", 0):
        yield


def shared(folder: Path, name: str) -> Bytes:
    return np.fromfile(folder / name, np.uint8)
