"""Blockiness: how much stronger the steps on an 8 x 8 grid are than the steps beside it.

The idea that block edges are a period of eight in the differences between neighbours is from Wang, Bovik, Evans,
"Blind measurement of blocking artifacts in images", ICIP 2000; they look for it in the spectrum, this short form looks
at the eight positions of the grid.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from models.quality_measure import QualityMeasure

BLOCK = 8
SMALLEST = 2 * BLOCK + 1  # each position of the grid needs two edges


def blockiness(picture: NDArray[np.uint8]) -> float:
    """Excess of the mean luma step on the strongest 8-pixel grid, in grey levels of 0 to 255, mean of both directions.

    ``picture`` is (H, W, 3) uint8 RGB. The grid may start anywhere, but must have a period of eight pixels: in a crop
    that was turned or resampled the blocks of a JPEG file no longer have, and the figure says little.
    A clean picture gives 0.02 to 0.2, JPEG at quality 50 gives 1.2 to 2.2.
    """
    luma = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return (_excess(luma) + _excess(luma.T)) / 2


def _excess(luma: NDArray[np.float32]) -> float:
    """Strongest grid of the columns of ``luma`` (H, W) over the median of the eight possible grids."""
    if luma.shape[1] < SMALLEST:
        return 0.0
    steps = np.abs(np.diff(luma, axis=1)).mean(axis=0, dtype=np.float64)
    grids = [float(steps[offset::BLOCK].mean()) for offset in range(BLOCK)]
    return max(grids) - float(np.median(grids))


MEASURE = QualityMeasure(
    name="blockiness",
    summary="excess of the luma steps on an 8 x 8 grid (after Wang, Bovik and Evans 2000), grey levels",
    better="lower",
    measure=blockiness,
)
