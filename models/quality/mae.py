"""MAE: the mean absolute difference, in levels of 255. Facts from ``FVL2020/ELSFace:evaluate.py``."""

import numpy as np

from models.quality_metric import PictureMetric, Pixels, mean_as


def mae(restored: Pixels, truth: Pixels | None) -> float:
    """Of two pictures (H, W, 3) uint8, in levels."""
    if truth is None:
        raise TypeError("a second picture is needed")
    return float(np.abs(restored.astype(np.float64) - truth).mean())


METRIC = PictureMetric(
    name="mae",
    summary="mean absolute difference, levels of 255",
    better="lower",
    source="its name",
    against="truth",
    build=lambda _weights, _device, _protocol: mae,
    whole=mean_as("mae"),
)
