"""ResNet-18 on grey faces, of which the measure Deg takes the angle between two persons.

Deng, Guo, Xue, Zafeiriou, "ArcFace", CVPR 2019, in the small form without squeeze and excitation that VQFR evaluates
with. Facts from ``ohayonguy/PMRF:evaluation/arcface/models/resnet.py``. The tensors have the published names.
"""

import torch
from torch import nn

SIDE = 128  # pixels
WIDTHS, DEPTH = (64, 128, 256, 512), 2  # channels of the stages; blocks of each
EMBEDDING = 512
LAST_SIDE = SIDE // 16


class Block(nn.Module):
    """Two convolutions beside a shortcut; both activations share one slope."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.bn0 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.prelu = nn.PReLU()
        self.conv2 = nn.Conv2d(channels, out, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.downsample = None
        if stride != 1 or channels != out:
            self.downsample = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        found = self.prelu(self.bn1(self.conv1(self.bn0(features))))
        found = self.bn2(self.conv2(found))
        return self.prelu(found + (features if self.downsample is None else self.downsample(features)))


class ResNetFace(nn.Module):
    """See the module."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, WIDTHS[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        self.prelu = nn.PReLU()
        self.maxpool = nn.MaxPool2d(2)
        self.layer1 = _stage(WIDTHS[0], WIDTHS[0], 1)
        self.layer2 = _stage(WIDTHS[0], WIDTHS[1], 2)
        self.layer3 = _stage(WIDTHS[1], WIDTHS[2], 2)
        self.layer4 = _stage(WIDTHS[2], WIDTHS[3], 2)
        self.bn4 = nn.BatchNorm2d(WIDTHS[3])
        self.fc5 = nn.Linear(WIDTHS[3] * LAST_SIDE**2, EMBEDDING)
        self.bn5 = nn.BatchNorm1d(EMBEDDING)

    def forward(self, faces: torch.Tensor) -> torch.Tensor:
        """The embeddings (B, 512), of any length, of grey ``faces`` (B, 1, 128, 128) in [-1, 1]."""
        features = self.maxpool(self.prelu(self.bn1(self.conv1(faces))))
        features = self.layer4(self.layer3(self.layer2(self.layer1(features))))
        return self.bn5(self.fc5(self.bn4(features).flatten(1)))


def degrees_between(embeddings: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """The angle (B,) in degrees between rows of ``embeddings`` and of ``others``, both (B, D)."""
    cosines = torch.nn.functional.cosine_similarity(embeddings.double(), others.double(), dim=1)
    return cosines.clamp(-1, 1).arccos().rad2deg()


def _stage(channels: int, out: int, stride: int) -> nn.Sequential:
    return nn.Sequential(Block(channels, out, stride), *[Block(out, out, 1) for _ in range(DEPTH - 1)])
