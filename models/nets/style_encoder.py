"""VSPBFR's style encoder, e4e: from a face to its code in w+, the latent space of StyleGAN2.

Tov et al., "Designing an Encoder for StyleGAN Image Manipulation", SIGGRAPH 2021. Facts from
``LonglongaaaGo/VSPBFR:e4e/models/encoders/psp_encoders.py`` (``Encoder4Editing``); tensors have the published names.
"""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from models.nets.ir_se import body, stem
from models.nets.vspbfr_shape import PUBLISHED, VspbfrShape
from models.ops.stylegan2 import EqualLinear

COARSE, MIDDLE = 3, 7  # the first rows read the smallest map, those up to here the middle one, the others the largest
DEEPEST = 3  # the last of the backbone's four stages reduces to 1 / 16


class Head(nn.Module):
    """Convolutions that halve a map until one pixel is left, then a linear layer: one row of the code."""

    def __init__(self, width: int, side: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(side.bit_length() - 1):
            layers += [nn.Conv2d(width, width, 3, 2, padding=1), nn.LeakyReLU(inplace=True)]
        self.convs = nn.Sequential(*layers)
        self.linear = EqualLinear(width, width)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, C, side, side) to (B, C)."""
        return self.linear(self.convs(features).flatten(1))


class StyleEncoder(nn.Module):
    """A backbone, three maps of its pyramid, and a head for each row.

    Row 0 stands for the face; the others are its offsets, and so is the sum with the average code ``latent_avg``. The
    linear layers are on one vector a face: on the CPU their bits depend on the batch.
    """

    latent_avg: torch.Tensor

    def __init__(self, shape: VspbfrShape = PUBLISHED) -> None:
        super().__init__()
        self.input_layer = stem(shape.backbone[0])
        self.body = body(shape.backbone, shape.units, shape.reduction)
        sides = [shape.seen // reduced for reduced in (16, 8, 4)]
        reads = [0] * COARSE + [1] * (MIDDLE - COARSE) + [2] * (shape.rows - MIDDLE)
        self.styles = nn.ModuleList(Head(shape.style, sides[which]) for which in reads)
        self.latlayer1 = nn.Conv2d(shape.backbone[3], shape.style, 1)
        self.latlayer2 = nn.Conv2d(shape.backbone[2], shape.style, 1)
        self.register_buffer("latent_avg", torch.zeros(shape.rows, shape.style))
        self._reads = reads
        self._ends = [sum(shape.units[: stage + 1]) for stage in range(1, DEEPEST + 1)]

    def forward(self, faces: torch.Tensor) -> torch.Tensor:
        """Codes (B, R, C) of ``faces`` (B, 3, side / 2, side / 2), RGB in [-1, 1]."""
        return self.offsets(self.maps(faces)) + self.latent_avg

    def maps(self, faces: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The backbone's maps of 1/4, 1/8 and 1/16 of the side of ``faces``."""
        found: list[torch.Tensor] = []
        features = self.input_layer(faces)
        for count, block in enumerate(self.body, 1):
            features = block(features)
            if count in self._ends:
                found.append(features)
        return found[0], found[1], found[2]

    def offsets(self, maps: Sequence[torch.Tensor], last: int | None = None) -> torch.Tensor:
        """Codes (B, R, C) without the average. Heads behind row ``last`` count as 0: training begins so."""
        large, middle, small = maps
        p2 = enlarged(small, middle) + self.latlayer1(middle)
        p1 = enlarged(p2, large) + self.latlayer2(large)
        pyramid = small, p2, p1
        first = self.styles[0](small)
        active = len(self.styles) if last is None else last + 1
        others = [head(pyramid[which]) for head, which in list(zip(self.styles, self._reads, strict=True))[1:active]]
        rows = [first, *[first + other for other in others]]
        return torch.stack(rows + [first] * (len(self.styles) - len(rows)), 1)


def enlarged(features: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """(B, C, h, w) to the sides of ``like``, bilinearly, corner pixels on corner pixels."""
    return functional.interpolate(features, like.shape[-2:], mode="bilinear", align_corners=True)
