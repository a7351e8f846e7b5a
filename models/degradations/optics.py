"""What the lens and the scanner lose: blur, defocus and resolution.

Blur followed by a loss of resolution is the classical model that GFPGAN (Wang et al., CVPR 2021, arXiv:2101.04061) and
its successors train with.
"""

import cv2
import numpy as np

from models.degradations.chain import Degradation, Image, clipped


def blur(sigma: float) -> Degradation:
    """Gaussian blur of ``sigma`` pixels (> 0), edges mirrored."""

    def apply(image: Image, _rng: np.random.Generator) -> Image:
        return clipped(cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101))

    return apply


def defocus(radius: float) -> Degradation:
    """A lens out of focus: the mean over a disc of ``radius`` pixels (> 0) with a smooth edge of one pixel."""

    def apply(image: Image, _rng: np.random.Generator) -> Image:
        reach = int(np.ceil(radius))
        y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
        disc = np.clip(radius + 0.5 - np.hypot(x, y), 0, 1)
        return clipped(cv2.filter2D(image, -1, disc / disc.sum(), borderType=cv2.BORDER_REFLECT_101))

    return apply


def resample(factor: float) -> Degradation:
    """A scan at 1 / ``factor`` (>= 1) of the resolution, enlarged again to the size it had."""

    def apply(image: Image, _rng: np.random.Generator) -> Image:
        height, width = image.shape[:2]
        small = (max(1, round(width / factor)), max(1, round(height / factor)))
        scan = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
        return clipped(cv2.resize(scan, (width, height), interpolation=cv2.INTER_CUBIC))

    return apply
