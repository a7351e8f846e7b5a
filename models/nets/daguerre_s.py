"""Daguerre's own small restorer: a residual U-Net, blind, from a face to the same face.

After Zhang et al., "Plug-and-Play Image Restoration with Deep Denoiser Prior" (DRUNet), IEEE TPAMI 2021, much smaller;
the face is unshuffled by two on its way in (FFDNet, Zhang et al., IEEE TIP 2018), and the network adds to it what it
finds. Where an aligned face has its eyes and its mouth is known, so a learned map of the face is added to the coarsest
features. Why it is not ELSFace's trunk: docs/decisions/0014; what the map is for: docs/decisions/0019.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

UNSHUFFLE = 2
MULTIPLE = 8  # of the sides: half the resolution, halved twice
BRANCH = 0.2  # of the signal comes from a new block's convolutions
CELLS = 32  # of the map, across and down: one for 8 pixels of a face of 256
WHOLE = (0.0, 0.0, 1.0, 1.0)  # the window of a whole face: left, top, right, bottom
ELSEWHERE = (2.0, 2.0, 3.0, 3.0)  # the window of what is no aligned face


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
        self.place = nn.Parameter(torch.zeros(1, eighth, CELLS, CELLS))
        self.body = blocks(eighth, sizes.blocks)
        self.ups = nn.ModuleList([nn.Conv2d(quarter, 4 * half, 1), nn.Conv2d(eighth, 4 * quarter, 1)])
        self.decoders = nn.ModuleList([blocks(half, sizes.blocks), blocks(quarter, sizes.blocks)])
        self.tail = nn.Conv2d(half, channels, 3, padding=1)
        initialise(self)

    def forward(self, faces: torch.Tensor, windows: torch.Tensor | None = None) -> torch.Tensor:
        """``faces`` (B, 3, H, W) RGB in [0, 1], sides multiples of 8, to the same shape, about [0, 1], unbounded.

        ``windows`` (B, 4) say which part of its face on FFHQ's template each of them is: left, top, right and bottom in
        sides of the face. Without them they are whole faces. Outside the face the map is zero.
        """
        features = self.head(functional.pixel_unshuffle(faces, UNSHUFFLE))
        passed: list[torch.Tensor] = []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            passed.append(encoder(features))
            features = down(passed[-1])
        features = self.body(features + self.placed(features, windows))
        for level in (1, 0):
            features = passed[level] + functional.pixel_shuffle(self.ups[level](features), 2)
            features = self.decoders[level](features)
        return faces + functional.pixel_shuffle(self.tail(features), UNSHUFFLE)

    def placed(self, features: torch.Tensor, windows: torch.Tensor | None) -> torch.Tensor:
        """The map under ``features`` (B, C, h, w), which are those of the ``windows``: the same shape."""
        if windows is None:
            windows = self.place.new_tensor([WHOLE]).expand(len(features), -1)
        left, top, right, bottom = (2 * windows - 1).unbind(dim=1)
        nothing = torch.zeros_like(left)
        rows = (right - left, nothing, right + left, nothing, bottom - top, bottom + top)
        grid = functional.affine_grid(torch.stack(rows, dim=1).view(-1, 2, 3) / 2, list(features.shape), False)
        places = self.place.expand(len(features), -1, -1, -1)
        return functional.grid_sample(places, grid, padding_mode="zeros", align_corners=False).to(features)


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
