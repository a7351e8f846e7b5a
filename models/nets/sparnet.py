"""SPARNetHD: residual blocks whose results are weighted by a map of where the face's structures are.

Chen, Gong, Wang, Li, Wong, "Learning Spatial Attention for Face Super-Resolution", IEEE Transactions on Image
Processing 30, 2021. Facts from ``chaofengc/Face-SPARNet:models/blocks.py``, ``sparnet.py`` (SPARNetHD, attention of one
map, "2D") and their copy in ``Kaldwin0106/DR2_Drgradation_Remover:SPAR``.

The tensors have the published names, but for the spectral norm, which ``models.spectral_norm`` folds into plain weights
when a file is loaded. ``models.nets.sparnet_cpu`` computes the same faster for one face on a CPU.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import nn
from torch.nn import functional

SLOPE = 0.2  # of the leaky rectifier
ATTENTION_WIDTH = 64  # channels inside an hourglass

Scale = Literal["", "down", "up"]


@dataclass(frozen=True, slots=True)
class SparnetShape:
    """``widths`` of the encoder, largest map first; ``middle`` blocks at its smallest map.

    The hourglasses grow with the map: their depth is 1 in the middle and at the encoder's end.
    """

    widths: tuple[int, ...] = (102, 204, 408, 512, 512)
    middle: int = 9

    @property
    def multiple(self) -> int:
        """What the sides of an image must be multiples of, in pixels."""
        return 2 ** len(self.widths)


PUBLISHED = SparnetShape()


class Norm(nn.Module):
    """Each channel of each image to mean 0 and variance 1, then scale and shift: ``norm.weight``, ``norm.bias``."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.InstanceNorm2d(channels, affine=True)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.norm(features)


class Conv(nn.Module):
    """A 3 x 3 convolution with a mirrored border; the side is doubled before it or halved by it, as ``scale`` says.

    A bias only where there is no norm.
    """

    def __init__(
        self, channels: int, out: int, scale: Scale = "", *, norm: bool = False, activation: bool = False
    ) -> None:
        super().__init__()
        self.scale: Scale = scale
        self.conv2d = nn.Conv2d(channels, out, 3, stride=2 if scale == "down" else 1, bias=not norm)
        self.norm = Norm(out) if norm else None
        self.activation = activation

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) to (B, out, H', W')."""
        if self.scale == "up":
            features = functional.interpolate(features, scale_factor=2, mode="nearest")
        features = self.conv2d(functional.pad(features, (1,) * 4, mode="reflect"))
        features = features if self.norm is None else self.norm(features)
        return functional.leaky_relu(features, SLOPE) if self.activation else features


class Hourglass(nn.Module):
    """A map (B, 1, H, W) in (0, 1) of where (B, C, H, W) matters, seen at ``depth`` further scales."""

    def __init__(self, depth: int, channels: int) -> None:
        super().__init__()
        self.depth = depth
        for level in range(depth, 0, -1):
            at = channels if level == depth else ATTENTION_WIDTH
            self.add_module(f"b1_{level}", self._block(at))
            self.add_module(f"b2_{level}", self._block(at, "down"))
            self.add_module(f"b3_{level}", self._block(ATTENTION_WIDTH, "up"))
        self.b2_plus_1 = self._block(ATTENTION_WIDTH)
        self.out_block = nn.Sequential(Conv(ATTENTION_WIDTH, 1))

    @staticmethod
    def _block(channels: int, scale: Scale = "") -> Conv:
        return Conv(channels, ATTENTION_WIDTH, scale, norm=True, activation=True)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.out_block(self.mixed(features, self.depth)).sigmoid()

    def mixed(self, features: torch.Tensor, level: int) -> torch.Tensor:
        """What level ``level`` and those below it make of their input: (B, 64, H, W)."""
        lower = self.at("b2", level)(features)
        lower = self.mixed(lower, level - 1) if level > 1 else self.b2_plus_1(lower)
        return self.at("b1", level)(features) + self.at("b3", level)(lower)

    def at(self, block: str, level: int) -> Conv:
        found = self.get_submodule(f"{block}_{level}")
        if not isinstance(found, Conv):
            raise TypeError(f"{block}_{level} is a {type(found).__name__}")
        return found


class Residual(nn.Module):
    """Two convolutions, weighted by their own attention map, beside a shortcut that takes the input before its norm."""

    def __init__(self, channels: int, out: int, depth: int, scale: Scale = "") -> None:
        super().__init__()
        plain = not scale and channels == out
        self.shortcut_func = nn.Identity() if plain else Conv(channels, out, scale)
        self.preact_func = nn.Sequential(Norm(channels), nn.LeakyReLU(SLOPE))
        self.conv1 = Conv(channels, out, "up" if scale == "up" else "", norm=True, activation=True)
        self.conv2 = Conv(out, out, "down" if scale == "down" else "", norm=True)
        self.att_func = Hourglass(depth, out)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) to (B, out, H', W')."""
        hidden = self.conv2(self.conv1(self.preact_func(features)))
        return self.shortcut_func(features) + hidden * self.att_func(hidden)


class SparnetHD(nn.Module):
    """A face to the same face, sharp: at the published size 512 x 512."""

    def __init__(self, shape: SparnetShape = PUBLISHED) -> None:
        super().__init__()
        widths = shape.widths
        downs = [(*pair, len(widths) - 1 - level) for level, pair in enumerate(pairwise(widths))]
        ups = [(*pair, 2 + level) for level, pair in enumerate(pairwise(widths[::-1]))]
        self.encoder = nn.Sequential(Conv(3, widths[0]), *(Residual(*sizes, "down") for sizes in downs))
        self.res_layers = nn.Sequential(*(Residual(widths[-1], widths[-1], 1) for _ in range(shape.middle)))
        self.decoder = nn.Sequential(*(Residual(*sizes, "up") for sizes in ups))
        self.out_conv = Conv(widths[0], 3)

    def forward(self, faces: torch.Tensor) -> torch.Tensor:
        """``faces`` (B, 3, H, W) RGB in [-1, 1] to the same shape, about that range, not clipped.

        Sides are multiples of ``SparnetShape.multiple``.
        """
        return self.out_conv(self.decoder(self.res_layers(self.encoder(faces))))
