"""Noise: the standard deviation of the grain, from the finest wavelet coefficients.

Donoho, Johnstone, "Ideal spatial adaptation by wavelet shrinkage", Biometrika 81(3), 1994; computed by
``skimage.restoration.estimate_sigma``.
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.restoration import estimate_sigma

from models.quality_measure import QualityMeasure

SMALLEST = 5  # shorter sides are taken for colour channels by scikit-image


def noise(picture: NDArray[np.uint8]) -> float:
    """Standard deviation of the noise in the luma of ``picture`` (H, W, 3) uint8 RGB, in grey levels of 0 to 255.

    It sees pixel-sized grain only: noise that was enlarged, blurred or strongly compressed after it came in is
    underestimated.
    """
    return sigma_of(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float64))


def sigma_of(luma: NDArray[np.float64]) -> float:
    """Standard deviation of the noise in ``luma`` (H, W), in its own units; 0 where nothing can be said."""
    if min(luma.shape) < SMALLEST or not luma.any():
        return 0.0
    sigma = float(np.asarray(estimate_sigma(luma)))
    return sigma if math.isfinite(sigma) else 0.0


MEASURE = QualityMeasure(
    name="noise",
    summary="standard deviation of the grain in luma by wavelets (Donoho and Johnstone 1994), grey levels",
    better="lower",
    measure=noise,
)
