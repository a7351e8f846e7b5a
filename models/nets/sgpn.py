"""SGPN: a photo's crop and a picture of its face's shape guide a StyleGAN2 generator.

Zhu et al., "Blind Face Restoration via Integrating Face Shape and Generative Priors", CVPR 2022. Tensors have the names
of the published ``sgpn.pth``; facts from ``TencentYoutuResearch/FaceRestoration-sgpn:face_restoration/model_sgpn.py``.
There is no noise: where StyleGAN2 adds it, features of the two pictures are joined to the generator's own.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn

from models.nets.face_model import COEFFICIENTS
from models.ops.stylegan2 import (
    ConstantInput,
    ConvLayer,
    EqualLinear,
    FusedLeakyReLU,
    ModulatedConv2d,
    NoiseInjection,
    StyledConv,
    ToRGB,
    mapping,
)

SMALLEST = 4  # px, the side that encoder and generator meet at
LAYERS = 3  # of the mapping


@dataclass(frozen=True, slots=True)
class SgpnSizes:
    """``side`` of the pictures, channels up to 64 px, numbers a picture in the latent, width of the style."""

    side: int = 512
    widest: int = 512
    latent: int = 256
    style: int = 512

    @property
    def sides(self) -> list[int]:
        """From 4 to ``side``, doubling."""
        return [2**power for power in range(SMALLEST.bit_length() - 1, self.side.bit_length())]

    def channels(self, side: int) -> int:
        """Of features at this side: above 64 px half for each doubling."""
        return min(self.widest, self.widest * 64 // side)


PUBLISHED = SgpnSizes()


class Encoder(nn.Module):
    """A picture to its latent and its features at every side."""

    def __init__(self, sizes: SgpnSizes = PUBLISHED) -> None:
        super().__init__()
        widths = [sizes.channels(side) for side in reversed(sizes.sides)]
        self.ecd0 = nn.Sequential(ConvLayer(3, widths[0], 1))
        for number, (narrow, wide) in enumerate(pairwise(widths), 1):
            self.add_module(f"ecd{number}", nn.Sequential(ConvLayer(narrow, wide, 3, down=True)))
        self.final_linear = nn.Sequential(EqualLinear(widths[-1] * SMALLEST**2, sizes.latent, activated=True))
        self.count = len(widths)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """(B, 3, S, S) RGB in [-1, 1] to (B, 256) and features (B, C, side, side), the smallest first."""
        features = [images]
        for number in range(self.count):
            features.append(self.get_submodule(f"ecd{number}")(features[-1]))
        return self.final_linear(features[-1].flatten(1).float()), features[:0:-1]


class FusedConv(nn.Module):
    """Adaptive feature fusion: a modulated convolution, and beside it a mixture of the two pictures' features."""

    def __init__(self, inputs: int, outputs: int, style: int, *, up: bool) -> None:
        super().__init__()
        self.conv = ModulatedConv2d(inputs, outputs, 3, style, resample="up" if up else None)
        self.noise = NoiseInjection("concat")
        self.activate = FusedLeakyReLU(2 * outputs)
        self.convs_mask = ConvLayer(3 * outputs, outputs, 1, activated=False)

    def forward(
        self, features: torch.Tensor, style: torch.Tensor, photo: torch.Tensor, shape: torch.Tensor
    ) -> torch.Tensor:
        """(B, C, H, W), (B, 512) and twice (B, K, H', W') to (B, 2 K, H', W')."""
        own = self.conv(features, style)
        share = self.logits(own, photo, shape).sigmoid()
        return self.activate(self.noise(own, torch.lerp(shape, photo, share)))

    def logits(self, own: torch.Tensor, photo: torch.Tensor, shape: torch.Tensor) -> torch.Tensor:
        """How much of the photo's features, against the shape's, before the sigmoid, (B, K, H', W')."""
        return self.convs_mask(torch.cat([own, photo, shape], 1))


class Generator(nn.Module):
    """Latents and features to a picture. One style rules every layer."""

    def __init__(self, sizes: SgpnSizes = PUBLISHED) -> None:
        super().__init__()
        widths, style = [sizes.channels(side) for side in sizes.sides], sizes.style
        self.mlp = mapping(2 * sizes.latent + COEFFICIENTS, style, LAYERS)
        self.input = ConstantInput(widths[0], SMALLEST)
        self.conv1 = StyledConv(widths[0], widths[0], 3, style, join="concat")
        self.to_rgb1 = ToRGB(2 * widths[0], style, upsample=False)
        self.convs = nn.ModuleList()
        for below, width in pairwise(widths):
            self.convs.append(FusedConv(2 * below, width, style, up=True))
            self.convs.append(FusedConv(2 * width, width, style, up=False))
        self.to_rgbs = nn.ModuleList(ToRGB(2 * width, style) for width in widths[1:])

    def forward(self, latent: torch.Tensor, photo: list[torch.Tensor], shape: list[torch.Tensor]) -> torch.Tensor:
        """(B, 769) and the features of both pictures, the smallest first, to (B, 3, S, S), about [-1, 1]."""
        style = self.mlp(latent).to(photo[0].dtype)
        features = self.conv1(self.input(len(latent)), style, photo[0])
        image = self.to_rgb1(features, style)
        for level, to_rgb in enumerate(self.to_rgbs, 1):
            for conv in self.convs[2 * level - 2 : 2 * level]:
                features = conv(features, style, photo[level], shape[level])
            image = to_rgb(features, style, image)
        return image


class SGPN(nn.Module):
    """Encoder and generator, as published together."""

    def __init__(self, sizes: SgpnSizes = PUBLISHED) -> None:
        super().__init__()
        self.netE = Encoder(sizes)
        self.netG = Generator(sizes)

    def forward(self, crops: torch.Tensor, shapes: torch.Tensor, coefficients: torch.Tensor) -> torch.Tensor:
        """Crops and pictures of their faces' shapes, (B, 3, S, S) RGB in [-1, 1], and (B, 257), to (B, 3, S, S)."""
        dtype = self.netG.input.input.dtype
        photo_latent, photo = self.netE(crops.to(dtype))
        shape_latent, shape = self.netE(shapes.to(dtype))
        return self.netG(torch.cat([photo_latent, shape_latent, coefficients], 1), photo, shape)

    def compute_in(self, dtype: torch.dtype) -> "SGPN":
        """Convolutions and features in ``dtype``; latents, mapping and the picture's sum stay float32."""
        self.to(dtype)
        self.netE.final_linear.float()
        self.netG.mlp.float()
        for to_rgb in (self.netG.to_rgb1, *self.netG.to_rgbs):
            to_rgb.float()
            to_rgb.get_submodule("conv").to(dtype)
        return self
