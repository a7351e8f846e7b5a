"""The Transformer part of ELSFace: residual Swin blocks whose windows never shift.

Liang et al., "SwinIR: Image Restoration Using Swin Transformer", ICCV Workshops 2021 (RSTB); Liu et al., "Swin
Transformer", ICCV 2021 (window attention with relative positions). Facts from ``FVL2020/ELSFace:model/elsface.py``.
Feature maps are (B, H, W, C) here: a token a pixel.
"""

from collections import OrderedDict

import torch
from torch import nn

from models.nets.elsface_parts import conv

WINDOW = 8  # side, in pixels
POSITION_STD = 0.02  # of the truncated normal from which a new position table is drawn


def relative_positions() -> torch.Tensor:
    """For each pair of pixels in a window, (64, 64) int64, query first, the row of the position table."""
    y, x = torch.meshgrid(torch.arange(WINDOW), torch.arange(WINDOW), indexing="ij")
    apart_y, apart_x = (axis.flatten()[:, None] - axis.flatten()[None, :] + WINDOW - 1 for axis in (y, x))
    return apart_y * (2 * WINDOW - 1) + apart_x


def to_windows(features: torch.Tensor) -> torch.Tensor:
    """(B, H, W, C), sides multiples of 8, to (B x H/8 x W/8, 64, C)."""
    batch, height, width, channels = features.shape
    grid = features.view(batch, height // WINDOW, WINDOW, width // WINDOW, WINDOW, channels)
    return grid.transpose(2, 3).reshape(-1, WINDOW * WINDOW, channels)


def from_windows(windows: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """The inverse of ``to_windows``."""
    channels = windows.shape[-1]
    grid = windows.view(-1, height // WINDOW, width // WINDOW, WINDOW, WINDOW, channels)
    return grid.transpose(2, 3).reshape(-1, height, width, channels)


class WindowAttention(nn.Module):
    """Each pixel looks at the 64 pixels of its window; a learned bias a head says how much a distance counts."""

    relative_position_index: torch.Tensor

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.scale = (channels // heads) ** -0.5
        self.relative_position_bias_table = nn.Parameter(torch.empty((2 * WINDOW - 1) ** 2, heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=POSITION_STD)
        self.register_buffer("relative_position_index", relative_positions())
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, H, W, C), sides multiples of 8, to the same shape."""
        _, height, width, channels = features.shape
        windows = to_windows(features)
        parts = self.qkv(windows).unflatten(-1, (3, self.heads, channels // self.heads))
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        weights = (query * self.scale) @ key.transpose(-2, -1) + self.bias()
        found = weights.softmax(dim=-1) @ value
        return from_windows(self.proj(found.transpose(1, 2).flatten(2)), height, width)

    def bias(self) -> torch.Tensor:
        """(heads, 64, 64), query first."""
        return self.relative_position_bias_table[self.relative_position_index].permute(2, 0, 1)


class SwinLayer(nn.Module):
    """STL: window attention and a perceptron for each pixel, both normalised before and beside the identity."""

    def __init__(self, channels: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels)
        self.attn = WindowAttention(channels, heads)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = nn.Sequential(
            OrderedDict(fc1=nn.Linear(channels, hidden), act=nn.GELU(), fc2=nn.Linear(hidden, channels))
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, H, W, C), sides multiples of 8, to the same shape."""
        features = features + self.attn(self.norm1(features))
        return features + self.mlp(self.norm2(features))


class ResidualSwin(nn.Module):
    """RSTB: one Swin layer and a convolution, beside the identity."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        layer = SwinLayer(channels, heads, 2 * channels)
        self.residual_group = nn.Sequential(OrderedDict(blocks=nn.Sequential(layer)))
        self.conv = conv(channels, channels)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, H, W, C), sides multiples of 8, to the same shape."""
        found = self.residual_group(features).permute(0, 3, 1, 2)
        return features + self.conv(found).permute(0, 2, 3, 1)
