"""LMD: the mean distance between the 98 landmarks of the restored and the true face, in pixels of the picture.

Facts from ``ohayonguy/PMRF:evaluation/calculate_landmark_distance.py``, which comes from VQFR's evaluation. Figures
depend on the size of the picture: the papers' are at 512.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from models.checkpoint import Checkpoint, Device
from models.quality_metric import Measured, PictureMetric, Pixels, Protocol, Weights, mean_as

SIDE, MAP_SIDE = 256, 64
WEIGHTS = Checkpoint(
    name="alignment_WFLW_4HG.pth",
    url=None,
    licence="not stated; weights of AdaptiveWingLoss, shipped by VQFR for its evaluation",
    commercial=None,
    steps="download it from https://drive.google.com/drive/folders/1k3RCSliF6PsujCMIdCD1hNM63EozlDIZ in a browser",
    tensors={"state_dict.conv1.conv.weight": (64, 6, 7, 7), "state_dict.l3.weight": (99, 256, 1, 1)},
)


def landmark_distance(points: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    """The mean Euclidean distance between points (N, 2) and their places in ``others``."""
    return float(np.linalg.norm(points - others, axis=-1).mean())


def _build(weights: Weights, device: Device, protocol: Protocol) -> Measured:
    import torch

    from models.landmark_maps import points
    from models.load import load
    from models.nets.fan import FAN

    network = load(FAN(), weights[WEIGHTS.name], container="state_dict").to(device)

    def landmarks(picture: Pixels) -> NDArray[np.float64]:
        height, width = picture.shape[:2]
        levels = torch.from_numpy(np.asarray(cv2.resize(picture, (SIDE, SIDE)))).to(device)
        with torch.inference_mode():
            maps = network(levels.permute(2, 0, 1)[None].float().div(255))[-1][:, :-1].cpu().numpy()
        return points(maps, as_published=protocol.as_published)[0] * (width / MAP_SIDE, height / MAP_SIDE)

    def measured(restored: Pixels, truth: Pixels | None) -> float:
        if truth is None:
            raise TypeError("a second picture is needed")
        return landmark_distance(landmarks(restored), landmarks(truth))

    return measured


METRIC = PictureMetric(
    name="lmd",
    summary="mean distance of 98 landmarks, pixels",
    better="lower",
    source="VQFR's evaluation, by PMRF's calculate_landmark_distance.py",
    against="truth",
    checkpoints=(WEIGHTS,),
    build=_build,
    whole=mean_as("lmd"),
)
