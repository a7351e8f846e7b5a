"""What the lens and the scanner lose: blur, defocus and resolution.

Blur followed by a loss of resolution is the classical model that GFPGAN (Wang et al., CVPR 2021, arXiv:2101.04061) and
its successors train with.
"""

import cv2
import numpy as np

from models.degradations.chain import Degradation, Image, clipped, compose


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


def motion(length: float, angle: float) -> Degradation:
    """A camera that moved: the mean along a line of ``length`` pixels (> 1) at ``angle`` degrees, edges mirrored."""

    def apply(image: Image, _rng: np.random.Generator) -> Image:
        reach = int(np.ceil(length / 2))
        y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
        turn = np.deg2rad(angle)
        along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
        line = np.clip(length / 2 + 0.5 - np.abs(along), 0, 1) * np.clip(1 - np.abs(across), 0, 1)
        return clipped(cv2.filter2D(image, -1, line / line.sum(), borderType=cv2.BORDER_REFLECT_101))

    return apply


def stretched_blur(long: float, short: float, angle: float) -> Degradation:
    """Gaussian blur of ``long`` pixels along ``angle`` degrees and ``short`` across it (both > 0), edges mirrored."""

    def apply(image: Image, _rng: np.random.Generator) -> Image:
        reach = int(np.ceil(3 * max(long, short)))
        y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
        turn = np.deg2rad(angle)
        along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
        bell = np.exp(-((along / long) ** 2 + (across / short) ** 2) / 2)
        return clipped(cv2.filter2D(image, -1, bell / bell.sum(), borderType=cv2.BORDER_REFLECT_101))

    return apply


def at_scale(factor: float, inner: Degradation, down: int = cv2.INTER_AREA, up: int = cv2.INTER_CUBIC) -> Degradation:
    """``inner`` at 1 / ``factor`` (>= 1) of the resolution, then the old size; by OpenCV's ``down`` and ``up``."""

    def apply(image: Image, rng: np.random.Generator) -> Image:
        height, width = image.shape[:2]
        small = (max(1, round(width / factor)), max(1, round(height / factor)))
        if small == (width, height):
            return inner(image, rng)
        scan = inner(clipped(cv2.resize(image, small, interpolation=down)), rng)
        return clipped(cv2.resize(scan, (width, height), interpolation=up))

    return apply


def resample(factor: float) -> Degradation:
    """A scan at 1 / ``factor`` (>= 1) of the resolution, enlarged again to the size it had."""

    return at_scale(factor, compose())
