"""Deg: the angle between the embeddings of the restored and the true face, in degrees.

Facts from ``ohayonguy/PMRF:evaluation/calculate_cos_dist.py``, which comes from VQFR's evaluation.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from models.checkpoint import Checkpoint, Device
from models.quality_metric import Figures, Measured, PictureMetric, Pixels, Protocol, Weights

SIDE = 128
IDENTICAL = 1.0  # degrees; the original leaves pairs below it out of its mean
WEIGHTS = Checkpoint(
    name="resnet18_110.pth",
    url=None,
    licence="not stated; shipped by VQFR for its evaluation",
    commercial=None,
    steps="download it from https://drive.google.com/drive/folders/1k3RCSliF6PsujCMIdCD1hNM63EozlDIZ in a browser",
    tensors={"module.conv1.weight": (64, 1, 3, 3), "module.fc5.weight": (512, 32768)},
)


def grey(picture: Pixels) -> Pixels:
    """(H, W, 3) RGB as the network's (128, 128)."""
    return np.asarray(cv2.resize(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), (SIDE, SIDE)), np.uint8)


def mean_degrees(values: Sequence[float], protocol: Protocol) -> Figures:
    """The mean angle and the number of near-identical pairs, which ``as_published`` leaves out; 0 if all are."""
    counted = [value for value in values if value >= IDENTICAL or not protocol.as_published]
    identical = sum(value < IDENTICAL for value in values)
    return {"deg": float(np.mean(counted)) if counted else 0.0, "deg_identical": float(identical)}


def _build(weights: Weights, device: Device, _protocol: Protocol) -> Measured:
    import torch

    from models.load import load
    from models.nets.resnet_face import ResNetFace, degrees_between

    network = load(ResNetFace(), weights[WEIGHTS.name], renames={"module.": ""}).to(device)

    def measured(restored: Pixels, truth: Pixels | None) -> float:
        if truth is None:
            raise TypeError("a second picture is needed")
        levels = torch.from_numpy(np.stack([grey(restored), grey(truth)]))[:, None].to(device)
        with torch.inference_mode():
            found = [network(one[None].float().sub(127.5).div(127.5)) for one in levels]
        return float(degrees_between(found[0], found[1]))

    return measured


METRIC = PictureMetric(
    name="deg",
    summary="angle between the embeddings of the two faces, degrees",
    better="lower",
    source="VQFR's evaluation, by PMRF's calculate_cos_dist.py",
    against="truth",
    checkpoints=(WEIGHTS,),
    build=_build,
    whole=mean_degrees,
)
