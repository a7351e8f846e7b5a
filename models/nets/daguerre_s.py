"""Daguerre's own small restorer: a residual U-Net, blind, from a face to the same face.

After Zhang et al., "Plug-and-Play Image Restoration with Deep Denoiser Prior" (DRUNet), IEEE TPAMI 2021, much smaller;
the face is unshuffled by two on its way in (FFDNet, Zhang et al., IEEE TIP 2018), and the network adds to it what it
finds. Why it is not ELSFace's trunk: docs/decisions/0014.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

UNSHUFFLE = 2
MULTIPLE = 8  # of the sides: half the resolution, halved twice
BRANCH = 0.2  # of the signal comes from a new block's convolutions


@dataclass(frozen=True, slots=True)
class Sizes:
    """Channels at a half, a quarter and an eighth of the resolution, and residual blocks in each part."""

    widths: tuple[int, int, int]
    blocks: int


SMALL = Sizes((48, 96, 192), 2)


class Block(nn.Module):
    """Two convolutions beside the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) to the same."""
        return features + self.second(self.first(features).relu())


class DaguerreS(nn.Module):
    """A new network changes nothing: the last convolution starts at zero and what it finds is added to the face."""

    def __init__(self, sizes: Sizes = SMALL) -> None:
        super().__init__()
        half, quarter, eighth = sizes.widths
        channels = 3 * UNSHUFFLE**2
        self.head = nn.Conv2d(channels, half, 3, padding=1)
        self.encoders = nn.ModuleList([blocks(half, sizes.blocks), blocks(quarter, sizes.blocks)])
        self.downs = nn.ModuleList([nn.Conv2d(half, quarter, 2, 2), nn.Conv2d(quarter, eighth, 2, 2)])
        self.body = blocks(eighth, sizes.blocks)
        self.ups = nn.ModuleList([nn.Conv2d(quarter, 4 * half, 1), nn.Conv2d(eighth, 4 * quarter, 1)])
        self.decoders = nn.ModuleList([blocks(half, sizes.blocks), blocks(quarter, sizes.blocks)])
        self.tail = nn.Conv2d(half, channels, 3, padding=1)
        initialise(self)

    def forward(self, faces: torch.Tensor) -> torch.Tensor:
        """``faces`` (B, 3, H, W) RGB in [0, 1], sides multiples of 8, to the same shape, about [0, 1], unbounded."""
        features = self.head(functional.pixel_unshuffle(faces, UNSHUFFLE))
        passed: list[torch.Tensor] = []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            passed.append(encoder(features))
            features = down(passed[-1])
        features = self.body(features)
        for level in (1, 0):
            features = passed[level] + functional.pixel_shuffle(self.ups[level](features), 2)
            features = self.decoders[level](features)
        return faces + functional.pixel_shuffle(self.tail(features), UNSHUFFLE)


def blocks(width: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(Block(width) for _ in range(count)))


def initialise(network: DaguerreS) -> None:
    """He's initialisation, with each block's branch held back: there are no norm layers to keep the signal's size."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            nn.init.zeros_(module.get_parameter("bias"))
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, Block):
                module.second.weight.mul_(BRANCH)
    nn.init.zeros_(network.tail.weight)
