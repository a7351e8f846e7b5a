"""VSPBFR's style decoder: StyleGAN2, of which the maps on the way to its picture are what restoration uses.

Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", CVPR 2020. Facts from
``LonglongaaaGo/VSPBFR:e4e/models/stylegan2/model.py``; tensors have the published names.
"""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from models.nets.vspbfr_shape import PUBLISHED, VspbfrShape
from models.ops.stylegan2 import ConstantInput, StyledConv, ToRGB, mapping

MAPPING_LAYERS = 8
START = 4  # the side of the learnt constant


class StyleDecoder(nn.Module):
    """The generator of twice the face's side.

    ``style`` and ``noises`` come with the published file: the first serves training, the second nothing.
    """

    def __init__(self, shape: VspbfrShape = PUBLISHED) -> None:
        super().__init__()
        width, first = shape.style, shape.channels(START)
        self.style = mapping(width, width, MAPPING_LAYERS)
        self.input = ConstantInput(first)
        self.conv1 = StyledConv(first, first, 3, width)
        self.to_rgb1 = ToRGB(first, width, upsample=False)
        sides = resolutions(shape.decoded)
        self.convs, self.to_rgbs = nn.ModuleList(), nn.ModuleList()
        for side in sides[1:]:
            channels = shape.channels(side)
            self.convs.append(StyledConv(shape.channels(side // 2), channels, 3, width, resample="up"))
            self.convs.append(StyledConv(channels, channels, 3, width))
            self.to_rgbs.append(ToRGB(channels, width))
        self.noises = unused_noises(sides)
        self.shape = shape

    def features(self, codes: torch.Tensor, noise: Sequence[torch.Tensor], last: int) -> list[torch.Tensor]:
        """The maps (B, C, s, s) for s = 4, 8, ..., ``last``, each as its first convolution gives it.

        ``codes`` (B, R, C) are in w+; ``noise`` are maps (B, 1, s, s) of ``noise_sides``, of which only those up to the
        last map are read. Nothing behind the last map is computed.
        """
        found = [self.conv1(self.input(len(codes)), codes[:, 0], noise[0])]
        features = found[0]
        for level in range(len(resolutions(last)) - 1):
            if level:
                features = self.convs[2 * level - 1](features, codes[:, 2 * level], noise[2 * level])
            features = self.convs[2 * level](features, codes[:, 2 * level + 1], noise[2 * level + 1])
            found.append(features)
        return found

    def forward(self, codes: torch.Tensor, noise: Sequence[torch.Tensor]) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """The picture (B, 3, 2 x side, 2 x side), RGB about [-1, 1], not clipped, and the maps of ``features``."""
        features = self.conv1(self.input(len(codes)), codes[:, 0], noise[0])
        found, image = [features], self.to_rgb1(features, codes[:, 1])
        for level, to_rgb in enumerate(self.to_rgbs):
            features = self.convs[2 * level](features, codes[:, 2 * level + 1], noise[2 * level + 1])
            found.append(features)
            features = self.convs[2 * level + 1](features, codes[:, 2 * level + 2], noise[2 * level + 2])
            image = to_rgb(features, codes[:, 2 * level + 3], image)
        return image, found


def resolutions(last: int) -> list[int]:
    """4, 8, ..., ``last``."""
    return [START << level for level in range((last // START).bit_length())]


def noise_sides(last: int) -> list[int]:
    """The sides of the noise maps up to maps of ``last`` pixels: 4, 8, 8, ..., ``last``, ``last``."""
    return [side for side in resolutions(last) for _ in range(1 + (side > START))]


def unused_noises(sides: Sequence[int]) -> nn.Module:
    """The buffers of noise that the published files hold and nothing reads."""
    holder = nn.Module()
    for index, side in enumerate(noise_sides(sides[-1])):
        holder.register_buffer(f"noise_{index}", torch.zeros(1, 1, side, side))
    return holder


def pooled(image: torch.Tensor, side: int) -> torch.Tensor:
    """(B, 3, H, H) to (B, 3, ``side``, ``side``) by the mean of squares of pixels."""
    return functional.avg_pool2d(image, image.shape[-1] // side)
