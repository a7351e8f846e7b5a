"""SSIM: likeness of local means, contrasts and structures.

Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to structural similarity", IEEE
Transactions on Image Processing 13(4), 2004; computed by ``skimage.metrics``.
"""

from functools import partial
from typing import Literal

import numpy as np
from skimage.metrics import structural_similarity

from models.checkpoint import Device
from models.quality_metric import Measured, PictureMetric, Pixels, Protocol, Weights, mean_as

SIGMA = 1.5  # pixels; skimage cuts the Gaussian to 11 x 11
UNIFORM = 51  # pixels, of ELSFace's window


def ssim(restored: Pixels, truth: Pixels | None, window: Literal["gaussian", "uniform-51"]) -> float:
    """The mean over the channels, and over where the window fits, of two pictures (H, W, 3) uint8.

    "gaussian" is the paper's window, with variances over all its pixels; "uniform-51" is a square of 51 x 51 equal
    weights and sample variances, as ELSFace's evaluation has it.
    """
    if truth is None:
        raise TypeError("a second picture is needed")
    if window == "gaussian":
        found = structural_similarity(
            restored,
            truth,
            channel_axis=2,
            data_range=255,
            gaussian_weights=True,
            sigma=SIGMA,
            use_sample_covariance=False,
        )
    else:
        found = structural_similarity(restored, truth, channel_axis=2, data_range=255, win_size=UNIFORM)
    return float(np.asarray(found))


def _build(_weights: Weights, _device: Device, protocol: Protocol) -> Measured:
    return partial(ssim, window=protocol.ssim)


METRIC = PictureMetric(
    name="ssim",
    summary="structural similarity, at most 1",
    better="higher",
    source="Wang et al. 2004; basicsr 1.4.2, calculate_ssim_pt; ELSFace, evaluate.py",
    against="truth",
    build=_build,
    whole=mean_as("ssim"),
)
