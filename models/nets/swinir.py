"""SwinIR on an image folded by 8: the regressor of DifFace and PMRF.

Liang, Cao, Sun, Zhang, Van Gool, Timofte, "SwinIR: Image Restoration Using Swin Transformer", ICCVW 2021, at the
arguments of ``ohayonguy/PMRF:arch/swinir`` and ``zsyOAOA/DifFace``: pixel-unshuffle by 8, windows of 8 x 8, and three
times "nearest, then a convolution" on the way up.

The tensors have the published names. Tokens are (B, H, W, C).
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from models.nets.swinir_blocks import SwinBlock, shift_mask
from models.ops.doubled import doubled_conv

FOLD = 8  # pixels of a token's side
MULTIPLE = 64  # pixels; windows of 8 tokens
PUBLISHED_GRID = 64  # tokens; the grid for which published files hold the mask
UP_CHANNELS = 64
MEAN = (0.4488, 0.4371, 0.4040)  # RGB, of DIV2K
SLOPE, FIRST_SLOPE = 0.2, 0.01  # of the leaky ReLUs; the first has torch's default


@dataclass(frozen=True, slots=True)
class SwinIRShape:
    """``groups`` of ``depth`` blocks each, ``width`` channels in ``heads`` heads."""

    width: int
    groups: int
    depth: int
    heads: int


L = SwinIRShape(width=180, groups=8, depth=6, heads=6)  # blind restoration
M = SwinIRShape(width=120, groups=5, depth=6, heads=6)  # the controlled experiments


class Embedding(nn.Module):
    """A feature map (B, C, H, W) as normalised tokens (B, H, W, C)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.norm(features.permute(0, 2, 3, 1))


class Blocks(nn.Module):
    """Blocks with windows in place and shifted by half a window, in turn."""

    def __init__(self, shape: SwinIRShape, mask: torch.Tensor) -> None:
        super().__init__()
        masks = [mask if index % 2 else None for index in range(shape.depth)]
        self.blocks = nn.Sequential(*[SwinBlock(shape.width, shape.heads, one) for one in masks])

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.blocks(tokens)


class Group(nn.Module):
    """Residual Swin transformer block (RSTB): blocks and a convolution beside a shortcut."""

    def __init__(self, shape: SwinIRShape, mask: torch.Tensor) -> None:
        super().__init__()
        self.residual_group = Blocks(shape, mask)
        self.conv = nn.Conv2d(shape.width, shape.width, 3, padding=1)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        features = self.residual_group(tokens).permute(0, 3, 1, 2)
        return tokens + self.conv(features).permute(0, 2, 3, 1)


class DoubledConv(nn.Conv2d):
    """Doubles a picture by copying pixels, then convolves it."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # the name is torch's
        return doubled_conv(input, self.weight, self.bias)


class SwinIR(nn.Module):
    """See the module."""

    mean: torch.Tensor

    def __init__(self, shape: SwinIRShape) -> None:
        super().__init__()
        width, mask = shape.width, shift_mask(PUBLISHED_GRID, PUBLISHED_GRID)
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.conv_first = nn.Sequential(nn.PixelUnshuffle(FOLD), nn.Conv2d(3 * FOLD**2, width, 3, padding=1))
        self.patch_embed = Embedding(width)
        self.layers = nn.Sequential(*[Group(shape, mask) for _ in range(shape.groups)])
        self.norm = nn.LayerNorm(width)
        self.conv_after_body = nn.Conv2d(width, width, 3, padding=1)
        first = nn.Conv2d(width, UP_CHANNELS, 3, padding=1)
        self.conv_before_upsample = nn.Sequential(first, nn.LeakyReLU(FIRST_SLOPE))
        self.conv_up1, self.conv_up2, self.conv_up3 = (DoubledConv(UP_CHANNELS, UP_CHANNELS, 3) for _ in range(3))
        self.conv_hr = nn.Conv2d(UP_CHANNELS, UP_CHANNELS, 3, padding=1)
        self.conv_last = nn.Conv2d(UP_CHANNELS, 3, 3, padding=1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Estimate the clean images (B, 3, H, W) of ``images`` (B, 3 or 1, H, W), RGB or grey in [0, 1]. Not clipped.

        Any sides: they are padded to multiples of 64 by reflection, and the result is cut back.
        """
        height, width = images.shape[-2:]
        padded = functional.pad(images, (0, -width % MULTIPLE, 0, -height % MULTIPLE), mode="reflect")
        first = self.conv_first((padded - self.mean).to(self.conv_last.weight.dtype))
        tokens = self.norm(self.layers(self.patch_embed(first)))
        features = self.conv_before_upsample(self.conv_after_body(tokens.permute(0, 3, 1, 2)) + first)
        for conv in (self.conv_up1, self.conv_up2, self.conv_up3):
            features = functional.leaky_relu(conv(features), SLOPE, inplace=not self.training)
        features = functional.leaky_relu(self.conv_hr(features), SLOPE, inplace=not self.training)
        found = self.conv_last(features)
        return (found.to(images.dtype) + self.mean)[..., :height, :width]

    def compute_in(self, dtype: torch.dtype) -> "SwinIR":
        """Layers take ``dtype``; the mean and the tables stay in float32."""
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv2d | nn.LayerNorm):
                module.to(dtype)
        return self
