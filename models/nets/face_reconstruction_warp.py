"""The way of a crop into the reconstruction network: a size and a place by five landmarks, and a bilinear warp.

Facts from ``TencentYoutuResearch/FaceRestoration-sgpn:face_d3dfr/preprocess.py``; the sampling is that of kornia's
``warp_affine`` since version 0.5. The truncation of the enlarged width and the flips at the last pixel are the
original's: the coefficients depend on them.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

Points = NDArray[np.float64]

CROP, SIDE = 512, 224
EXTENT = 102.0  # the size that the face is brought to
LANDMARKS: Points = np.array(
    [
        [-0.311486572, 0.2903607786, 0.1337795258],
        [0.3097988665, 0.2897203565, 0.1317952573],
        [0.0032534988, -0.0461793244, 0.5524424314],
        [-0.2521692812, -0.3813391626, 0.2240573168],
        [0.2484661937, -0.3812823594, 0.2223576903],
    ]
)  # eyes, nose tip and mouth corners of similarity_Lm3D_all.mat (means of 37 and 40, of 43 and 46; 31, 49, 55)


def placed(points: Points) -> Points:
    """Where landmarks (5, 2) of a crop of 512 x 512 go in the network's picture of 224 x 224, (5, 2)."""
    scale, x, y = _fit(points)
    margin = int(CROP * scale) / 2 - SIDE / 2
    across = (points[:, 0] - x + CROP / 2) * scale - margin
    up = (CROP - 1 - points[:, 1] - y + CROP / 2) * scale - margin
    return np.stack([across, SIDE - 1 - up], 1)


def matrices(points: Points) -> tuple[Points, Points]:
    """The maps (2, 3) from a crop of 512 x 512 with landmarks (5, 2) to the picture, and back.

    The places of ``placed`` are the landmarks scaled and moved: nothing is turned.
    """
    scale, x, y = _fit(points)
    margin = int(CROP * scale) / 2 - SIDE / 2
    across = scale * (CROP / 2 - x) - margin
    down = SIDE - 1 - scale * (CROP - 1 + CROP / 2 - y) + margin
    there = np.array([[scale, 0, across], [0, scale, down]])
    back = np.array([[1 / scale, 0, -across / scale], [0, 1 / scale, -down / scale]])
    return there, back


def warped(images: torch.Tensor, matrices: torch.Tensor, side: int) -> torch.Tensor:
    """``images`` (B, C, H, W) under the maps ``matrices`` (B, 2, 3) of pixels to pixels, (B, C, side, side).

    Bilinear, pixels' centres at whole numbers, zero outside.
    """
    height, width = images.shape[2:]
    whole = functional.pad(matrices.double(), (0, 0, 0, 1))
    whole[:, 2, 2] = 1
    steps = torch.arange(side, dtype=torch.float64, device=images.device)
    rows, columns = torch.meshgrid(steps, steps, indexing="ij")
    places = torch.stack([columns, rows, torch.ones_like(rows)], -1) @ whole.inverse()[:, None, :2].mT
    grid = places / (places.new_tensor([width, height]) - 1) * 2 - 1
    return functional.grid_sample(images, grid.to(images.dtype), padding_mode="zeros", align_corners=True)


def _fit(points: Points) -> tuple[float, float, float]:
    """The scale that brings the face to its size, and where the middle of the head is, x right and y up."""
    up = np.stack([points[:, 0], CROP - 1 - points[:, 1]], 1)
    system = np.hstack([LANDMARKS, np.ones((5, 1))])
    solved = np.linalg.lstsq(system, up, rcond=None)[0]
    extent = np.linalg.norm(solved[:3], axis=0).mean()
    return float(EXTENT / extent), float(solved[3, 0]), float(solved[3, 1])
