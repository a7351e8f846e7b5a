"""Sharpness: how much a further blur would change the picture.

Crete, Dolmiere, Ladret, Nicolas, "The blur effect: perception and estimation with a new no-reference perceptual blur
metric", Human Vision and Electronic Imaging XII, SPIE 2007; computed by ``skimage.measure.blur_effect``.
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.measure import blur_effect

from models.quality_measure import QualityMeasure

SMALLEST = 4  # a shorter side leaves nothing to compare


def sharpness(picture: NDArray[np.uint8]) -> float:
    """1 minus the blur effect on the luma of ``picture`` (H, W, 3) uint8 RGB: 0 is blurred or flat, 1 sharp.

    Grain and block edges count as sharp: read the figure together with ``noise`` and ``blockiness``.
    """
    return sharpness_of((cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) / 255).astype(np.float32))


def sharpness_of(luma: NDArray[np.float32]) -> float:
    """1 minus the blur effect on ``luma`` (H, W) in [0, 1]; 0 where nothing can be said."""
    if min(luma.shape) < SMALLEST:
        return 0.0
    blur = float(np.asarray(blur_effect(luma)))
    return min(max(1.0 - blur, 0.0), 1.0) if math.isfinite(blur) else 0.0


MEASURE = QualityMeasure(
    name="sharpness",
    summary="1 minus the blur effect (Crete et al. 2007) on luma, 0 to 1",
    better="higher",
    measure=sharpness,
)
