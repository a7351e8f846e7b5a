"""GPEN: an encoder of the degraded face in front of a StyleGAN2 generator, whose noise the encoder's features replace.

Yang, Ren, Xie, Zhang, "GAN Prior Embedded Network for Blind Face Restoration in the Wild", CVPR 2021. Facts from
``yangxy/GPEN:face_model/gpen_model.py`` (FullGenerator); the state dict has its names.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn

from models.ops.stylegan2 import ConstantInput, ConvLayer, EqualLinear, StyledConv, ToRGB, mapping

SMALLEST = 4  # the side that the generator starts from
TIMES_16 = {64: 16, 128: 8, 256: 4, 512: 2, 1024: 1, 2048: 0.5}  # channels by side, in 16 times the multiplier


@dataclass(frozen=True, slots=True)
class GpenSizes:
    """``side`` of the faces in pixels, a power of two; ``multiplier`` and ``narrow`` scale the channels.

    ``multiplier`` is for sides of 64 pixels and more; ``width`` are the channels below, and of the style.
    """

    side: int = 512
    multiplier: int = 2
    narrow: float = 1.0
    width: int = 512
    mapping_layers: int = 8

    @property
    def sides(self) -> list[int]:
        """From the largest to 4."""
        return [self.side >> step for step in range(self.side.bit_length() - SMALLEST.bit_length() + 1)]

    def channels(self, side: int) -> int:
        """Of the features of ``side`` pixels."""
        wide = 16 * TIMES_16[side] * self.multiplier if side in TIMES_16 else self.width
        return int(wide * self.narrow)


GPEN_512 = GpenSizes()
GPEN_256 = GpenSizes(side=256, multiplier=1, narrow=0.5)


class Generator(nn.Module):
    """StyleGAN2's synthesis with image features beside each convolution's output, and its mapping network."""

    def __init__(self, sizes: GpenSizes) -> None:
        super().__init__()
        style = sizes.width
        self.style = mapping(style, style, sizes.mapping_layers)
        channels = [sizes.channels(side) for side in reversed(sizes.sides)]
        self.input = ConstantInput(channels[0], SMALLEST)
        self.conv1 = StyledConv(channels[0], channels[0], 3, style, join="concat")
        self.to_rgb1 = ToRGB(2 * channels[0], style, upsample=False)
        self.convs, self.to_rgbs = nn.ModuleList(), nn.ModuleList()
        for before, after in pairwise(channels):
            self.convs.append(StyledConv(2 * before, after, 3, style, resample="up", join="concat"))
            self.convs.append(StyledConv(2 * after, after, 3, style, join="concat"))
            self.to_rgbs.append(ToRGB(2 * after, style))

    def forward(self, codes: torch.Tensor, features: list[torch.Tensor]) -> torch.Tensor:
        """``codes`` (B, D) and ``features`` (B, C, H, W), one a side from 4 pixels on, to (B, 3, S, S), unbounded."""
        style = self.style(codes)
        found = self.conv1(self.input(len(codes)), style, features[0])
        image = self.to_rgb1(found, style)
        for level, (feature, to_rgb) in enumerate(zip(features[1:], self.to_rgbs, strict=True)):
            found = self.convs[2 * level](found, style, feature)
            found = self.convs[2 * level + 1](found, style, feature)
            image = to_rgb(found, style, image)
        return image


class GPEN(nn.Module):
    """The published network. On the CPU a face's bits depend on its batch: it has linear layers on vectors."""

    def __init__(self, sizes: GpenSizes = GPEN_512) -> None:
        super().__init__()
        self.sizes = sizes
        channels = [sizes.channels(side) for side in sizes.sides]
        layers = [ConvLayer(3, channels[0], 1)]
        layers += [ConvLayer(a, b, 3, down=True) for a, b in pairwise(channels)]
        for index, layer in enumerate(layers):
            self.add_module(f"ecd{index}", nn.Sequential(layer))
        self.final_linear = nn.Sequential(EqualLinear(channels[-1] * SMALLEST**2, sizes.width, activated=True))
        self.generator = Generator(sizes)

    def encoded(self, faces: torch.Tensor) -> list[torch.Tensor]:
        """The features (B, C, H, W) of ``faces`` from their own side down to 4 x 4."""
        features: list[torch.Tensor] = []
        for index in range(len(self.sizes.sides)):
            features.append(self.get_submodule(f"ecd{index}")(features[-1] if features else faces))
        return features

    def forward(self, faces: torch.Tensor) -> torch.Tensor:
        """``faces`` (B, 3, S, S) RGB in [-1, 1] to the same, unbounded."""
        features = self.encoded(faces)
        return self.generator(self.final_linear(features[-1].flatten(1)), features[::-1])
