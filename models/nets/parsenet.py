"""ParseNet: a residual encoder and decoder that tells the 19 classes of CelebAMask-HQ apart, pixel by pixel.

Chen, Li, Yang, Lin, Zhang, Wong, "Progressive Semantic-Aware Style Transformation for Blind Face Restoration", CVPR
2021, uses it for its parsing maps. Facts from ``xinntao/facexlib:facexlib/parsing/parsenet.py`` at the arguments of
``facexlib/parsing/__init__.py`` (512 x 512 in and out, 19 classes).

The 238 tensors have the published names. The original network, saved in the format that torch used before 1.6, takes
85,331,193 bytes, exactly as many as the published file: so that file is a flat state dict of these tensors.
"""

from collections import OrderedDict
from typing import Literal

import torch
from torch import nn

Scale = Literal["down", "keep", "up"]

CLASSES = 19
STEM = 64
DOWN = ((64, 128), (128, 256), (256, 256), (256, 256))  # channels in and out; each halves the sides
UP = ((256, 256), (256, 256), (256, 128), (128, 64))  # each doubles them
BODY_WIDTH, BODY_DEPTH = 256, 10
SLOPE = 0.2  # of the leaky ReLU


class Layer(nn.Sequential):
    """A 3 x 3 convolution over borders mirrored by a pixel; it halves the sides by its stride, or doubles them first by
    repeating pixels.
    """

    def __init__(self, channels: int, out: int, scale: Scale = "keep", *, norm: bool = False, relu: bool = False):
        stride = 2 if scale == "down" else 1
        parts: OrderedDict[str, nn.Module] = OrderedDict()
        if scale == "up":
            parts["enlarge"] = nn.Upsample(scale_factor=2, mode="nearest")
        parts["conv2d"] = nn.Conv2d(channels, out, 3, stride, padding=1, padding_mode="reflect", bias=not norm)
        if norm:
            parts["norm"] = nn.Sequential(OrderedDict(norm=nn.BatchNorm2d(out)))
        if relu:
            parts["relu"] = nn.LeakyReLU(SLOPE, inplace=True)
        super().__init__(parts)


class Residual(nn.Module):
    """Two normalised layers beside a shortcut, which is a layer of its own wherever the sides change."""

    def __init__(self, channels: int, out: int, scale: Scale = "keep") -> None:
        super().__init__()
        first, second = ("up", "keep") if scale == "up" else ("keep", scale)
        self.shortcut_func = nn.Identity() if scale == "keep" else Layer(channels, out, scale)
        self.conv1 = Layer(channels, out, first, norm=True, relu=True)
        self.conv2 = Layer(out, out, second, norm=True)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) to (B, out, H', W'), the sides halved, kept or doubled."""
        return self.shortcut_func(features) + self.conv2(self.conv1(features))


class ParseNet(nn.Module):
    """See the module. For use in ``eval`` mode."""

    def __init__(self) -> None:
        super().__init__()
        down = [Residual(channels, out, "down") for channels, out in DOWN]
        self.encoder = nn.Sequential(Layer(3, STEM), *down)
        self.body = nn.Sequential(*[Residual(BODY_WIDTH, BODY_WIDTH) for _ in range(BODY_DEPTH)])
        self.decoder = nn.Sequential(*[Residual(channels, out, "up") for channels, out in UP])
        self.out_img_conv = Layer(STEM, 3)
        self.out_mask_conv = Layer(STEM, CLASSES)

    def forward(self, faces: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Read ``faces`` (B, 3, H, W), RGB in [-1, 1], sides multiples of 16 from 32 on; published for 512 x 512.

        Gives logits (B, 19, H, W), and a picture (B, 3, H, W) from a second head, which parsing does not use.
        """
        features = self.encoder(faces)
        features = self.decoder(features + self.body(features))
        return self.out_mask_conv(features), self.out_img_conv(features)
