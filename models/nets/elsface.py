"""ELSFace: face super-resolution by a CNN and a Transformer stream, both recursive, each guided by a latent style.

Qi, Qiu, Luo, Jin, "An Efficient Latent Style Guided Transformer-CNN Framework for Face Super-Resolution", IEEE
Transactions on Multimedia 26, 2024. Facts from ``FVL2020/ELSFace:model/elsface.py`` at its default options (x4) and
with ``--scale 4`` (x8). The state dict has the published names without their prefix ``model.``.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from models.nets.elsface_parts import STYLE_SIDE, Enhancement, Residual, StyleEncoder, conv
from models.nets.elsface_swin import ResidualSwin

Factor = Literal[4, 8]

INPUT_SIDE = STYLE_SIDE
CNN_PASSES, SWIN_PASSES = 2, 3  # of one and the same module
HEAD_DEPTH, CNN_DEPTH = 3, 2  # residual blocks
MEAN_RGB = (0.4488, 0.4371, 0.4040)  # DIV2K's, of the mean shifts that never run


@dataclass(frozen=True, slots=True)
class TrunkSizes:
    """The sizes of a trunk; the defaults are the published network's."""

    width: int = 60
    heads: int = 6
    kernel: int = 5
    enhancements: int = 4
    enhancement_depth: int = 5


PUBLISHED = TrunkSizes()


class Trunk(nn.Module):
    """The style encoder and both streams up to their fusion: all between a network's head and its tail."""

    def __init__(self, sizes: TrunkSizes = PUBLISHED) -> None:
        super().__init__()
        width, kernel = sizes.width, sizes.kernel
        self.encoder = StyleEncoder(width)
        cnn = [Residual(width, kernel) for _ in range(CNN_DEPTH)]
        self.cnn_x2_1 = nn.Sequential(nn.Sequential(conv(width, width), *cnn))
        enhance = [Enhancement(width, kernel, sizes.enhancement_depth) for _ in range(sizes.enhancements)]
        self.t_tail_x2 = nn.Sequential(nn.Sequential(*enhance))
        self.patch_embed_1 = nn.Sequential(OrderedDict(norm=nn.LayerNorm(width)))
        self.layers_1 = nn.Sequential(ResidualSwin(width, sizes.heads))
        self.norm_1 = nn.LayerNorm(width)
        self.conv_after_body_1 = conv(width, width)

    def fused(self, features: torch.Tensor, faces: torch.Tensor) -> torch.Tensor:
        """``features`` (B, 2C, H, W), sides multiples of 8, to (B, C, H, W), in the style of ``faces``.

        ``faces`` (B, 3, 32, 32) are the whole faces in [0, 1].
        """
        cnn, transformer = features.chunk(2, dim=1)
        styles = self.encoder(faces)[..., None, None]
        cnn = self.cnn_stream(cnn * styles[:, 0])
        transformer = self.transformer_stream(transformer * styles[:, 1])
        return self.t_tail_x2(transformer) + cnn

    def cnn_stream(self, features: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) to the same shape."""
        for _ in range(CNN_PASSES):
            features = self.cnn_x2_1(features)
        return features

    def transformer_stream(self, features: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W), sides multiples of 8, to the same shape, before the enhancement blocks."""
        tokens = self.patch_embed_1(features.permute(0, 2, 3, 1).contiguous())
        for _ in range(SWIN_PASSES):
            tokens = self.layers_1(tokens)
        return self.conv_after_body_1(self.norm_1(tokens).permute(0, 3, 1, 2).contiguous())


class MeanShift(nn.Module):
    """Two constants that the published file holds; the original never uses them."""

    def __init__(self, sign: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.eye(3)[:, :, None, None].contiguous())
        self.register_buffer("bias", sign * 255 * torch.tensor(MEAN_RGB))


class ELSFace(Trunk):
    """The published network. ``factor`` is 4 (32 x 32 to 128 x 128) or 8 (to 256 x 256)."""

    def __init__(self, factor: Factor = 4, sizes: TrunkSizes = PUBLISHED) -> None:
        super().__init__(sizes)
        self.output_side = factor * INPUT_SIDE
        width = sizes.width
        self.sub_mean, self.add_mean = MeanShift(-1), MeanShift(1)
        head = [Residual(2 * width, 3) for _ in range(HEAD_DEPTH)]
        self.head_x2 = nn.Sequential(nn.Sequential(conv(3, 2 * width), *head))
        doublings = factor.bit_length() - 2  # the trunk's map is twice as large as the input
        steps = [layer for _ in range(doublings) for layer in (conv(width, 4 * width), nn.PixelShuffle(2))]
        self.tail_x2 = nn.Sequential(nn.Sequential(nn.Sequential(*steps), conv(width, 3)))

    def forward(self, faces: torch.Tensor) -> torch.Tensor:
        """``faces`` (B, 3, 32, 32) BGR in [0, 1] to (B, 3, 128, 128) or (B, 3, 256, 256) BGR, about [0, 1], unbounded.

        On the CPU a face's bits depend on its batch (``StyleEncoder``).
        """
        return self.tail_x2(self.fused(self.prepared(faces), faces))

    def prepared(self, faces: torch.Tensor) -> torch.Tensor:
        """(B, 3, 32, 32) to the features (B, 2C, 64, 64) of both streams."""
        return functional.interpolate(self.head_x2(faces), scale_factor=2, mode="bilinear", align_corners=False)
