"""Daguerre's own small restorer: ELSFace's trunk, blind, from a face to the same face.

The trunk is that of Qi, Qiu, Luo, Jin, "An Efficient Latent Style Guided Transformer-CNN Framework for Face
Super-Resolution", IEEE Transactions on Multimedia 26, 2024. The ends are ours: the face is unshuffled by two on its way
in (Shi et al., CVPR 2016, backwards), and the network adds to it what it finds.
"""

import torch
from torch import nn
from torch.nn import functional

from models.nets.elsface import HEAD_DEPTH, Trunk, TrunkSizes
from models.nets.elsface_parts import STYLE_SIDE, Enhancement, Residual, StyleEncoder, conv
from models.nets.elsface_swin import ResidualSwin

MEDIUM = TrunkSizes(width=48, heads=6, kernel=3, enhancements=3, enhancement_depth=3)
SMALL = TrunkSizes(width=32, heads=4, kernel=3, enhancements=3, enhancement_depth=3)
UNSHUFFLE = 2
MULTIPLE = 16  # of the sides: the trunk's windows have 8 pixels at half the resolution


class DaguerreS(Trunk):
    """A new network changes nothing: the last convolution starts at zero and what it finds is added to the face."""

    def __init__(self, sizes: TrunkSizes = MEDIUM) -> None:
        super().__init__(sizes)
        width = sizes.width
        head = [Residual(2 * width, 3) for _ in range(HEAD_DEPTH)]
        self.head = nn.Sequential(conv(3 * UNSHUFFLE**2, 2 * width), *head)
        self.tail = nn.Sequential(conv(width, 4 * width), nn.PixelShuffle(UNSHUFFLE), conv(width, 3))
        initialise(self)

    def forward(self, faces: torch.Tensor, thumbnails: torch.Tensor | None = None) -> torch.Tensor:
        """``faces`` (B, 3, H, W) RGB in [0, 1], sides multiples of 16, to the same shape, about [0, 1], unbounded.

        ``thumbnails`` (B, 3, 32, 32) are the whole faces where ``faces`` are parts of them. On the CPU a face's bits
        depend on its batch (``StyleEncoder``).
        """
        whole = thumbnail(faces) if thumbnails is None else thumbnails
        features = self.head(functional.pixel_unshuffle(faces, UNSHUFFLE))
        return faces + self.tail(self.fused(features, whole))


def thumbnail(faces: torch.Tensor) -> torch.Tensor:
    """``faces`` (B, 3, H, W) averaged to (B, 3, 32, 32)."""
    return functional.adaptive_avg_pool2d(faces, STYLE_SIDE)


def initialise(network: DaguerreS) -> None:
    """He's initialisation, with residual branches and styles held back so that the signal keeps its size.

    The network has no norm layers between its convolutions: with PyTorch's own initialisation the signal fades and
    training is slow. The factors were found by measuring the signal at the start.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for module in network.modules():
        match module:
            case Residual():
                scale(module.body[2], 0.2)
            case ResidualSwin():
                scale(module.conv, 0.2)
            case Enhancement():
                scale(module.hf_block.body[2], 0.25)  # the block doubles what it finds
                scale(module.hf_block.upsample[0], 0.7)
            case StyleEncoder():
                scale(module.get_submodule("encoder.4.3"), 0.3)
                nn.init.ones_(module.get_parameter("encoder.4.3.bias"))
            case _:
                pass
    scale(network.get_submodule("cnn_x2_1.0.0"), 0.7)
    scale(network.conv_after_body_1, 0.7)
    nn.init.zeros_(network.get_parameter("tail.2.weight"))


@torch.no_grad()
def scale(layer: nn.Module, factor: float) -> None:
    """Multiply the layer's weight."""
    weight = layer.get_parameter("weight")
    weight.mul_(factor)
