"""The network of LPIPS: features of AlexNet or VGG16 at five depths, compared channel by channel.

Zhang, Isola, Efros, Shechtman, Wang, "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", CVPR
2018; facts from ``richzhang/PerceptualSimilarity``, version 0.1. The features are torchvision's.
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Literal, cast

import torch
from torch import nn
from torch.nn import functional
from torchvision.models import alexnet, vgg16

from models.load import fill, read_tensors

SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # RGB in [-1, 1] to what ImageNet's networks expect
EPSILON = 1e-10
DEPTHS = {"alex": (2, 5, 8, 10, 12), "vgg": (4, 9, 16, 23, 30)}  # layers up to each of the five ReLUs
WIDTHS = {"alex": (64, 192, 384, 256, 256), "vgg": (64, 128, 256, 512, 512)}


class LPIPS(nn.Module):
    """See the module. ``features`` is torchvision's sequence, ``weights`` one vector (C,) for each depth."""

    shift: torch.Tensor
    scale: torch.Tensor

    def __init__(self, features: nn.Sequential, depths: Sequence[int], weights: Sequence[torch.Tensor]) -> None:
        super().__init__()
        bounds = pairwise([0, *depths])
        self.parts = nn.ModuleList([features[first:last] for first, last in bounds])
        self.weights = nn.ParameterList([nn.Parameter(vector, requires_grad=False) for vector in weights])
        self.register_buffer("shift", torch.tensor(SHIFT).view(1, 3, 1, 1))
        self.register_buffer("scale", torch.tensor(SCALE).view(1, 3, 1, 1))

    def forward(self, pictures: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
        """The distances (B,) of ``pictures`` and ``others``, both (B, 3, H, W) RGB in [-1, 1]."""
        one, other = ((part - self.shift) / self.scale for part in (pictures, others))
        total = pictures.new_zeros(len(pictures))
        for part, weight in zip(self.parts, self.weights, strict=True):
            one, other = part(one), part(other)
            apart = (directions(one) - directions(other)).square()
            total = total + functional.conv2d(apart, weight.view(1, -1, 1, 1)).mean((1, 2, 3))
        return total


def directions(features: torch.Tensor) -> torch.Tensor:
    """``features`` (B, C, H, W) of length 1 at each place."""
    return features / (features.square().sum(1, keepdim=True).sqrt() + EPSILON)


def load_lpips(net: Literal["alex", "vgg"], backbone: Path, linear: Path) -> LPIPS:
    """LPIPS from torchvision's classifier ``backbone`` and the published weights ``linear``, ready for use."""
    classifier = {"alex": alexnet, "vgg": vgg16}[net]()
    fill(classifier, read_tensors(backbone), str(backbone))
    holder = _Linear(WIDTHS[net])
    fill(holder, read_tensors(linear), str(linear))
    vectors = [cast("torch.Tensor", value).flatten() for value in holder.state_dict().values()]
    features = cast("nn.Sequential", classifier.features)
    for module in features.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    return LPIPS(features, DEPTHS[net], vectors).eval().requires_grad_(False)


class _Linear(nn.Module):
    """The published layout of the weights: ``lin0.model.1.weight`` to ``lin4.model.1.weight``, (1, C, 1, 1)."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        for index, width in enumerate(widths):
            line = nn.Module()
            line.add_module("model", nn.Sequential(nn.Identity(), nn.Conv2d(width, 1, 1, bias=False)))
            self.add_module(f"lin{index}", line)
