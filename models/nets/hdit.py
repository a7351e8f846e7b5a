"""HDiT: an hourglass of transformers over the pixels, with neighbourhood attention where the grid is fine.

Crowson, Baumann, Birch, Abraham, Kaplan, Shippole, "Scalable High-Resolution Pixel-Space Image Synthesis with Hourglass
Diffusion Transformers", ICML 2024, as PMRF uses it: unconditional but for the time. Facts from
``ohayonguy/PMRF:arch/hourglass/image_transformer_v2.py`` and ``axial_rope.py``.

The tensors have the published names, in the published order: averaged weights are stored as a list without names.
Tokens are (B, H, W, C) throughout. No layer has a bias.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from math import pi

import torch
from torch import nn

from models.nets.hdit_layers import Level, Mapping, RMSNorm, SelfAttention
from models.ops.neighbourhood_attention import Way

PATCH = 4  # side in pixels
AUGMENTATIONS = 9  # inputs of ``aug_emb``, which are always zero
FLOAT32 = ("mapping", "time_in_proj", "aug_in_proj")  # the way of the time, one vector a face: precise and cheap


@dataclass(frozen=True, slots=True)
class HDiTShape:
    """Finest level first; all levels but the last attend to neighbourhoods, the last to every token."""

    widths: tuple[int, ...]
    depths: tuple[int, ...]
    head_width: int
    mapping_width: int

    @property
    def multiple(self) -> int:
        """What the sides of an image must be multiples of, in pixels."""
        return PATCH * 2 ** (len(self.widths) - 1)


IMAGENET_256_SP4 = HDiTShape((256, 512, 1024), (2, 2, 8), head_width=64, mapping_width=768)  # blind restoration
XL2 = HDiTShape((384, 768), (2, 11), head_width=64, mapping_width=768)  # the controlled experiments


class Merge(nn.Module):
    """Joins squares of ``side`` x ``side`` tokens into one each: (B, H, W, C) to (B, H / side, W / side, out)."""

    def __init__(self, channels: int, out: int, side: int) -> None:
        super().__init__()
        self.side = side
        self.proj = nn.Linear(channels * side**2, out, bias=False)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        squares = tokens.unflatten(2, (-1, self.side)).unflatten(1, (-1, self.side))
        return self.proj(squares.permute(0, 1, 3, 2, 4, 5).flatten(3))


class Part(nn.Module):
    """The reverse of ``Merge``: (B, H, W, C) to (B, H * side, W * side, out)."""

    def __init__(self, channels: int, out: int, side: int) -> None:
        super().__init__()
        self.side = side
        self.proj = nn.Linear(channels, out * side**2, bias=False)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        squares = self.proj(tokens).unflatten(3, (self.side, self.side, -1))
        return squares.permute(0, 1, 3, 2, 4, 5).flatten(3, 4).flatten(1, 2)


class Split(Part):
    """A ``Part`` of side 2 that is mixed with the finer level's own tokens by a learnt share."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__(channels, out, 2)
        self.fac = nn.Parameter(torch.full((1,), 0.5))

    def forward(self, tokens: torch.Tensor, skip: torch.Tensor | None = None) -> torch.Tensor:
        """``skip`` (B, 2 * H, 2 * W, out) are the finer tokens; without it there is nothing to mix."""
        finer = super().forward(tokens)
        return finer if skip is None else torch.lerp(skip, finer, self.fac.to(finer.dtype))


class Features(nn.Module):
    """Random Fourier features whose frequencies are part of the checkpoint."""

    weight: torch.Tensor

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.randn(out // 2, channels))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """(B, channels) to (B, out)."""
        angles = 2 * pi * values @ self.weight.T
        return torch.cat([angles.cos(), angles.sin()], -1)


class HDiT(nn.Module):
    """See the module. ``channels`` counts the state's three and those of a condition, which come after them."""

    def __init__(self, shape: HDiTShape, channels: int = 3, out: int = 3) -> None:
        super().__init__()
        widths, mapping = shape.widths, shape.mapping_width
        self.patch_in = Merge(channels, widths[0], PATCH)
        self.time_emb = Features(1, mapping)
        self.time_in_proj = nn.Linear(mapping, mapping, bias=False)
        self.aug_emb = Features(AUGMENTATIONS, mapping)
        self.aug_in_proj = nn.Linear(mapping, mapping, bias=False)
        self.mapping = Mapping(mapping)
        levels = list(zip(widths, shape.depths, strict=True))
        self.down_levels = nn.ModuleList(_levels(levels[:-1], shape, neighbours=True))
        self.up_levels = nn.ModuleList(_levels(levels[:-1], shape, neighbours=True))
        self.mid_level = next(iter(_levels(levels[-1:], shape, neighbours=False)))
        pairs = list(pairwise(widths))
        self.merges = nn.ModuleList([Merge(fine, coarse, 2) for fine, coarse in pairs])
        self.splits = nn.ModuleList([Split(coarse, fine) for fine, coarse in pairs])
        self.out_norm = RMSNorm(widths[0])
        self.patch_out = Part(widths[0], out, PATCH)
        nn.init.zeros_(self.patch_out.proj.weight)

    def forward(self, images: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        """The velocity (B, 3, H, W) of ``images`` (B, C, H, W), RGB around [0, 1], at ``times`` (B,) in [0, 1).

        Sides are multiples of ``HDiTShape.multiple``, and 7 tokens or more on every level with neighbourhoods.
        """
        dtype = self.patch_in.proj.weight.dtype
        condition = self.condition(times).to(dtype)
        tokens = self.patch_in(images.permute(0, 2, 3, 1).to(dtype))
        skips: list[torch.Tensor] = []
        for level, merge in zip(self.down_levels, self.merges, strict=True):
            skips.append(level(tokens, condition))
            tokens = merge(skips[-1])
        tokens = self.mid_level(tokens, condition)
        for level, split in zip(reversed(self.up_levels), reversed(self.splits), strict=True):
            tokens = level(split(tokens, skips.pop()), condition)
        return self.patch_out(self.out_norm(tokens)).permute(0, 3, 1, 2).contiguous()

    def condition(self, times: torch.Tensor) -> torch.Tensor:
        """The vector (B, M) that steers every layer, in float32."""
        known = self.time_in_proj(self.time_emb(times.float()[:, None]))
        none = self.aug_emb(times.new_zeros(1, AUGMENTATIONS, dtype=torch.float32))
        return self.mapping(known + self.aug_in_proj(none))

    def attend_by(self, way: Way) -> "HDiT":
        """Compute neighbourhood attention another way; the result is the same but for rounding."""
        for module in self.modules():
            if isinstance(module, SelfAttention):
                module.way = way
        return self

    def compute_in(self, dtype: torch.dtype) -> "HDiT":
        """Linear layers over tokens take ``dtype``; norms' scales, angles and the way of the time stay in float32."""
        for name, module in self.named_modules():
            if isinstance(module, nn.Linear) and not name.startswith(FLOAT32):
                module.to(dtype)
        return self


def _levels(levels: Iterable[tuple[int, int]], shape: HDiTShape, *, neighbours: bool) -> Iterable[Level]:
    return (Level(width, depth, shape.head_width, shape.mapping_width, neighbours) for width, depth in levels)
