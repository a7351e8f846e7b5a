"""The degradations that can be asked for by name: (clean, degraded) faces for training are made by them.

Each is a function of the face's side in pixels. ``archival`` is what Daguerre's own restorer is trained on, ``mild`` to
``heavy`` what it is judged by; ``vspbfr`` and ``elsface`` are those of the methods of these names.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import cv2
import numpy as np

from models.degradations.archival import judged, training
from models.degradations.chain import Ageing, Image, clipped, compose
from models.training import vspbfr_data

ELSFACE_TARGET, ELSFACE_INPUT = 128, 32  # sides of its pairs


def all_degradations() -> Mapping[str, Callable[[int], Ageing]]:
    """Every degradation by name: a function from the side of the face to its ageing."""
    plain = compose()
    return MappingProxyType(
        {
            "archival": training,
            "mild": lambda side: Ageing(plain, judged("mild", side)),
            "medium": lambda side: Ageing(plain, judged("medium", side)),
            "heavy": lambda side: Ageing(plain, judged("heavy", side)),
            "vspbfr": lambda side: Ageing(plain, by_vspbfr),
            "elsface": lambda side: Ageing(plain, by_elsface),
        }
    )


def by_vspbfr(image: Image, rng: np.random.Generator) -> Image:
    """What VSPBFR's restoration network is trained on: blur, reduction, noise and JPEG, now and then haze. Of a square
    ``image``.
    """
    how = vspbfr_data.drawn(rng, haze=True)
    small = vspbfr_data.small_size(image.shape[0], how.scale)
    noise = rng.standard_normal((small, small, 3), np.float32)
    return clipped(vspbfr_data.degraded(image, how, noise).lq)


def by_elsface(image: Image, rng: np.random.Generator) -> Image:
    """ELSFace's input, a quarter of the face at 128 pixels, enlarged to the size of ``image`` (cubic)."""
    height, width = image.shape[:2]
    small = image
    for side in (ELSFACE_TARGET, ELSFACE_INPUT):
        small = clipped(cv2.resize(small, (side, side), interpolation=cv2.INTER_CUBIC))
    return clipped(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC))
