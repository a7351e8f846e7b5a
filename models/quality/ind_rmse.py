"""IndRMSE: how far results lie from the posterior mean, where there is no truth.

Ohayon, Michaeli, Elad, "Posterior-Mean Rectified Flow", ICLR 2025: E|xhat - x|^2 is E|xhat - m|^2 plus a constant of
the data, so a method nearer to the mean m has the smaller error. Both are 8-bit files.
"""

from collections.abc import Sequence
from math import sqrt

import numpy as np

from models.quality.psnr import mean_squared_error
from models.quality_metric import Figures, PictureMetric, Protocol


def root_of_mean(values: Sequence[float], _protocol: Protocol) -> Figures:
    """The root of the mean, over pictures, of mean squared errors."""
    return {"ind_rmse": sqrt(float(np.mean(values)))}


METRIC = PictureMetric(
    name="ind_rmse",
    summary="root mean square difference to the posterior mean, levels of 255",
    better="lower",
    source="PMRF, ICLR 2025",
    against="mean",
    build=lambda _weights, _device, _protocol: mean_squared_error,
    whole=root_of_mean,
)
