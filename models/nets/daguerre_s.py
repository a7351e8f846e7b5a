"""Daguerre's own small restorer: a residual U-Net, blind, from a face to the same face.

After Zhang et al., "Plug-and-Play Image Restoration with Deep Denoiser Prior" (DRUNet), IEEE TPAMI 2021, much smaller;
the face is unshuffled by two on its way in (FFDNet, Zhang et al., IEEE TIP 2018), and the network adds to it what it
finds. Where an aligned face has its eyes and its mouth is known, so a learned map of the face is added to the coarsest
features, and what the same network finds in the whole face, reduced to 64 pixels: a patch of a badly damaged face tells
little by itself. Why it is not ELSFace's trunk: docs/decisions/0014; what the map is for: docs/decisions/0019; what the
glance is for: docs/decisions/0020.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import overload

import torch
from torch import nn
from torch.nn import functional

UNSHUFFLE = 2
MULTIPLE = 8  # of the sides: half the resolution, halved twice
BRANCH = 0.2  # of the signal comes from a new block's convolutions
GLANCE = 64  # pixels: the side of the whole face as it is looked at from afar
CELLS = 32  # of the map, across and down: one for 8 pixels of a face of 256
WHOLE = (0.0, 0.0, 1.0, 1.0)  # the window of a whole face: left, top, right, bottom
ELSEWHERE = (2.0, 2.0, 3.0, 3.0)  # the window of what is no aligned face

Place = Callable[[torch.Tensor], torch.Tensor]


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


class UNet(nn.Module):
    """What it finds is added to the picture. A new network changes nothing: its last convolution starts at zero."""

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

    def found(self, pictures: torch.Tensor, place: Place | None = None) -> torch.Tensor:
        """Features (B, half, H / 2, W / 2) of ``pictures`` (B, 3, H, W), sides multiples of 8.

        What ``place`` gives for the coarsest features (B, eighth, H / 8, W / 8), of their shape, is added to them.
        """
        features = self.head(functional.pixel_unshuffle(pictures, UNSHUFFLE))
        passed: list[torch.Tensor] = []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            passed.append(encoder(features))
            features = down(passed[-1])
        features = self.body(features + place(features) if place else features)
        for level in (1, 0):
            features = passed[level] + functional.pixel_shuffle(self.ups[level](features), 2)
            features = self.decoders[level](features)
        return features

    def changed(self, pictures: torch.Tensor, found: torch.Tensor) -> torch.Tensor:
        """``pictures`` (B, 3, H, W) with what was ``found`` in them."""
        return pictures + functional.pixel_shuffle(self.tail(found), UNSHUFFLE)


class DaguerreS(UNet):
    """The network that looks at the face as it is, and ``glance``, the one that looks at all of it from afar."""

    def __init__(self, sizes: Sizes = SMALL) -> None:
        super().__init__(sizes)
        half, _, eighth = sizes.widths
        self.place = nn.Parameter(torch.zeros(1, eighth, CELLS, CELLS))
        self.glance = UNet(sizes)
        self.told = nn.Conv2d(half, eighth, 1)
        nn.init.zeros_(self.told.weight)
        nn.init.zeros_(self.told.get_parameter("bias"))

    @overload
    def forward(self, faces: torch.Tensor) -> torch.Tensor: ...
    @overload
    def forward(
        self, faces: torch.Tensor, windows: torch.Tensor, wholes: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]: ...
    def forward(
        self, faces: torch.Tensor, windows: torch.Tensor | None = None, wholes: torch.Tensor | None = None
    ) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
        """Whole ``faces`` (B, 3, H, W) RGB in [0, 1], sides multiples of 8, to the same shape, about [0, 1], unbounded.

        Or parts of faces, as in training: ``windows`` (B, 4) say which part each of them is: left, top, right and
        bottom in sides of the face on FFHQ's template (outside it nothing is known of the face); ``wholes``
        (B, 3, GLANCE, GLANCE) are the faces, reduced. Then it gives the parts and the reduced faces, both restored.
        """
        small = functional.adaptive_avg_pool2d(faces, GLANCE) if wholes is None else wholes
        seen = self.glance.found(small)
        known = self.place + self.told(seen)
        restored = self.changed(faces, self.found(faces, lambda features: placed(known, features, windows)))
        return restored if wholes is None else (restored, self.glance.changed(small, seen))


def placed(known: torch.Tensor, features: torch.Tensor, windows: torch.Tensor | None) -> torch.Tensor:
    """What is ``known`` of the faces (B, C, CELLS, CELLS) where ``features`` (B, C, h, w) of their ``windows`` are:
    of the features' shape.
    """
    if windows is None:
        windows = known.new_tensor([WHOLE]).expand(len(features), -1)
    left, top, right, bottom = (2 * windows - 1).unbind(dim=1)
    nothing = torch.zeros_like(left)
    rows = (right - left, nothing, right + left, nothing, bottom - top, bottom + top)
    grid = functional.affine_grid(torch.stack(rows, dim=1).view(-1, 2, 3) / 2, list(features.shape), False)
    return functional.grid_sample(known, grid, padding_mode="zeros", align_corners=False).to(features)


def blocks(width: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(Block(width) for _ in range(count)))


def initialise(network: UNet) -> None:
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
