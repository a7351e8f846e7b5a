"""TIFFs for the tests, and what another library reads from them."""

import io
from typing import Any

import numpy as np
import tifffile
from codec_kit import array
from numpy.typing import NDArray

from stages.picture import Samples

Extra = tuple[int, int, int, bytes | int, bool]  # tag, type, count, value, write it once


def tiff(*pages: Samples, bigtiff: bool = False, order: str = "<", **options: Any) -> NDArray[np.uint8]:
    """A file of these pages as tifffile writes it, without metadata of its own."""
    form: dict[str, Any] = {"metadata": None, "software": False, **options}
    out = io.BytesIO()
    with tifffile.TiffWriter(out, bigtiff=bigtiff, byteorder="<" if order == "<" else ">") as writer:
        for page in pages:
            writer.write(page, **form)
    return array(out.getvalue())


def read(content: bytes, page: int = 0) -> Samples:
    """The stored samples (h, w, channels) of a page, as tifffile reads them."""
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        series = file.pages[page]
        found = np.asarray(series.asarray())
        planar = getattr(series, "planarconfig", 1) == 2 and found.ndim == 3
    if planar:
        return np.moveaxis(found, 0, -1)
    return found.reshape(*found.shape[:2], -1)


def tag_values(content: bytes, page: int = 0) -> dict[int, tuple[int, int, bytes]]:
    """Type, count and bytes of every tag of a page."""
    found: dict[int, tuple[int, int, bytes]] = {}
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        each = file.pages[page]
        assert isinstance(each, tifffile.TiffPage)
        for tag in each.tags:
            value = content[tag.valueoffset : tag.valueoffset + tag.valuebytecount]
            found[tag.code] = (int(tag.dtype), tag.count, value)
    return found


def tag_order(content: bytes, page: int = 0) -> list[int]:
    """The tags of a page in the order in which its directory has them."""
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        each = file.pages[page]
        assert isinstance(each, tifffile.TiffPage)
        return [tag.code for tag in each.tags]


def turned_bits(content: bytes) -> bytes:
    """Every byte with its bits in the other order."""
    bits = np.unpackbits(np.frombuffer(content, np.uint8)).reshape(-1, 8)
    return np.packbits(bits[:, ::-1]).tobytes()
