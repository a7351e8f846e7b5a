"""The layers of VSPBFR's restoration network that StyleGAN2 has not: four dilations side by side.

Lu et al., Pattern Recognition 161, 2025, section 3.3 (style-modulated aggregation). Facts from
``LonglongaaaGo/VSPBFR:models/RestoreNet.py``; tensors have the published names.
"""

import math

import torch
from torch import nn
from torch.nn import functional

from models.ops.stylegan2 import (
    ConvLayer,
    EqualConv2d,
    EqualLinear,
    FusedLeakyReLU,
    NoiseInjection,
    demodulation,
)

RATES = (1, 2, 4, 8)
KERNEL = 3


class DilatedWeight(nn.Module):
    """The weight of one dilation, (1, out, in, 3, 3)."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, out, channels, KERNEL, KERNEL))


class Smart(nn.Module):
    """SMART: modulated convolutions of four dilations with one style, fused; noise between two activations."""

    def __init__(self, channels: int, out: int, style_width: int) -> None:
        super().__init__()
        self.ModulatedConv2ds = nn.ModuleList(DilatedWeight(channels, out // len(RATES)) for _ in RATES)
        self.modulation = EqualLinear(style_width, channels, bias=1.0)
        self.fusion = ConvLayer(out, out, KERNEL)
        self.noise = NoiseInjection()
        self.activate = FusedLeakyReLU(out)
        self.scale = 1 / math.sqrt(channels * KERNEL**2)

    def forward(self, features: torch.Tensor, style: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W), styles (B, D) and noise (B, 1, H, W) to (B, out, H, W).

        The features are scaled by the style once for all dilations, and what comes out by each one's demodulation.
        """
        styles = self.modulation(style) * self.scale
        weights = [weight[0] for weight in self.ModulatedConv2ds.parameters()]
        scaled = features * styles[..., None, None]
        found = [
            functional.conv2d(scaled, weight, padding=rate, dilation=rate)
            for weight, rate in zip(weights, RATES, strict=True)
        ]
        scales = torch.cat([demodulation(weight, styles) for weight in weights], 1)
        mixed = torch.cat(found, 1)
        fused = self.fusion(mixed * scales[..., None, None].to(mixed.dtype))
        return self.activate(self.noise(fused, noise))


class LargeConv(nn.Module):
    """Convolutions of four dilations, fused; two activations. Neither style nor noise."""

    def __init__(self, channels: int, out: int, kernel: int) -> None:
        super().__init__()
        self.dilated_convs = nn.ModuleList(
            EqualConv2d(
                channels, out // len(RATES), kernel, padding=(kernel - 1) * rate // 2, dilation=rate, bias=False
            )
            for rate in RATES
        )
        self.fusion = ConvLayer(out, out, 1)
        self.activate = FusedLeakyReLU(out)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) to (B, out, H, W)."""
        return self.activate(self.fusion(torch.cat([conv(features) for conv in self.dilated_convs], 1)))
