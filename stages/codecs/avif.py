"""AVIF of 8 bits: the picture is encoded again with the file's own subsampling, all else of the file stays.

Orientation is that of the rotation and mirror properties; what EXIF says of it does not count (ISO/IEC 23000-22,
7.3.6).
"""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stages.codecs.bmff import brands
from stages.codecs.heif_picture import Engine, HeifPicture, Points
from stages.picture import Codec, Page, Picture, Samples

# Measured on group/10045.png written at quality 75, encoded again at 80, 90, 95 and 99: 45.4, 46.9, 47.0 and 47.6 dB to
# the decoded photo in 1.06, 1.19, 1.46 and 2.64 times the bytes; the way to 8-bit YCbCr and back alone costs the rest.
QUALITY = 90
SPEED = 6  # 8 takes a third of the time for 1 dB less and 1.3 times the bytes


def facts(config: bytes) -> tuple[int, str]:
    """Depth and subsampling from an AV1 codec configuration (AV1 ISOBMFF binding, 2.3)."""
    flags = config[2]
    depth = (12 if flags & 0x20 else 10) if flags & 0x40 else 8
    if flags & 0x10:
        return depth, "4:0:0"
    return depth, {0x0C: "4:2:0", 0x08: "4:2:2"}.get(flags & 0x0C, "4:4:4")


def decoded(data: memoryview, page: Page) -> Samples:
    """Stored samples: Pillow does not turn AVIF pictures."""
    mode = "RGBA" if page.alpha else "RGB"
    return np.asarray(Image.open(io.BytesIO(data), formats=["AVIF"]).convert(mode))


def encoded(samples: Samples, subsampling: str, _: Points | None) -> bytes:
    """A file of one picture, with Pillow's matrix. One thread, so that the bytes do not depend on the machine."""
    out = io.BytesIO()
    image = Image.fromarray(samples[..., 0] if samples.shape[2] == 1 else samples)
    image.save(out, "AVIF", quality=QUALITY, speed=SPEED, subsampling=subsampling, max_threads=1, autotiling=False)
    return out.getvalue()


ENGINE = Engine("AVIF", b"av01", b"av1C", facts, decoded, encoded, crops=False, alike=True)


def open_avif(data: NDArray[np.uint8]) -> Picture:
    return HeifPicture(data, ENGINE)


def sniff(head: bytes) -> bool:
    return not brands(head).isdisjoint({b"avif", b"avis"})


CODEC = Codec("AVIF", (".avif",), sniff, open_avif)
