"""VSPBFR's restoration network: a U whose convolutions are modulated by the style prompt of the face.

Lu et al., "Visual Style Prompt Learning Using Diffusion Models for Blind Face Restoration", Pattern Recognition 161,
2025. Facts from ``LonglongaaaGo/VSPBFR:models/RestoreNet.py`` (``Restoration_net``); tensors have the published names.
"""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from models.nets.style_decoder import MAPPING_LAYERS, START, noise_sides, resolutions, unused_noises
from models.nets.vspbfr_layers import LargeConv, Smart
from models.nets.vspbfr_shape import PUBLISHED, VspbfrShape
from models.ops.stylegan2 import EqualLinear, StyledConv, ToRGB, mapping

DROPOUT = 0.5  # of the global code, in training


class RestorationNet(nn.Module):
    """An encoder from the face to 4 x 4 pixels, a global code, and a decoder that adds the style decoder's maps.

    A style is a row of the prompt beside one that the mapping network made of noise, and in the decoder the global code
    too. ``noises`` come with the published file and serve nothing.
    """

    def __init__(self, shape: VspbfrShape = PUBLISHED) -> None:
        super().__init__()
        width, widest = shape.style, shape.channels(START)
        self.conv1 = Smart(widest, widest, 4 * width)
        self.to_rgb1 = ToRGB(widest, 4 * width, upsample=False)
        sides = resolutions(shape.side)
        self.convs, self.to_rgbs = nn.ModuleList(), nn.ModuleList()
        for side in sides[1:]:
            channels = shape.channels(side)
            self.convs.append(StyledConv(shape.channels(side // 2), channels, 3, 4 * width, resample="up"))
            self.convs.append(Smart(channels, channels, 4 * width))
            self.to_rgbs.append(ToRGB(channels, 4 * width))
        self.noises = unused_noises(sides)
        self.style = mapping(width, width, MAPPING_LAYERS)
        self.down_from_big = LargeConv(3, shape.channels(shape.side), 1)
        self.encoder_convs = nn.ModuleList()
        for side in reversed(sides[1:]):
            channels = shape.channels(side)
            self.encoder_convs.append(Smart(channels, channels, 2 * width))
            self.encoder_convs.append(StyledConv(channels, shape.channels(side // 2), 3, 2 * width, resample="down"))
        self.final_layer = LargeConv(widest, widest, 3)
        self.final_linear = nn.Sequential(EqualLinear(widest * START**2, 2 * width, activated=True))
        self.final_transfer = EqualLinear(2 * width, widest * START**2, activated=True)
        self.shape = shape

    def forward(
        self,
        faces: torch.Tensor,
        features: Sequence[torch.Tensor],
        styles: torch.Tensor,
        noise: Sequence[torch.Tensor],
    ) -> torch.Tensor:
        """Restored faces (B, 3, S, S) about [-1, 1], not clipped, of ``faces`` in [-1, 1], RGB.

        ``features`` are the style decoder's maps of 4 to S pixels (the first is not used), ``styles`` (B, R - 2, 2 C)
        the ``rows`` of this network, and ``noise`` maps (B, 1, s, s) of ``noise_sides_of`` its shape.
        """
        encoder = len(self.encoder_convs)
        code, maps = self.encoded(faces, styles, noise[:encoder])
        return self.decoded(code, maps, features, styles, noise[encoder:])

    def rows(self, prompt: torch.Tensor, mapped: torch.Tensor) -> torch.Tensor:
        """The styles (B, R - 2, 2 C) of a prompt (B, R, C) and mapped noise, (B, C) for all rows or (B, R - 2, C)."""
        count = self.shape.rows - 2
        beside = mapped[:, None].expand(-1, count, -1) if mapped.ndim == 2 else mapped
        return torch.cat([prompt[:, :count], beside], -1)

    def encoded(
        self, faces: torch.Tensor, styles: torch.Tensor, noise: Sequence[torch.Tensor]
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """The global code (B, 2 C), and maps (B, C, s, s) for s = 4, 8, ..., S."""
        maps: list[torch.Tensor] = []
        features, last = self.down_from_big(faces), styles.shape[1] - 1
        for index in range(0, len(self.encoder_convs), 2):
            style = styles[:, last - index]  # both convolutions of a level have the same
            maps.append(self.encoder_convs[index](features, style, noise[index]))
            features = self.encoder_convs[index + 1](maps[-1], style, noise[index + 1])
        features = self.final_layer(features)
        code = functional.dropout(self.final_linear(features.flatten(1)), DROPOUT, self.training)
        transferred = self.final_transfer(code).view_as(features)
        return code, [features + transferred, *reversed(maps)]

    def decoded(
        self,
        code: torch.Tensor,
        maps: Sequence[torch.Tensor],
        features: Sequence[torch.Tensor],
        styles: torch.Tensor,
        noise: Sequence[torch.Tensor],
    ) -> torch.Tensor:
        """The picture (B, 3, S, S) of what ``encoded`` gave and the style decoder's ``features``."""
        full = [torch.cat([styles[:, row], code], 1) for row in range(styles.shape[1])]
        found = self.conv1(maps[0], full[0], noise[0])
        image = self.to_rgb1(found, full[1])
        for level, to_rgb in enumerate(self.to_rgbs):
            row = 2 * level + 1
            found = self.convs[2 * level](found, full[row], noise[row])
            found = found + maps[level + 1] + features[level + 1]
            found = self.convs[2 * level + 1](found, full[row + 1], noise[row + 1])
            image = to_rgb(found, full[row + 2], image)
        return image


def noise_sides_of(shape: VspbfrShape) -> list[int]:
    """The sides of the network's noise maps: the encoder's from S down to 4, then the decoder's from 4 up to S."""
    down = [side for larger in reversed(resolutions(shape.side)[1:]) for side in (larger, larger // 2)]
    return down + noise_sides(shape.side)
