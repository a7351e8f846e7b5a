"""What the file costs: a round trip through JPEG."""

from io import BytesIO

import numpy as np
from PIL import Image as Pillow

from models.degradations.chain import Degradation, Image


def jpeg(quality: int) -> Degradation:
    """Written as a baseline JPEG of ``quality`` 1 to 95 with halved colour (4:2:0), and read again."""

    def apply(image: Image, _rng: np.random.Generator) -> Image:
        file = BytesIO()
        Pillow.fromarray(to_bytes(image)).save(file, "JPEG", quality=quality, subsampling="4:2:0")
        with Pillow.open(file) as scan:
            return (np.asarray(scan) / 255).astype(np.float32)

    return apply


def rounded() -> Degradation:
    """To 8 bits, as any file that is not JPEG."""

    def apply(image: Image, _rng: np.random.Generator) -> Image:
        return (to_bytes(image) / 255).astype(np.float32)

    return apply


def to_bytes(image: Image) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """``image`` in [0, 1] as uint8, rounded."""
    return np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)
