"""The operations of StyleGAN2, in plain PyTorch and without compiled kernels.

Karras, Laine, Aittala, Hellsten, Lehtinen, Aila, "Analyzing and Improving the Image Quality of StyleGAN", CVPR 2020.
Tensor names are those of ``rosinality/stylegan2-pytorch:model.py``, from which GPEN, VSPBFR and SGPN descend. Features
are (B, C, H, W), styles (B, D). A face's result does not depend on its batch, apart from rounding.
"""

import math
from itertools import pairwise
from typing import Literal

import torch
from torch import nn
from torch.nn import functional

Resample = Literal["up", "down"]
Join = Literal["add", "concat"]

SLOPE, GAIN = 0.2, math.sqrt(2)
TAPS = (1.0, 3.0, 3.0, 1.0)
EPS = 1e-8


def fir_kernel(gain: float = 1.0) -> torch.Tensor:
    """The binomial low pass (4, 4) of sum ``gain``; 4 makes up for the zeros of a doubling."""
    taps = torch.tensor(TAPS)
    return torch.outer(taps, taps) * (gain / taps.sum() ** 2)


def upfirdn2d(
    features: torch.Tensor, kernel: torch.Tensor, up: int = 1, down: int = 1, pad: tuple[int, int] = (0, 0)
) -> torch.Tensor:
    """Insert ``up`` - 1 zeros after each sample, pad, convolve with ``kernel`` (N, N), keep every ``down``-th sample.

    ``pad`` is before and after, in both directions; negative numbers crop. The kernel is flipped, as in a convolution.
    """
    batch, channels, height, width = features.shape
    if up > 1:
        spread = features.new_zeros(batch, channels, height, up, width, up)
        spread[:, :, :, 0, :, 0] = features
        features = spread.view(batch, channels, height * up, width * up)
    flipped = kernel.to(features.dtype).flip(0, 1).expand(channels, 1, -1, -1)
    return functional.conv2d(functional.pad(features, (*pad, *pad)), flipped, stride=down, groups=channels)


def fused_leaky_relu(features: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Leaky ReLU of ``features`` + ``bias`` (C,), slope 0.2, times sqrt(2). ``features`` may also be (B, C)."""
    shaped = bias.view(1, -1, *[1] * (features.ndim - 2))
    return functional.leaky_relu_(torch.add(shaped * GAIN, features, alpha=GAIN), SLOPE)


def demodulation(weight: torch.Tensor, styles: torch.Tensor) -> torch.Tensor:
    """(B, out): what brings each output channel of ``weight`` (out, in, k, k) times ``styles`` (B, in) to norm 1.

    It is computed in float32 at least.
    """
    wide = torch.promote_types(weight.dtype, torch.float32)
    power = weight.to(wide).square().sum((2, 3))
    return (power * styles.to(wide).square()[:, None]).sum(2).add(EPS).rsqrt()


def modulated_conv2d(
    features: torch.Tensor, weight: torch.Tensor, styles: torch.Tensor, *, demodulate: bool = True, dilation: int = 1
) -> torch.Tensor:
    """Convolve each face with ``weight`` (out, in, k, k) scaled by its own ``styles`` (B, in); the size stays.

    The weight is also scaled by 1 / sqrt(in k k). Faces are scaled instead of weights, before and after, which comes to
    the same and takes one convolution for the whole batch.
    """
    styles = styles / math.sqrt(weight[0].numel())
    padding = dilation * (weight.shape[-1] // 2)
    found = functional.conv2d(features * styles[..., None, None], weight, padding=padding, dilation=dilation)
    return found * demodulation(weight, styles)[..., None, None].to(found.dtype) if demodulate else found


class PixelNorm(nn.Module):
    """Brings dimension 1 to mean square 1."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return values * (values.square().mean(1, keepdim=True) + EPS).rsqrt()


class ScaledLeakyReLU(nn.Module):
    """Leaky ReLU, slope 0.2, times sqrt(2), without a bias of its own."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return functional.leaky_relu(features, SLOPE) * GAIN


class FusedLeakyReLU(nn.Module):
    """``fused_leaky_relu`` with a learnt bias."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return fused_leaky_relu(features, self.bias)


class EqualConv2d(nn.Module):
    """Convolution whose weight is scaled by 1 / sqrt(in k k) when it is used, its bias is not."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.scale = 1 / math.sqrt(inputs * kernel**2)
        self.stride, self.padding, self.dilation = stride, padding, dilation

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        weight = self.weight * self.scale
        return functional.conv2d(features, weight, self.bias, self.stride, self.padding, self.dilation)


class EqualLinear(nn.Module):
    """Linear layer (B, in) to (B, out): weight times ``lr_mul`` / sqrt(in), bias times ``lr_mul``.

    ``activated`` adds the leaky ReLU of ``fused_leaky_relu``.
    """

    def __init__(
        self, inputs: int, outputs: int, *, lr_mul: float = 1.0, bias: float = 0.0, activated: bool = False
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / lr_mul)
        self.bias = nn.Parameter(torch.full((outputs,), bias))
        self.scale, self.lr_mul = lr_mul / math.sqrt(inputs), lr_mul
        self.activated = activated

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        weight, bias = self.weight * self.scale, self.bias * self.lr_mul
        if self.activated:
            return fused_leaky_relu(functional.linear(values, weight), bias)
        return functional.linear(values, weight, bias)


def mapping(inputs: int, width: int, layers: int, lr_mul: float = 0.01) -> nn.Sequential:
    """The mapping network (B, inputs) to (B, width): PixelNorm, then ``layers`` activated ``EqualLinear``."""
    widths = [inputs] + [width] * layers
    linear = [EqualLinear(a, b, lr_mul=lr_mul, activated=True) for a, b in pairwise(widths)]
    return nn.Sequential(PixelNorm(), *linear)


class Blur(nn.Module):
    """The low pass; ``pad`` is before and after."""

    kernel: torch.Tensor

    def __init__(self, pad: tuple[int, int], gain: float = 1.0) -> None:
        super().__init__()
        self.pad = pad
        self.register_buffer("kernel", fir_kernel(gain))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return upfirdn2d(features, self.kernel, pad=self.pad)


class Upsample(nn.Module):
    """Twice the sides, by the low pass."""

    kernel: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kernel", fir_kernel(4.0))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return upfirdn2d(features, self.kernel, up=2, pad=(2, 1))


class ConvLayer(nn.Sequential):
    """Convolution of an encoder or a discriminator: [Blur,] EqualConv2d [, FusedLeakyReLU]; ``down`` halves the sides.

    An activated layer has its bias in the activation; ``bias`` matters for the other ones.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, *, down: bool = False, activated: bool = True, bias: bool = True
    ) -> None:
        total = len(TAPS) - 2 + kernel - 1
        blur = [Blur(((total + 1) // 2, total // 2))] if down else []
        stride, padding = (2, 0) if down else (1, kernel // 2)
        conv = EqualConv2d(inputs, outputs, kernel, stride=stride, padding=padding, bias=bias and not activated)
        super().__init__(*blur, conv, *([FusedLeakyReLU(outputs)] if activated else []))


class ModulatedConv2d(nn.Module):
    """``modulated_conv2d`` by a style (B, ``style_width``); ``resample`` doubles or halves the sides."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        style_width: int,
        *,
        demodulate: bool = True,
        resample: Resample | None = None,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, outputs, inputs, kernel, kernel))
        self.modulation = EqualLinear(style_width, inputs, bias=1.0)
        self.demodulate, self.resample = demodulate, resample
        total = len(TAPS) - 2 + (kernel - 1 if resample == "down" else 1 - kernel)
        if resample is not None:
            up = resample == "up"
            self.blur = Blur(((total + 1) // 2 + up, total // 2 + up), 4.0 if up else 1.0)

    def forward(self, features: torch.Tensor, style: torch.Tensor) -> torch.Tensor:
        weight, styles = self.weight[0], self.modulation(style)
        if self.resample is None:
            return modulated_conv2d(features, weight, styles, demodulate=self.demodulate)
        styles = styles / math.sqrt(weight[0].numel())
        found = self._resampled(features * styles[..., None, None], weight)
        return found * demodulation(weight, styles)[..., None, None].to(found.dtype) if self.demodulate else found

    def _resampled(self, features: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        if self.resample == "down":
            return functional.conv2d(self.blur(features), weight, stride=2)
        return self.blur(functional.conv_transpose2d(features, weight.transpose(0, 1), stride=2))


class NoiseInjection(nn.Module):
    """Joins ``noise`` times a learnt scalar to the features: added, (B, 1 or C, H, W), or as further channels."""

    def __init__(self, join: Join = "add") -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.join: Join = join

    def forward(self, features: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        if self.join == "add":
            return features + self.weight * noise
        return torch.cat([features, self.weight * noise], dim=1)


class ConstantInput(nn.Module):
    """The learnt features that a generator starts from."""

    def __init__(self, channels: int, side: int = 4) -> None:
        super().__init__()
        self.input = nn.Parameter(torch.randn(1, channels, side, side))

    def forward(self, batch: int) -> torch.Tensor:
        """(``batch``, C, 4, 4)."""
        return self.input.expand(batch, -1, -1, -1)


class StyledConv(nn.Module):
    """Modulated convolution, noise, activation. Where noise is joined by "concat" it gives 2 ``outputs`` channels."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        style_width: int,
        *,
        resample: Resample | None = None,
        join: Join = "add",
    ) -> None:
        super().__init__()
        self.conv = ModulatedConv2d(inputs, outputs, kernel, style_width, resample=resample)
        self.noise = NoiseInjection(join)
        self.activate = FusedLeakyReLU(outputs if join == "add" else 2 * outputs)

    def forward(self, features: torch.Tensor, style: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        return self.activate(self.noise(self.conv(features, style), noise))


class ToRGB(nn.Module):
    """1 x 1 convolution without demodulation, plus a bias and the image so far, (B, 3, H / 2, W / 2), enlarged."""

    def __init__(self, inputs: int, style_width: int, *, upsample: bool = True) -> None:
        super().__init__()
        self.conv = ModulatedConv2d(inputs, 3, 1, style_width, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))
        if upsample:
            self.upsample = Upsample()

    def forward(self, features: torch.Tensor, style: torch.Tensor, skip: torch.Tensor | None = None) -> torch.Tensor:
        """(B, 3, H, W), unbounded."""
        image = self.conv(features, style) + self.bias
        return image if skip is None else image + self.upsample(skip)


class ResBlock(nn.Module):
    """A block of the discriminator, (B, in, H, W) to (B, out, H / 2, W / 2)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = ConvLayer(inputs, inputs, 3)
        self.conv2 = ConvLayer(inputs, outputs, 3, down=True)
        self.skip = ConvLayer(inputs, outputs, 1, down=True, activated=False, bias=False)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return (self.conv2(self.conv1(features)) + self.skip(features)) / GAIN


def with_deviation(features: torch.Tensor, group: int = 4) -> torch.Tensor:
    """``features`` with one more channel: the mean standard deviation in groups of ``group`` faces of the batch.

    Face i is in the group of i modulo B / ``group``. B is a multiple of ``group``, or less than it.
    """
    batch, channels, height, width = features.shape
    size = min(batch, group)
    grouped = features.view(size, batch // size, channels, height, width)
    deviation = (grouped.var(0, correction=0) + EPS).sqrt().mean((1, 2, 3))
    return torch.cat([features, deviation.repeat(size).view(batch, 1, 1, 1).expand(-1, -1, height, width)], dim=1)
