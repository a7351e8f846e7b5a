"""Exposure: how much of the tonal range the picture uses without clipping. The formula is this project's own."""

import cv2
import numpy as np
from numpy.typing import NDArray

from models.quality_measure import QualityMeasure

DARKEST, LIGHTEST = 1, 254  # luma at or beyond these counts as clipped


def exposure(picture: NDArray[np.uint8]) -> float:
    """Spread of the luma of ``picture`` (H, W, 3) uint8 RGB times the share of pixels that are not clipped, 0 to 1.

    The spread runs from the 1st to the 99th percentile, as a share of 255. A faded print is low because the
    spread is small, a burnt-out or drowned one because much is clipped.
    """
    luma = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    low, high = np.percentile(luma, (1, 99))
    clipped = np.count_nonzero((luma <= DARKEST) | (luma >= LIGHTEST)) / luma.size
    return float((high - low) / 255 * (1 - clipped))


MEASURE = QualityMeasure(
    name="exposure",
    summary="share of the tonal range that is used, times the share of pixels not clipped, 0 to 1",
    better="higher",
    measure=exposure,
)
