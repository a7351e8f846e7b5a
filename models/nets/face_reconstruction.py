"""The network that reads a face's shape, skin, pose and light from a picture: ResNet-50 with seven linear heads.

He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, with the stride on the 3 x 3
convolutions; Deng et al., "Accurate 3D Face Reconstruction with Weakly-Supervised Learning", CVPRW 2019
(``sicxu/Deep3DFaceRecon_pytorch``). Tensors have the names of SGPN's ``d3dfr_finetune_ours.pth``.
"""

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

HEADS = (80, 64, 80, 3, 27, 2, 1)  # identity, expression, texture, angles, light, x and y, z
DEPTHS = (3, 4, 6, 3)
WIDTH = 64
EXPANSION = 4


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3 and 1 x 1 beside a shortcut."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        out = width * EXPANSION
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        if stride != 1 or channels != out:
            shortcut = nn.Conv2d(channels, out, 1, stride=stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(out))
        else:
            self.downsample = nn.Identity()

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) to (B, 4 width, H / stride, W / stride)."""
        inner = self.bn1(self.conv1(features)).relu()
        inner = self.bn2(self.conv2(inner)).relu()
        return (self.bn3(self.conv3(inner)) + self.downsample(features)).relu()


class Backbone(nn.Module):
    """ResNet-50 without its classifier."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = _stage(width, width, DEPTHS[0], stride=1)
        self.layer2 = _stage(width * 4, width * 2, DEPTHS[1], stride=2)
        self.layer3 = _stage(width * 8, width * 4, DEPTHS[2], stride=2)
        self.layer4 = _stage(width * 16, width * 8, DEPTHS[3], stride=2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 3, 224, 224) to the mean features (B, 2048, 1, 1)."""
        features = self.maxpool(self.bn1(self.conv1(images)).relu())
        features = self.layer4(self.layer3(self.layer2(self.layer1(features))))
        return features.mean((2, 3), keepdim=True)


class FaceReconstruction(nn.Module):
    """Pictures to the coefficients of ``models.nets.face_model``."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.backbone = Backbone(width)
        self.final_layers = nn.ModuleList(nn.Conv2d(width * 32, channels, 1) for channels in HEADS)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 3, 224, 224) RGB in [0, 1] to (B, 257)."""
        features = self.backbone(images)
        return torch.cat([head(features) for head in self.final_layers], 1).flatten(1)


def fused(network: FaceReconstruction) -> FaceReconstruction:
    """``network``, which is in eval mode, with each normalisation folded into its convolution. It is changed."""
    _fold(network.backbone, "conv1", "bn1")
    for block in network.modules():
        if isinstance(block, Bottleneck):
            for number in (1, 2, 3):
                _fold(block, f"conv{number}", f"bn{number}")
            if isinstance(block.downsample, nn.Sequential):
                _fold(block.downsample, "0", "1")
    return network


def _fold(module: nn.Module, convolution: str, norm: str) -> None:
    inner, outer = module.get_submodule(convolution), module.get_submodule(norm)
    if isinstance(inner, nn.Conv2d) and isinstance(outer, nn.BatchNorm2d):
        module.set_submodule(convolution, fuse_conv_bn_eval(inner, outer))
        module.set_submodule(norm, nn.Identity())


def _stage(channels: int, width: int, depth: int, stride: int) -> nn.Sequential:
    first = Bottleneck(channels, width, stride)
    return nn.Sequential(first, *(Bottleneck(width * EXPANSION, width, 1) for _ in range(depth - 1)))
