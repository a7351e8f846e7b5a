"""PSNR: the peak signal over the mean squared error, in dB.

As ``basicsr``'s ``calculate_psnr_pt``, which PMRF's evaluation uses: all three channels in [0, 1], float64, and 1e-8 on
the error, so that equal pictures have 80 dB.
"""

from math import log10

import numpy as np

from models.quality_metric import PictureMetric, Pixels, mean_as

FLOOR = 1e-8  # of the mean squared error of values in [0, 1]


def psnr(restored: Pixels, truth: Pixels | None) -> float:
    """In dB, of two pictures (H, W, 3) uint8."""
    return 10 * log10(1 / (mean_squared_error(restored, truth) / 255**2 + FLOOR))


def mean_squared_error(picture: Pixels, other: Pixels | None) -> float:
    """Of two pictures (H, W, 3) uint8, in squared levels."""
    if other is None:
        raise TypeError("a second picture is needed")
    return float(((picture.astype(np.float64) - other) ** 2).mean())


METRIC = PictureMetric(
    name="psnr",
    summary="peak signal-to-noise ratio, dB",
    better="higher",
    source="basicsr 1.4.2, calculate_psnr_pt",
    against="truth",
    build=lambda _weights, _device, _protocol: psnr,
    whole=mean_as("psnr"),
)
