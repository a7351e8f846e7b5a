"""Which format a file is in, decided by its first bytes, and whether it may be opened at all, before it is decoded."""

import io
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.registry import discover
from stages import codecs
from stages.photo import FaultClass, PhotoFault
from stages.picture import Codec, Page, Picture

Image.MAX_IMAGE_PIXELS = None  # the cap is ours, from the config, and holds before any pixel is decoded
HEAD = 64  # bytes that a codec may look at


@dataclass(frozen=True, slots=True)
class Limits:
    """Caps that hold before anything is decoded. ``formats`` are the names of the codecs allowed; empty is all."""

    max_bytes: int
    max_pixels: int
    formats: frozenset[str] = frozenset()


@cache
def all_codecs() -> dict[str, Codec]:
    """Every codec by name."""
    return discover(codecs, "CODEC", Codec)


def open_picture(data: NDArray[np.uint8], name: str, limits: Limits) -> Picture:
    """The picture in a file's bytes, its headers read and its caps checked. ``name`` gives the expected format.

    Raises ``PhotoFault`` with the class of what is wrong.
    """
    codec = sniff(data)
    if limits.formats and codec.name not in limits.formats:
        raise PhotoFault(FaultClass.UNSUPPORTED, f"{codec.name} is not among read.formats")
    if PurePosixPath(name).suffix.lower() not in codec.suffixes:
        raise PhotoFault(FaultClass.MISLABELLED, f"the content is {codec.name}, the name is not")
    with decoder_faults():
        picture = codec.open(data)
    for page in picture.pages:
        check_size(page, limits)
    return picture


def sniff(data: NDArray[np.uint8]) -> Codec:
    """The codec of the file's format, whatever its name."""
    head = data[:HEAD].tobytes()
    found = next((codec for codec in all_codecs().values() if codec.sniff(head)), None)
    if found is None:
        raise unknown(data)
    return found


def unknown(data: NDArray[np.uint8]) -> PhotoFault:
    """What is wrong with a file that no codec knows: Pillow may still know what it is."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            name = Image.open(io.BytesIO(data.data)).format
    except Exception:  # Pillow's readers raise errors of every type on what is no image
        return PhotoFault(FaultClass.NOT_AN_IMAGE, "the content is no image of a known format")
    return PhotoFault(FaultClass.UNSUPPORTED, f"{name} cannot be written back yet")


def check_size(page: Page, limits: Limits) -> None:
    if page.width * page.height > limits.max_pixels:
        message = f"{page.width} x {page.height} is more than {limits.max_pixels} pixels"
        raise PhotoFault(FaultClass.TOO_LARGE, message)


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
        early = any(word in message.lower() for word in ("truncated", "premature end", "incomplete"))
        raise PhotoFault(FaultClass.TRUNCATED if early else FaultClass.CORRUPT, message) from error


def one_line(error: Exception) -> str:
    """An error's text on one line, or its type where it has none."""
    text = " ".join(str(error).split())
    return (text or type(error).__name__)[:300]
