"""NIQE: how far a picture's local statistics lie from those of pristine photos. No reference is needed.

Mittal, Soundararajan, Bovik, "Making a 'Completely Blind' Image Quality Analyzer", IEEE Signal Processing Letters
20(3), 2013, in the form of ``basicsr`` 1.4.2 (MATLAB's luma, rounded; blocks of 96 x 96; two scales), with its pristine
parameters. It computes in float32, as basicsr does: rounding in flat areas moves the figure by up to one percent.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import convolve
from scipy.special import gamma

from models.checkpoint import Checkpoint, Device
from models.quality_metric import Measured, PictureMetric, Pixels, Protocol, Weights, mean_as

Floats = NDArray[np.floating]

BLOCK = 96  # pixels
WINDOW, SIGMA = 7, 7 / 6  # pixels
LUMA, BLACK = (65.481, 128.553, 24.966), 16.0  # of RGB in [0, 1]; MATLAB's YCbCr
SHIFTS = ((0, 1), (1, 0), (1, 1), (1, -1))  # of the neighbour that a pixel is multiplied with
SHAPES = np.arange(0.2, 10.001, 0.001)  # of the generalised Gaussian
MARGIN = 8  # pixels that are mirrored before the picture is halved
SMALLEST = BLOCK
WEIGHTS = Checkpoint(
    name="niqe_pris_params.npz",
    url="https://raw.githubusercontent.com/XPixelGroup/BasicSR/master/basicsr/metrics/niqe_pris_params.npz",
    licence="Apache-2.0 by BasicSR; parameters of the authors of NIQE",
    commercial=None,
    tensors={"mu_pris_param": (1, 36), "cov_pris_param": (36, 36)},
)


def niqe(picture: Pixels, mean: Floats, covariance: Floats) -> float:
    """Of ``picture`` (H, W, 3) uint8 RGB, sides 96 or more, beside the pristine ``mean`` (36,) and ``covariance``.

    What is left over of 96-pixel blocks at the right and the bottom does not count.
    """
    found = features(luma(picture))
    whole = found[~np.isnan(found).any(1)]
    shared = np.linalg.pinv((covariance + np.cov(whole, rowvar=False)) / 2)
    apart = mean - np.nanmean(found, 0)
    return float(np.sqrt(apart @ shared @ apart))


def luma(picture: Pixels) -> Floats:
    """(H, W, 3) uint8 RGB as (H, W) float32, 16 to 235, rounded."""
    return np.rint(picture @ np.array(LUMA) / 255 + BLACK).astype(np.float32)


def features(light: Floats) -> Floats:
    """The 36 features of each block of ``light`` (H, W): 18 at full size, then 18 at half."""
    rows, columns = (side // BLOCK for side in light.shape)
    if not rows or not columns:
        raise ValueError(f"NIQE needs {BLOCK} x {BLOCK} pixels, not {light.shape}")
    light = light[: rows * BLOCK, : columns * BLOCK]
    scales: list[Floats] = []
    for side, level in ((BLOCK, light), (BLOCK // 2, halved(light))):
        normal = normalised(level)
        blocks = normal.reshape(rows, side, columns, side).transpose(2, 0, 1, 3).reshape(-1, side, side)
        scales.append(np.stack([_features(block) for block in blocks]))
    return np.concatenate(scales, 1)


def normalised(light: Floats) -> Floats:
    """``light`` without its local mean, over its local deviation."""
    mean = convolve(light, gaussian(), mode="nearest")
    spread = np.sqrt(np.abs(convolve(light**2, gaussian(), mode="nearest") - mean**2))
    return (light - mean) / (spread + 1)


def halved(light: Floats) -> Floats:
    """Half the size by MATLAB's cubic with antialiasing, mirrored at the borders."""
    padded = np.pad(light, MARGIN, mode="symmetric").astype(np.float32)
    size = padded.shape[1] // 2, padded.shape[0] // 2
    small = np.asarray(Image.fromarray(padded).resize(size, Image.Resampling.BICUBIC), np.float32)
    cut = MARGIN // 2
    return small[cut:-cut, cut:-cut]


def fitted(values: Floats) -> tuple[float, float, float]:
    """Shape, left and right scale of the asymmetric generalised Gaussian that fits ``values``, by moments."""
    flat = values.ravel()
    left, right = (np.sqrt((side**2).mean()) for side in (flat[flat < 0], flat[flat > 0]))
    ratio = left / right
    moment = np.abs(flat).mean() ** 2 / (flat**2).mean()
    moment *= (ratio**3 + 1) * (ratio + 1) / (ratio**2 + 1) ** 2
    shape = float(SHAPES[np.argmin((_moments() - moment) ** 2)])
    scale = np.sqrt(gamma(1 / shape) / gamma(3 / shape))
    return shape, float(left * scale), float(right * scale)


@cache
def gaussian() -> Floats:
    """The window (7, 7), of sum 1."""
    line = np.exp(-((np.arange(WINDOW) - WINDOW // 2) ** 2) / (2 * SIGMA**2))
    return np.outer(line, line) / line.sum() ** 2


@cache
def _moments() -> Floats:
    inverse = 1 / SHAPES
    return gamma(2 * inverse) ** 2 / (gamma(inverse) * gamma(3 * inverse))


def _features(block: Floats) -> Floats:
    """Of one block: two of its values, four of each product with a neighbour."""
    shape, left, right = fitted(block)
    found = [shape, (left + right) / 2]
    for shift in SHIFTS:
        shape, left, right = fitted(block * np.roll(block, shift, axis=(0, 1)))
        found += [shape, (right - left) * gamma(2 / shape) / gamma(1 / shape), left, right]
    return np.array(found)


def _build(weights: Weights, _device: Device, _protocol: Protocol) -> Measured:
    with np.load(weights[WEIGHTS.name], allow_pickle=False) as stored:
        mean, covariance = stored["mu_pris_param"].ravel(), stored["cov_pris_param"]

    def measured(restored: Pixels, _other: Pixels | None) -> float:
        return niqe(restored, mean, covariance)

    return measured


METRIC = PictureMetric(
    name="niqe",
    summary="distance from the statistics of pristine photos",
    better="lower",
    source="Mittal et al. 2013; basicsr 1.4.2, calculate_niqe",
    against="nothing",
    checkpoints=(WEIGHTS,),
    build=_build,
    whole=mean_as("niqe"),
)
