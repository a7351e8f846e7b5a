"""HEIC of 8 bits, with the extra ``heic`` (pillow-heif): the tiles under the faces are encoded again, all else stays.

pillow-heif's opener is not registered: Pillow elsewhere in the process does not change.
"""

import importlib.util
import io

import numpy as np
from numpy.typing import NDArray

from stages.codecs.bmff import brands
from stages.codecs.heif_picture import Engine, HeifPicture, Points
from stages.photo import FaultClass, PhotoFault
from stages.picture import Codec, Page, Picture, Samples
from stages.turn import stored

# Measured on group/10045.png written at quality 75, encoded again at 80, 90 and 95: 54, 61 and 64 dB to the decoded
# photo in 1.2, 1.7 and 1.8 times the bytes. The preset "fast" takes 0.4 times as long as "slow" for the same quality.
QUALITY = 90
PRESET = {"preset": "fast"}
HEVC = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
POINTS = ("color_primaries", "transfer_characteristics", "matrix_coefficients", "full_range_flag")
MATRICES = frozenset({1, 5, 6, 9})  # BT.709, BT.601 twice, BT.2020
SUBSAMPLINGS = {0: "4:0:0", 1: "4:2:0", 2: "4:2:2", 3: "4:4:4"}


def facts(config: bytes) -> tuple[int, str]:
    """Depth and subsampling from an HEVC decoder configuration (ISO/IEC 14496-15, 8.3.3)."""
    return 8 + max(config[17] & 7, config[18] & 7), SUBSAMPLINGS[config[16] & 3]


def decoded(data: memoryview, page: Page) -> Samples:
    """Stored samples: libheif turns pictures upright, so they are turned back."""
    import pillow_heif

    opened = pillow_heif.open_heif(io.BytesIO(data))
    samples = np.asarray(opened)
    return stored(samples if samples.ndim == 3 else samples[..., None], page.orientation)


def encoded(samples: Samples, subsampling: str, points: Points | None) -> bytes:
    """A file of one picture."""
    import pillow_heif

    height, width, channels = samples.shape
    options: dict[str, object] = {"quality": QUALITY, "enc_params": PRESET}
    if points and points[2] in MATRICES:
        options |= dict(zip(POINTS, points, strict=True))
    if channels == 3:
        options |= {"subsampling": subsampling}
    out = io.BytesIO()
    pillow_heif.encode("L" if channels == 1 else "RGB", (width, height), samples.tobytes(), out, **options)
    return out.getvalue()


ENGINE = Engine("HEIC", b"hvc1", b"hvcC", facts, decoded, encoded, crops=True, alike=False)


def open_heic(data: NDArray[np.uint8]) -> Picture:
    if importlib.util.find_spec("pillow_heif") is None:
        raise PhotoFault(FaultClass.UNSUPPORTED, "HEIC needs the extra: pip install daguerre[heic]")
    return HeifPicture(data, ENGINE)


def sniff(head: bytes) -> bool:
    found = brands(head)
    return not found.isdisjoint(HEVC) and found.isdisjoint({b"avif", b"avis"})


CODEC = Codec("HEIC", (".heic", ".heif", ".hif"), sniff, open_heic)
