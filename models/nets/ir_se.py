"""IR-SE-50, the backbone of ArcFace's follow-ups: residual blocks with squeeze-and-excitation.

Hu, Shen, Sun, "Squeeze-and-Excitation Networks", CVPR 2018; Deng et al., "ArcFace", CVPR 2019. Facts from
``TreB1eN/InsightFace_Pytorch:model.py`` by way of ``LonglongaaaGo/VSPBFR:e4e/models/encoders``.
"""

import torch
from torch import nn


class Excitation(nn.Module):
    """Weighs each channel by what all channels' means say."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // reduction, 1, bias=False)
        self.fc2 = nn.Conv2d(channels // reduction, channels, 1, bias=False)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) to the same shape."""
        weights = self.fc2(self.fc1(features.mean((2, 3), keepdim=True)).relu())
        return features * weights.sigmoid()


class Block(nn.Module):
    """Two convolutions with excitation beside a shortcut; no activation after the sum."""

    def __init__(self, channels: int, out: int, stride: int, reduction: int) -> None:
        super().__init__()
        self.stride = stride
        if channels != out:
            self.shortcut_layer = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))
        self.same = channels == out
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(channels),
            nn.Conv2d(channels, out, 3, padding=1, bias=False),
            nn.PReLU(out),
            nn.Conv2d(out, out, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(out),
            Excitation(out, reduction),
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) to (B, out, H / stride, W / stride), rounded up."""
        shortcut = features[..., :: self.stride, :: self.stride] if self.same else self.shortcut_layer(features)
        return shortcut + self.res_layer(features)


def stem(channels: int) -> nn.Sequential:
    """(B, 3, H, W) RGB in [-1, 1] to (B, channels, H, W)."""
    return nn.Sequential(nn.Conv2d(3, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.PReLU(channels))


def body(widths: tuple[int, ...], units: tuple[int, ...], reduction: int) -> nn.Sequential:
    """The stages behind a stem of ``widths[0]`` channels; the first block of each halves the sides."""
    blocks: list[Block] = []
    # widths is one longer than the other two: each stage leads from a width to the next
    for before, width, count in zip(widths[:-1], widths[1:], units, strict=True):
        blocks.append(Block(before, width, 2, reduction))
        blocks += [Block(width, width, 1, reduction) for _ in range(count - 1)]
    return nn.Sequential(*blocks)
