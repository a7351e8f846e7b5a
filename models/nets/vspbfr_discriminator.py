"""The discriminators of VSPBFR's training: StyleGAN2's for pictures, and one for codes.

Karras et al., "Analyzing and Improving the Image Quality of StyleGAN", CVPR 2020; Tov et al., "Designing an Encoder for
StyleGAN Image Manipulation", SIGGRAPH 2021. Facts from ``LonglongaaaGo/VSPBFR:models/RestoreNet.py`` and
``LonglongaaaGo/e4e_trainer:models/discriminator.py``; tensors have the published names.
"""

import torch
from torch import nn

from models.nets.style_decoder import START, resolutions
from models.nets.vspbfr_shape import PUBLISHED, VspbfrShape
from models.ops.stylegan2 import ConvLayer, EqualLinear, ResBlock, with_deviation

CODE_LAYERS, CODE_SLOPE = 3, 0.2


class Discriminator(nn.Module):
    """Residual blocks down to 4 x 4 pixels, the batch's deviation beside them, one score a face."""

    def __init__(self, shape: VspbfrShape = PUBLISHED) -> None:
        super().__init__()
        sides, widest = resolutions(shape.side), shape.channels(START)
        self.encoder_input_convs = ConvLayer(3, shape.channels(shape.side), 1)
        self.encoder_convs = nn.Sequential(
            *[ResBlock(shape.channels(side), shape.channels(side // 2)) for side in reversed(sides[1:])]
        )
        self.final_conv = ConvLayer(widest + 1, widest, 3)
        self.final_linear = nn.Sequential(
            EqualLinear(widest * START**2, widest, activated=True), EqualLinear(widest, 1)
        )

    def forward(self, faces: torch.Tensor) -> torch.Tensor:
        """Scores (B, 1) of ``faces`` (B, 3, S, S) in [-1, 1], RGB: above 0 for real ones."""
        features = self.encoder_convs(self.encoder_input_convs(faces))
        return self.final_linear(self.final_conv(with_deviation(features)).flatten(1))


class CodeDiscriminator(nn.Module):
    """Whether rows of codes are such as the mapping network makes."""

    def __init__(self, width: int = PUBLISHED.style) -> None:
        super().__init__()
        hidden = [layer for _ in range(CODE_LAYERS) for layer in (nn.Linear(width, width), nn.LeakyReLU(CODE_SLOPE))]
        self.mlp = nn.Sequential(*hidden, nn.Linear(width, 1))

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """(B, C) to scores (B, 1)."""
        return self.mlp(rows)
