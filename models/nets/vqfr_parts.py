"""What both versions of VQFR are made of: residual blocks, attention, and the warping of texture features.

See ``models.nets.vqfr_v1`` and ``models.nets.vqfr_v2``. Features are (B, C, H, W).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional
from torchvision.ops import deform_conv2d

GROUPS, EPS = 32, 1e-6  # of every group norm
TAPS = 9  # of a 3 x 3 convolution


@dataclass(frozen=True, slots=True)
class VqfrSizes:
    """``channels`` by level, from full size on, each half as large as the one before."""

    channels: tuple[int, ...]
    codes: int = 1024
    code_width: int = 256
    input_width: int = 32
    deformable_groups: int = 4

    @property
    def names(self) -> list[str]:
        """Of the levels, by how many times smaller they are: Level_1, Level_2, Level_4 and so on."""
        return [f"Level_{1 << level}" for level in range(len(self.channels))]


def norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(GROUPS, channels, EPS)


def conv(inputs: int, outputs: int, kernel: int = 3) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)


def tail(inputs: int, outputs: int) -> nn.Sequential:
    """Group norm, SiLU, convolution."""
    return nn.Sequential(norm(inputs), nn.SiLU(inplace=True), conv(inputs, outputs))


class Residual(nn.Module):
    """Two convolutions beside a shortcut. ``shortcut`` is the published name of the 1 x 1 convolution in it."""

    def __init__(self, inputs: int, outputs: int, shortcut: str) -> None:
        super().__init__()
        self.norm1, self.conv1 = norm(inputs), conv(inputs, outputs)
        self.norm2, self.conv2 = norm(outputs), conv(outputs, outputs)
        self.shortcut = shortcut
        self.add_module(shortcut, nn.Identity() if inputs == outputs else conv(inputs, outputs, 1))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        found = self.conv1(functional.silu(self.norm1(features), inplace=True))
        found = self.conv2(functional.silu(self.norm2(found), inplace=True))
        return found + self.get_submodule(self.shortcut)(features)


class Attention(nn.Module):
    """Every cell attends to every other one, by one head."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = norm(channels)
        self.q, self.k, self.v = (conv(channels, channels, 1) for _ in range(3))
        self.proj_out = conv(channels, channels, 1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        normed = self.norm(features)
        tokens = (layer(normed).flatten(2).transpose(1, 2)[:, None] for layer in (self.q, self.k, self.v))
        queries, keys, values = (part.contiguous() for part in tokens)
        found = functional.scaled_dot_product_attention(queries, keys, values)[:, 0]
        return features + self.proj_out(found.transpose(1, 2).unflatten(2, features.shape[2:]).contiguous())


class Reduce(nn.Module):
    """Bilinear reduction without a low pass, 1 / ``factor`` of the sides: most pixels are not looked at."""

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        size = [side // self.factor for side in features.shape[2:]]
        return functional.interpolate(features, size, mode="bilinear", align_corners=False)


class DeformableConv(nn.Module):
    """3 x 3 convolution that looks, for each pixel and tap, where an offset says, and as much as a mask says.

    Zhu, Hu, Lin, Dai, "Deformable ConvNets v2", CVPR 2019.
    """

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        plain = conv(channels, channels)
        self.weight, self.bias = plain.weight, plain.bias
        self.conv_offset = conv(channels, 3 * TAPS * groups)

    def forward(self, features: torch.Tensor, guide: torch.Tensor) -> torch.Tensor:
        """``guide`` (B, C, H, W) gives offsets and masks for ``features``; in float32 even where the rest is not."""
        with torch.autocast(features.device.type, enabled=False):
            features, guide = (part.to(self.weight.dtype) for part in (features, guide))
            found = self.conv_offset(guide)
            offsets, mask = found.split([found.shape[1] // 3 * 2, found.shape[1] // 3], dim=1)
            return deform_conv2d(features, offsets, self.weight, self.bias, padding=(1, 1), mask=mask.sigmoid())


class TextureWarping(nn.Module):
    """Moves the texture of a level to where the input's features say that it belongs.

    ``downsample`` brings the input's features to the level. ``previous`` are the channels of the offset feature of the
    next coarser level, 0 at the coarsest.
    """

    def __init__(self, channels: int, previous: int, sizes: VqfrSizes, downsample: nn.Module) -> None:
        super().__init__()
        self.downsample = downsample
        depthwise = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.offset_conv1 = nn.Sequential(
            conv(channels + sizes.input_width, channels, 1),
            *(norm(channels), nn.SiLU(inplace=True), depthwise),
            *(norm(channels), nn.SiLU(inplace=True), conv(channels, channels, 1)),
        )
        self.offset_conv2 = nn.Sequential(conv(channels + previous, channels), norm(channels), nn.SiLU(inplace=True))
        self.dcn = DeformableConv(channels, sizes.deformable_groups)

    def forward(
        self, texture: torch.Tensor, inputs: torch.Tensor, previous: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """``texture`` of this level, the input's features at full size: the warped texture and the offset feature."""
        offset = self.offset_conv1(torch.cat([self.downsample(inputs), texture], dim=1))
        offset = self.offset_conv2(offset if previous is None else torch.cat([offset, previous], dim=1))
        return self.dcn(texture, offset), offset


class ParallelDecoder(nn.Module):
    """The decoder of the result: at each level it takes the warped texture of the other decoder."""

    def __init__(self, sizes: VqfrSizes) -> None:
        super().__init__()
        self.names = sizes.names[::-1]
        self.align_func_dict = nn.ModuleDict()
        self.pre_upsample_dict = nn.ModuleDict()
        self.decoder_dict = nn.ModuleDict()

    def decoded(self, textures: Mapping[str, torch.Tensor], inputs: torch.Tensor) -> torch.Tensor:
        """``textures`` by the level's name and the input's features to features of the full size."""
        found, offset = self.align_func_dict[self.names[0]](textures[self.names[0]], inputs, None)
        for name in self.names[1:]:
            found = self.pre_upsample_dict[name](found)
            finer = 2 * functional.interpolate(offset, scale_factor=2, mode="bilinear", align_corners=False)
            warped, offset = self.align_func_dict[name](textures[name], inputs, finer)
            found = self.decoder_dict[name](torch.cat([found, warped], dim=1))
        return found
