"""FAN: four stacked hourglasses that see a face's 98 landmarks (WFLW), of which the measure LMD takes the distance.

Wang, Bo, Fuxin, "Adaptive Wing Loss for Robust Face Alignment via Heatmap Regression", ICCV 2019; the blocks are of
Bulat, Tzimiropoulos, "How far are we from solving the 2D & 3D Face Alignment problem?", ICCV 2017, the coordinate
channels of Liu et al., "An intriguing failing of convolutional neural networks and the CoordConv solution", NeurIPS
2018. Facts from ``ohayonguy/PMRF:evaluation/awing_arch.py``. The tensors have the published names.
"""

import torch
from torch import nn
from torch.nn import functional

SIDE, MAP_SIDE = 256, 64  # pixels of a face, of a map
LANDMARKS = 98  # and one more map, of the boundaries between facial parts
WIDTH, HOURGLASSES, DEPTH = 256, 4, 4
BOUNDARY = 0.05  # of the boundary map; above it, a pixel's place is told to the next hourglass


class ConvBlock(nn.Module):
    """Three convolutions whose results stand side by side (1/2, 1/4, 1/4 of ``out``), beside a shortcut."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, out // 2, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out // 2)
        self.conv2 = nn.Conv2d(out // 2, out // 4, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(out // 4)
        self.conv3 = nn.Conv2d(out // 4, out // 4, 3, padding=1, bias=False)
        self.downsample = None
        if channels != out:
            self.downsample = nn.Sequential(
                nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, out, 1, bias=False)
            )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        first = self.conv1(self.bn1(features).relu())
        second = self.conv2(self.bn2(first).relu())
        third = self.conv3(self.bn3(second).relu())
        shortcut = features if self.downsample is None else self.downsample(features)
        return torch.cat([first, second, third], 1) + shortcut


class CoordConv(nn.Module):
    """A convolution that also sees where each pixel lies: row, column and distance from the middle."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, features: torch.Tensor, boundary: torch.Tensor | None = None) -> torch.Tensor:
        """``boundary`` (B, 1, H, W) adds two more channels: row and column where it is above 0.05, else 0."""
        places = coordinates(*features.shape[-2:], like=features).expand(len(features), -1, -1, -1)
        channels = [features, places]
        if boundary is not None:
            channels.append(torch.where(boundary.clamp(0, 1) > BOUNDARY, places[:, :2], 0.0))
        return self.conv(torch.cat(channels, 1))


class Hourglass(nn.Module):
    """Blocks on ever coarser grids and back, each grid with a way around it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.coordconv = CoordConv(nn.Conv2d(channels, WIDTH, 1))
        for level in range(DEPTH, 0, -1):
            for name in ("b1", "b2", *(["b2_plus"] if level == 1 else []), "b3"):
                self.add_module(f"{name}_{level}", ConvBlock(WIDTH, WIDTH))

    def forward(self, features: torch.Tensor, boundary: torch.Tensor | None) -> torch.Tensor:
        return self._at(DEPTH, self.coordconv(features, boundary))

    def _at(self, level: int, features: torch.Tensor) -> torch.Tensor:
        around = self.get_submodule(f"b1_{level}")(features)
        coarse = self.get_submodule(f"b2_{level}")(functional.avg_pool2d(features, 2))
        coarse = self._at(level - 1, coarse) if level > 1 else self.get_submodule("b2_plus_1")(coarse)
        coarse = self.get_submodule(f"b3_{level}")(coarse)
        return around + functional.interpolate(coarse, scale_factor=2.0, mode="nearest")


class FAN(nn.Module):
    """See the module."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = CoordConv(nn.Conv2d(3 + 3, 64, 7, 2, 3))
        self.bn1 = nn.BatchNorm2d(64)
        self.conv2 = ConvBlock(64, 128)
        self.conv3 = ConvBlock(128, 128)
        self.conv4 = ConvBlock(128, WIDTH)
        for index in range(HOURGLASSES):
            self.add_module(f"m{index}", Hourglass(WIDTH + (5 if index else 3)))
            self.add_module(f"top_m_{index}", ConvBlock(WIDTH, WIDTH))
            self.add_module(f"conv_last{index}", nn.Conv2d(WIDTH, WIDTH, 1))
            self.add_module(f"bn_end{index}", nn.BatchNorm2d(WIDTH))
            self.add_module(f"l{index}", nn.Conv2d(WIDTH, LANDMARKS + 1, 1))
            if index < HOURGLASSES - 1:
                self.add_module(f"bl{index}", nn.Conv2d(WIDTH, WIDTH, 1))
                self.add_module(f"al{index}", nn.Conv2d(LANDMARKS + 1, WIDTH, 1))

    def forward(self, faces: torch.Tensor) -> list[torch.Tensor]:
        """The maps (B, 99, 64, 64) of each hourglass, the last the best, of ``faces`` (B, 3, 256, 256) RGB in [0, 1].

        The last channel is the boundary.
        """
        features = self.bn1(self.conv1(faces)).relu()
        features = self.conv4(self.conv3(functional.avg_pool2d(self.conv2(features), 2)))
        found: list[torch.Tensor] = []
        for index in range(HOURGLASSES):
            own = self.get_submodule(f"m{index}")(features, found[-1][:, -1:] if found else None)
            own = self.get_submodule(f"conv_last{index}")(self.get_submodule(f"top_m_{index}")(own))
            own = self.get_submodule(f"bn_end{index}")(own).relu()
            found.append(self.get_submodule(f"l{index}")(own))
            if index < HOURGLASSES - 1:
                told = self.get_submodule(f"al{index}")(found[-1])
                features = features + self.get_submodule(f"bl{index}")(own) + told
        return found


def coordinates(height: int, width: int, like: torch.Tensor) -> torch.Tensor:
    """Row and column in [-1, 1] and the distance from the middle in [0, 1] of each pixel, (3, H, W)."""
    sides = [torch.linspace(-1, 1, side, dtype=like.dtype, device=like.device) for side in (height, width)]
    rows, columns = torch.meshgrid(sides[0], sides[1], indexing="ij")
    radius = (rows.square() + columns.square()).sqrt()
    return torch.stack([rows, columns, radius / radius.max()])
