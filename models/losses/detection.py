"""Losses of a face detector: boxes and landmarks.

EIoU: Zhang, Ren, Zhang, Jia, Wang, Tan, "Focal and Efficient IOU Loss for Accurate Bounding Box Regression",
Neurocomputing 506, 2022; YuNet is trained with it.
"""

import torch
from torch.nn import functional

TINY = 1e-7


def overlap(boxes: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Intersection over union (n,) of boxes (n, 4), centre x and y, width, height."""
    (low, high), (true_low, true_high) = _corners(boxes), _corners(truth)
    shared = (torch.minimum(high, true_high) - torch.maximum(low, true_low)).clamp(min=0).prod(dim=1)
    return shared / (boxes[:, 2:].prod(dim=1) + truth[:, 2:].prod(dim=1) - shared + TINY)


def eiou(boxes: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """(n,) for boxes (n, 4), centre x and y, width, height: overlap, distance of the centres, width and height."""
    (low, high), (true_low, true_high) = _corners(boxes), _corners(truth)
    around = torch.maximum(high, true_high) - torch.minimum(low, true_low)
    centres = (boxes[:, :2] - truth[:, :2]).square().sum(dim=1) / (around.square().sum(dim=1) + TINY)
    sides = ((boxes[:, 2:] - truth[:, 2:]).square() / (around.square() + TINY)).sum(dim=1)
    return 1 - overlap(boxes, truth) + centres + sides


def landmarks(points: torch.Tensor, truth: torch.Tensor, size: torch.Tensor, beta: float = 3.0) -> torch.Tensor:
    """Smooth L1 (n,) of points (n, 10), in hundredths of the face's ``size`` (n,) and quadratic below ``beta``."""
    error = 100 * (points - truth) / size[:, None]
    return functional.smooth_l1_loss(error, torch.zeros_like(error), beta=beta, reduction="none").mean(dim=1) / 10


def _corners(boxes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    half = boxes[:, 2:] / 2
    return boxes[:, :2] - half, boxes[:, :2] + half
