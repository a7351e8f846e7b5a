"""Sharp Loss: pictures are compared after an unsharp mask, so that edges weigh more.

Qi, Qiu, Luo, Jin, "An Efficient Latent Style Guided Transformer-CNN Framework for Face Super-Resolution", IEEE
Transactions on Multimedia 26, 2024; constants from ``FVL2020/ELSFace:main_train.py`` and ``model/``.
"""

import math

import torch
from torch.nn import functional

RADIUS = 25  # the Gaussian has 51 taps
SIGMA = 0.3 * (RADIUS - 1) + 0.8  # OpenCV's rule for 51 taps: 8.0
AMOUNT = 0.5  # how much of the difference to the blurred picture is added
WEIGHT = 0.05  # of the Sharp Loss beside L1, as published


def elsface_loss(found: torch.Tensor, wanted: torch.Tensor, sharp_weight: float = WEIGHT) -> torch.Tensor:
    """L1 + ``sharp_weight`` x Sharp Loss of ``found`` and ``wanted``, (B, C, H, W), sides above 25: a scalar."""
    return functional.l1_loss(found, wanted) + sharp_weight * sharp_loss(found, wanted)


def sharp_loss(found: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """L1 between the sharpened ``found`` and ``wanted``, (B, C, H, W), sides above 25: a scalar.

    Sharpening is linear, so the difference is sharpened once in place of both pictures.
    """
    return sharpened(found - wanted).abs().mean()


def sharpened(images: torch.Tensor) -> torch.Tensor:
    """The unsharp mask of ``images`` (B, C, H, W), sides above 25, channel by channel; nothing is clipped."""
    return images + AMOUNT * (images - blurred(images))


def blurred(images: torch.Tensor) -> torch.Tensor:
    """``images`` (B, C, H, W) under the Gaussian, mirrored past the border without repeating the edge."""
    taps = _taps().to(images)
    planes = functional.pad(images, (RADIUS,) * 4, mode="reflect").flatten(0, 1)[:, None]
    rows = functional.conv2d(planes, taps[None, None, None, :])
    return functional.conv2d(rows, taps[None, None, :, None]).view_as(images)


def _taps() -> torch.Tensor:
    """(51,) float64, their sum 1."""
    weights = [math.exp(-((tap / SIGMA) ** 2) / 2) for tap in range(-RADIUS, RADIUS + 1)]
    return torch.tensor(weights, dtype=torch.float64) / math.fsum(weights)
