"""The image data of a PNG: libpng filters the rows, libdeflate compresses them.

Measured on a photo of 5.4 megapixels: 0.8 s against 2.2 s for libpng with zlib at the same level, the file 3 % smaller.
"""

import zlib

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from stages.codecs.png_chunks import body, made, walk
from stages.picture import Samples

LEVEL = 6
ALL_FILTERS = 0xF8  # PNG_ALL_FILTERS: each row takes the one with the smallest sum of differences
BAND = 4_000_000  # bytes that are filtered at a time
CHUNK = 2**30  # bytes of an IDAT chunk, of which the format allows twice as many


def image_data(samples: Samples) -> bytes:
    """The IDAT chunks of stored samples (h, w, channels)."""
    compressed = imagecodecs.deflate_encode(filtered(samples), level=LEVEL)
    return b"".join(made(b"IDAT", bytes(compressed[at : at + CHUNK])) for at in range(0, len(compressed), CHUNK))


def filtered(samples: Samples) -> bytearray:
    """The rows, each behind the number of its filter.

    A band is filtered with the row above it, whose own line is dropped.
    """
    height, width, channels = samples.shape
    line = 1 + width * channels * samples.itemsize
    result = bytearray(height * line)
    lines = np.frombuffer(result, np.uint8).reshape(height, line)
    rows = max(1, BAND // line)
    for top in range(0, height, rows):
        above = min(top, 1)
        band = np.ascontiguousarray(samples[top - above : top + rows])
        lines[top : top + rows] = lines_of(band).reshape(-1, line)[above:]
    return result


def lines_of(band: Samples) -> NDArray[np.uint8]:
    """The filtered lines of a few rows, as libpng makes them."""
    rows = band[..., 0] if band.shape[2] == 1 else band
    encoded = memoryview(imagecodecs.png_encode(rows, level=0, filter=ALL_FILTERS))
    stream = b"".join(body(encoded, chunk) for chunk in walk(encoded) if chunk.kind == b"IDAT")
    return np.frombuffer(zlib.decompress(stream), np.uint8)
