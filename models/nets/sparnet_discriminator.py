"""The three discriminators that SPARNetHD is trained against, each at half the scale of the one before.

Chen et al., "Learning Spatial Attention for Face Super-Resolution", TIP 2021. Facts from
``chaofengc/Face-SPARNet:models/sparnet.py`` (MultiScaleDiscriminator). Needed for training only.
"""

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

from models.nets.sparnet import Conv
from models.spectral_norm import under_spectral_norm

SCALES = 3
WIDTHS = (64, 128, 256, 512, 512)

Judgement = tuple[torch.Tensor, list[torch.Tensor]]
"""Scores (B, 1, H', W'), higher for real ones, and the five feature maps on the way to them."""


class Discriminator(nn.Module):
    """(B, 3, H, W) RGB in [-1, 1] to a map of scores: at 512 pixels 30 x 30, at 256 14 x 14, at 128 6 x 6."""

    def __init__(self) -> None:
        super().__init__()
        steps = [Conv(channels, out, "down", norm=True, activation=True) for channels, out in pairwise(WIDTHS)]
        self.model = nn.ModuleList([Conv(3, WIDTHS[0], activation=True), *steps])
        self.score_out = nn.Conv2d(WIDTHS[-1], 1, 3)

    def forward(self, faces: torch.Tensor) -> Judgement:
        features: list[torch.Tensor] = []
        for step in self.model:
            faces = step(faces)
            features.append(faces)
        return self.score_out(faces), features


class Discriminators(nn.Module):
    """One at each scale. Every convolution has a spectral norm."""

    def __init__(self) -> None:
        super().__init__()
        self.D_pool = nn.ModuleList([Discriminator() for _ in range(SCALES)])
        under_spectral_norm(self)

    def forward(self, faces: torch.Tensor) -> list[Judgement]:
        """Of ``faces`` (B, 3, H, W) RGB in [-1, 1], sides of 192 and more: a judgement for each scale."""
        found: list[Judgement] = []
        for discriminator in self.D_pool:
            found.append(discriminator(faces))
            faces = functional.interpolate(faces, scale_factor=0.5, mode="bicubic", align_corners=False)
        return found
