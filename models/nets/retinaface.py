"""RetinaFace: boxes, scores and five landmarks from one pass over the photo, with two bodies.

Deng, Guo, Ververas, Kotsia, Zafeiriou, "RetinaFace: Single-Shot Multi-Level Face Localisation in the Wild", CVPR 2020.
Tensor names as published by ``ternaus/retinaface`` and ``xinntao/facexlib``, which share the network.
"""

from typing import Literal

import torch
from torch import nn
from torch.nn import functional
from torchvision.models.resnet import Bottleneck, ResNet

BodyName = Literal["resnet50", "mobile0.25"]
Levels = list[torch.Tensor]  # strides 8, 16, 32

ANCHORS = 2  # priors in a cell
RESNET_DEPTHS = [3, 4, 6, 3]
MOBILE_STAGES = (
    ((8, 16, 1), (16, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1)),  # channels in, out, stride; after the stem
    ((64, 128, 2), *[(128, 128, 1)] * 5),
    ((128, 256, 2), (256, 256, 1)),
)
MOBILE_SLOPE = 0.1  # of LeakyReLU
CHANNELS = {"resnet50": (512, 1024, 2048), "mobile0.25": (64, 128, 256)}
WIDTHS = {"resnet50": 256, "mobile0.25": 64}


class ResNetBody(ResNet):
    """ResNet-50 up to its last stage. (B, 3, H, W) to 512, 1024 and 2048 channels at strides 8, 16 and 32."""

    def __init__(self) -> None:
        super().__init__(Bottleneck, RESNET_DEPTHS)
        del self.avgpool, self.fc

    def forward(self, x: torch.Tensor) -> Levels:  # pyright: ignore[reportIncompatibleMethodOverride]
        features = self.layer1(self.maxpool(self.relu(self.bn1(self.conv1(x)))))
        c3 = self.layer2(features)
        c4 = self.layer3(c3)
        return [c3, c4, self.layer4(c4)]


class MobileBody(nn.Module):
    """MobileNet v1 of a quarter of its width. (B, 3, H, W) to 64, 128 and 256 channels at strides 8, 16 and 32."""

    def __init__(self) -> None:
        super().__init__()
        first, second, third = ([separable(*block) for block in stage] for stage in MOBILE_STAGES)
        self.stage1 = nn.Sequential(convolution(3, 8, 3, MOBILE_SLOPE, stride=2), *first)
        self.stage2 = nn.Sequential(*second)
        self.stage3 = nn.Sequential(*third)

    def forward(self, x: torch.Tensor) -> Levels:
        c3 = self.stage1(x)
        c4 = self.stage2(c3)
        return [c3, c4, self.stage3(c4)]


class Pyramid(nn.Module):
    """The feature pyramid: three levels to one width, each mixed with the coarser one below it."""

    def __init__(self, channels: tuple[int, ...], width: int, slope: float) -> None:
        super().__init__()
        self.output1, self.output2, self.output3 = (convolution(each, width, 1, slope) for each in channels)
        self.merge1 = convolution(width, width, 3, slope)
        self.merge2 = convolution(width, width, 3, slope)

    def forward(self, levels: Levels) -> Levels:
        """Each (B, C, H, W) to (B, width, H, W)."""
        fine, middle, coarse = self.output1(levels[0]), self.output2(levels[1]), self.output3(levels[2])
        middle = self.merge2(middle + _enlarged(coarse, middle))
        return [self.merge1(fine + _enlarged(middle, fine)), middle, coarse]


class ContextModule(nn.Module):
    """SSH: windows of 3, 5 and 7 pixels side by side, the larger two as chains of 3 x 3 convolutions."""

    def __init__(self, width: int, slope: float) -> None:
        super().__init__()
        self.conv3X3 = convolution(width, width // 2, 3)
        self.conv5X5_1 = convolution(width, width // 4, 3, slope)
        self.conv5X5_2 = convolution(width // 4, width // 4, 3)
        self.conv7X7_2 = convolution(width // 4, width // 4, 3, slope)
        self.conv7x7_3 = convolution(width // 4, width // 4, 3)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) to the same shape."""
        shared = self.conv5X5_1(features)
        parts = (self.conv3X3(features), self.conv5X5_2(shared), self.conv7x7_3(self.conv7X7_2(shared)))
        return torch.cat(parts, dim=1).relu()


class Head(nn.Module):
    """``values`` numbers for each prior."""

    def __init__(self, width: int, values: int) -> None:
        super().__init__()
        self.values = values
        self.conv1x1 = nn.Conv2d(width, ANCHORS * values, 1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) to (B, H * W * 2, values), row by row, the two priors of a cell together."""
        return self.conv1x1(features).permute(0, 2, 3, 1).reshape(len(features), -1, self.values)


class RetinaFace(nn.Module):
    """Body, feature pyramid, a context module on each level, and three heads on each."""

    def __init__(self, body: BodyName) -> None:
        super().__init__()
        width = WIDTHS[body]
        slope = 0.0 if width > 64 else 0.1
        self.body = ResNetBody() if body == "resnet50" else MobileBody()
        self.fpn = Pyramid(CHANNELS[body], width, slope)
        self.ssh1, self.ssh2, self.ssh3 = (ContextModule(width, slope) for _ in range(3))
        self.ClassHead, self.BboxHead, self.LandmarkHead = (
            nn.ModuleList(Head(width, values) for _ in range(3)) for values in (2, 4, 10)
        )

    def forward(self, photos: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(B, 3, H, W), any H and W, prepared as the weights want it, to what is said of P priors, stride 8 first.

        Boxes (B, P, 4) and landmarks (B, P, 10) are offsets from the priors; classes (B, P, 2) are the logits of
        background and face. The order is boxes, classes, landmarks.
        """
        first, second, third = self.fpn(self.body(photos))
        levels = [self.ssh1(first), self.ssh2(second), self.ssh3(third)]
        boxes, classes, landmarks = (
            torch.cat([head(level) for head, level in zip(heads, levels, strict=True)], dim=1)
            for heads in (self.BboxHead, self.ClassHead, self.LandmarkHead)
        )
        return boxes, classes, landmarks


def convolution(channels: int, out: int, side: int, slope: float | None = None, stride: int = 1) -> nn.Sequential:
    """Convolution, BatchNorm and, with a ``slope``, LeakyReLU. (B, C, H, W) to (B, out, H / stride, W / stride)."""
    conv = nn.Conv2d(channels, out, side, stride, padding=side // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out), *([] if slope is None else [nn.LeakyReLU(slope, inplace=True)]))


def separable(channels: int, out: int, stride: int) -> nn.Sequential:
    """MobileNet's block: 3 x 3 within each channel, 1 x 1 across them, each with BatchNorm and LeakyReLU."""
    depth = nn.Conv2d(channels, channels, 3, stride, padding=1, groups=channels, bias=False)
    across = convolution(channels, out, 1, MOBILE_SLOPE)
    return nn.Sequential(depth, nn.BatchNorm2d(channels), nn.LeakyReLU(MOBILE_SLOPE, inplace=True), *across)


def _enlarged(features: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """``features`` at the height and width of ``like``, each value repeated."""
    return functional.interpolate(features, size=like.shape[-2:], mode="nearest")
