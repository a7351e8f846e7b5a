"""VQFR, version 1: the face is put together from a dictionary of high-quality texture, by two decoders side by side.

Gu, Wang, Xie, Dong, Li, Shan, Cheng, "VQFR: Blind Face Restoration with Vector-Quantized Dictionary and Parallel
Decoder", ECCV 2022. Facts from ``TencentARC/VQFR:vqfr/archs/vqfrv1_arch.py`` and ``vqganv1_arch.py`` at the options of
the published model; the state dict has their names.
"""

from collections import OrderedDict
from typing import cast

import torch
from torch import nn
from torch.nn import functional

from models.nets.vqfr_parts import ParallelDecoder, Reduce, Residual, TextureWarping, VqfrSizes, conv, norm, tail

V1 = VqfrSizes(channels=(128, 128, 256, 256, 256, 512))
ENCODER_DEPTH, DECODER_DEPTH = 2, 3  # residual blocks a level
SHORTCUT = "shortcut_conv"


class Down(nn.Module):
    """Reduction, then a convolution."""

    def __init__(self, inputs: int, outputs: int, factor: int = 2) -> None:
        super().__init__()
        self.reduce = Reduce(factor)
        self.conv = conv(inputs, outputs)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.conv(self.reduce(features))


class Up(nn.Module):
    """A convolution, then bilinear enlargement to twice the sides."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = conv(inputs, outputs)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return functional.interpolate(self.conv(features), scale_factor=2, mode="bilinear", align_corners=False)


def residuals(channels: int, depth: int) -> nn.Sequential:
    return nn.Sequential(*(Residual(channels, channels, SHORTCUT) for _ in range(depth)))


class Encoder(nn.Module):
    """(B, 3, H, W) to the features of the coarsest level."""

    def __init__(self, sizes: VqfrSizes) -> None:
        super().__init__()
        names, channels = sizes.names, sizes.channels
        self.conv_in = conv(3, channels[0])
        self.encoder_dict, self.pre_downsample_dict = nn.ModuleDict(), nn.ModuleDict()
        for level, name in enumerate(names):
            self.encoder_dict[name] = residuals(channels[level], ENCODER_DEPTH)
            if level:
                self.pre_downsample_dict[name] = Down(channels[level - 1], channels[level])
        self.enc_convout_dict = nn.ModuleDict({names[-1]: tail(channels[-1], channels[-1])})

    def forward(self, faces: torch.Tensor) -> torch.Tensor:
        found = self.conv_in(faces)
        for name, blocks in self.encoder_dict.items():
            found = self.pre_downsample_dict[name](found) if name in self.pre_downsample_dict else found
            found = blocks(found)
        [last] = self.enc_convout_dict.values()
        return last(found)


class Quantizer(nn.Module):
    """Replaces the vector of each cell by the nearest one of the dictionary."""

    def __init__(self, channels: int, sizes: VqfrSizes) -> None:
        super().__init__()
        self.quant_conv = conv(channels, sizes.code_width, 1)
        self.post_quant_conv = conv(sizes.code_width, channels, 1)
        self.embedding = nn.Embedding(sizes.codes, sizes.code_width)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        codes = self.codes(self.quant_conv(features))
        return self.post_quant_conv(self.embedding(codes).permute(0, 3, 1, 2).contiguous())

    def codes(self, vectors: torch.Tensor) -> torch.Tensor:
        """The nearest entry of the dictionary, (B, H, W), for each of ``vectors`` (B, C, H, W); in float32 at least."""
        known = self.embedding.weight
        with torch.autocast(vectors.device.type, enabled=False):
            tokens = vectors.to(known.dtype).permute(0, 2, 3, 1).contiguous()
            distances = known.square().sum(1) - 2 * functional.linear(tokens, known)  # less the vectors' own squares
            return distances.argmin(-1)


class Quantizers(nn.Module):
    """The original allows for a dictionary a level; the published model has one, at the coarsest."""

    def __init__(self, sizes: VqfrSizes) -> None:
        super().__init__()
        self.quantize_dict = nn.ModuleDict({sizes.names[-1]: Quantizer(sizes.channels[-1], sizes)})

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.only(features)

    @property
    def only(self) -> Quantizer:
        """The dictionary of the coarsest level."""
        [only] = self.quantize_dict.values()
        return cast("Quantizer", only)


class TextureDecoder(nn.Module):
    """The decoder that knows nothing of the input but its codes."""

    def __init__(self, sizes: VqfrSizes) -> None:
        super().__init__()
        channels = sizes.channels
        self.decoder_dict, self.pre_upsample_dict = nn.ModuleDict(), nn.ModuleDict()
        for level, name in reversed(list(enumerate(sizes.names))):
            self.decoder_dict[name] = residuals(channels[level], DECODER_DEPTH)
            if level + 1 < len(channels):
                self.pre_upsample_dict[name] = Up(channels[level + 1], channels[level])
        self.conv_out = tail(channels[0], 3)

    def forward(self, features: torch.Tensor) -> dict[str, torch.Tensor]:
        """The features of every level, by its name. ``conv_out`` makes an image of those of Level_1."""
        textures: dict[str, torch.Tensor] = {}
        for name, blocks in self.decoder_dict.items():
            features = self.pre_upsample_dict[name](features) if name in self.pre_upsample_dict else features
            textures[name] = features = blocks(features)
        return textures


class MainDecoder(ParallelDecoder):
    """The decoder of the result, which sees the input's pixels at its end."""

    def __init__(self, sizes: VqfrSizes) -> None:
        super().__init__(sizes)
        channels = (*sizes.channels, 0)
        for level, name in reversed(list(enumerate(sizes.names))):
            here, coarser, width = channels[level], channels[level + 1], sizes.input_width
            reduce = Down(width, width, 1 << level) if level else nn.Identity()
            self.align_func_dict[name] = TextureWarping(here, coarser, sizes, reduce)
            if coarser:
                self.pre_upsample_dict[name] = Up(coarser, here)
                self.decoder_dict[name] = Residual(2 * here, here, SHORTCUT)
        self.conv_out_1 = nn.Sequential(norm(channels[0]), nn.SiLU(inplace=True))
        self.conv_out = nn.Sequential(conv(channels[0] + 3, 3))

    def forward(self, textures: dict[str, torch.Tensor], inputs: torch.Tensor, faces: torch.Tensor) -> torch.Tensor:
        found = self.conv_out_1(self.decoded(textures, inputs))
        return self.conv_out(torch.cat([found, faces], dim=1))


class VQFRv1(nn.Module):
    """The published network."""

    def __init__(self, sizes: VqfrSizes = V1) -> None:
        super().__init__()
        self.inpfeat_extraction = nn.Sequential(OrderedDict(conv=conv(3, sizes.input_width)))
        self.encoder = Encoder(sizes)
        self.decoder = TextureDecoder(sizes)
        self.main_decoder = MainDecoder(sizes)
        self.quantizer = Quantizers(sizes)

    def forward(self, faces: torch.Tensor) -> torch.Tensor:
        """``faces`` (B, 3, H, W) RGB in [-1, 1], sides multiples of 32, to the same, unbounded."""
        textures = self.decoder(self.quantizer(self.encoder(faces)))
        return self.main_decoder(textures, self.inpfeat_extraction(faces), faces)
