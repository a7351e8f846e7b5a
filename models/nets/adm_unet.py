"""The U-Net of a diffusion model in pixel space, with an attention at one grid: ADM in the size of P2 weighting.

Dhariwal, Nichol, "Diffusion Models Beat GANs on Image Synthesis", NeurIPS 2021; Choi, Lee, Shin, Kim, Kim, Yoon,
"Perception Prioritized Training of Diffusion Models", CVPR 2022. Facts from
``Kaldwin0106/DR2_Drgradation_Remover:DRDR/unet.py`` and ``jychoi118/P2-weighting:guided_diffusion/unet.py``.

The tensors have the published names. This file is the definition, for any device and for training;
``models.nets.adm_unet_cpu`` computes the same faster for one face on a CPU.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from torch.nn import functional

GROUPS = 32
LONGEST_PERIOD = 10_000  # of the time embedding

Resample = Literal["", "down", "up"]


@dataclass(frozen=True, slots=True)
class UNetShape:
    """``multiples`` of ``width``, one a level, finest first; ``attention`` is the level that has one in each block."""

    width: int = 128
    multiples: tuple[int, ...] = (1, 1, 2, 2, 4, 4)
    attention: int = 4
    head_width: int = 64
    out: int = 6

    @property
    def embedding(self) -> int:
        return 4 * self.width

    @property
    def multiple(self) -> int:
        """What the sides of an image must be multiples of, in pixels."""
        return 2 ** (len(self.multiples) - 1)


PUBLISHED = UNetShape()


class ResBlock(nn.Module):
    """Two convolutions beside a skip connection; the time scales and shifts what the second norm gives.

    (B, C, H, W) to (B, out, H', W'): ``resample`` halves or doubles the sides before the first convolution.
    """

    def __init__(self, channels: int, out: int, embedding: int, resample: Resample = "") -> None:
        super().__init__()
        self.resample: Resample = resample
        first, last = nn.Conv2d(channels, out, 3, padding=1), nn.Conv2d(out, out, 3, padding=1)
        self.in_layers = nn.Sequential(nn.GroupNorm(GROUPS, channels), nn.SiLU(), first)
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(embedding, 2 * out))
        self.out_layers = nn.Sequential(nn.GroupNorm(GROUPS, out), nn.SiLU(), nn.Identity(), last)
        self.skip_connection = nn.Identity() if channels == out else nn.Conv2d(channels, out, 1)

    def forward(self, features: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        norm, activation, convolution = self.in_layers
        hidden = convolution(resampled(activation(wide(norm, features)), self.resample))
        scale, shift = self.emb_layers(embedding)[..., None, None].chunk(2, dim=1)
        norm, activation, _, convolution = self.out_layers
        hidden = convolution(activation(wide(norm, hidden) * (1 + scale) + shift))
        return self.skip_connection(resampled(features, self.resample)) + hidden


class Attention(nn.Module):
    """Every position of (B, C, H, W) attends to every other; channels are grouped head by head, then q, k, v."""

    def __init__(self, channels: int, head_width: int) -> None:
        super().__init__()
        self.heads = channels // head_width
        self.norm = nn.GroupNorm(GROUPS, channels)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.proj_out = nn.Conv1d(channels, channels, 1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        tokens = features.flatten(2)
        heads = self.qkv(wide(self.norm, tokens)).unflatten(1, (self.heads, 3, -1))
        query, key, value = heads.transpose(-1, -2).unbind(2)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        return features + self.proj_out(mixed.transpose(-1, -2).flatten(1, 2)).view_as(features)


class Steps(nn.ModuleList):
    """Blocks one after another, those that take the time embedding with it."""

    def forward(self, features: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        for block in self:
            features = block(features, embedding) if isinstance(block, ResBlock) else block(features)
        return features


class AdmUNet(nn.Module):
    """Noise and its variance's interpolation, for a noisy image and its step of the 1000-step process."""

    def __init__(self, shape: UNetShape = PUBLISHED) -> None:
        super().__init__()
        self.shape = shape
        width, embedding = shape.width, shape.embedding
        self.time_embed = nn.Sequential(nn.Linear(width, embedding), nn.SiLU(), nn.Linear(embedding, embedding))
        self.input_blocks = nn.ModuleList([Steps([nn.Conv2d(3, width, 3, padding=1)]), *_descent(shape)])
        lowest = width * shape.multiples[-1]
        self.middle_block = Steps(
            [
                ResBlock(lowest, lowest, embedding),
                Attention(lowest, shape.head_width),
                ResBlock(lowest, lowest, embedding),
            ]
        )
        self.output_blocks = nn.ModuleList(_ascent(shape))
        last = width * shape.multiples[0]
        self.out = nn.Sequential(nn.GroupNorm(GROUPS, last), nn.SiLU(), nn.Conv2d(last, shape.out, 3, padding=1))

    def forward(self, images: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
        """``images`` (B, 3, H, W), RGB in [-1, 1] under noise, and ``steps`` (B,) of 0 to 999, to (B, 6, H, W).

        Channels 0 to 2 are the noise; 3 to 5 say where the variance lies, -1 at the lower bound and 1 at the upper, not
        clipped. Sides are multiples of ``UNetShape.multiple``. float32, whatever the weights' type.
        """
        dtype = next(self.out[2].parameters()).dtype
        embedding = self.embedded(steps).to(dtype)
        hidden = images.to(dtype)
        skips: list[torch.Tensor] = []
        for block in self.input_blocks:
            hidden = block(hidden, embedding)
            skips.append(hidden)
        hidden = self.middle_block(hidden, embedding)
        for block in self.output_blocks:
            hidden = block(torch.cat([hidden, skips.pop()], dim=1), embedding)
        norm, activation, convolution = self.out
        return convolution(activation(wide(norm, hidden))).float()

    def embedded(self, steps: torch.Tensor) -> torch.Tensor:
        """The embedding (B, E) of ``steps`` (B,), float32. A step's bits depend on the batch on a CPU."""
        return self.time_embed(sinusoids(steps, self.shape.width))

    def compute_in(self, dtype: torch.dtype) -> "AdmUNet":
        """Convolutions take ``dtype``; the norms' and the time's weights stay in float32, as the norms compute."""
        for module in (*self.input_blocks, self.middle_block, *self.output_blocks, self.out):
            for layer in module.modules():
                if isinstance(layer, nn.Conv2d | nn.Conv1d | nn.Linear):
                    layer.to(dtype)
        return self


def sinusoids(steps: torch.Tensor, channels: int) -> torch.Tensor:
    """(B,) to (B, ``channels``) float32: cosines, then sines, of frequencies that fall from 1."""
    count = channels // 2
    falling = torch.arange(count, dtype=torch.float32, device=steps.device) * (-math.log(LONGEST_PERIOD) / count)
    angles = steps[:, None].float() * falling.exp()
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


def resampled(features: torch.Tensor, how: Resample) -> torch.Tensor:
    """(B, C, H, W) as it is, at half the side by the mean of four, or at the double by repetition."""
    if how == "down":
        return functional.avg_pool2d(features, 2)
    return functional.interpolate(features, scale_factor=2, mode="nearest") if how == "up" else features


def wide(norm: nn.Module, features: torch.Tensor) -> torch.Tensor:
    """``norm`` computed in float32, in the type of ``features``."""
    return norm(features.float()).to(features.dtype)


def _descent(shape: UNetShape) -> Iterator[Steps]:
    """The input blocks after the first convolution: at each level one block, and one that halves the side."""
    channels = shape.width
    for level, multiple in enumerate(shape.multiples):
        out = multiple * shape.width
        yield Steps([ResBlock(channels, out, shape.embedding), *_attention(shape, level, out)])
        if level < len(shape.multiples) - 1:
            yield Steps([ResBlock(out, out, shape.embedding, "down")])
        channels = out


def _ascent(shape: UNetShape) -> Iterator[Steps]:
    """The output blocks, two a level from the coarsest, each taking the features of an input block beside its own."""
    widths = [shape.width * multiple for multiple in shape.multiples]
    skips = [shape.width, *(width for width in widths for _ in range(2))][:-1]
    channels = widths[-1]
    for level, out in reversed(list(enumerate(widths))):
        for last in (False, True):
            block = ResBlock(channels + skips.pop(), out, shape.embedding)
            up = [ResBlock(out, out, shape.embedding, "up")] if last and level else []
            yield Steps([block, *_attention(shape, level, out), *up])
            channels = out


def _attention(shape: UNetShape, level: int, channels: int) -> list[nn.Module]:
    return [Attention(channels, shape.head_width)] if level == shape.attention else []
