"""VQFR, version 2: codes are predicted instead of looked up, and a number says how much of the input's detail to keep.

Gu, Wang, Xie, Dong, Li, Shan, Cheng, "VQFR: Blind Face Restoration with Vector-Quantized Dictionary and Parallel
Decoder", ECCV 2022. Facts from ``TencentARC/VQFR:vqfr/archs/vqfrv2_arch.py`` and ``vqganv2_arch.py`` at the options of
the published model; the state dict has their names.
"""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from models.nets.vqfr_parts import (
    Attention,
    ParallelDecoder,
    Reduce,
    Residual,
    TextureWarping,
    VqfrSizes,
    conv,
    tail,
)

V2 = VqfrSizes(channels=(64, 128, 128, 256, 256, 512))
DEPTH = 2  # residual blocks a level
SHORTCUT = "residual_func"


class Down(nn.Module):
    """Convolution with stride 2; zeros are added at the right and at the bottom alone."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.conv(functional.pad(features, (0, 1, 0, 1)))


class Up(nn.Module):
    """Each pixel four times, then a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = conv(channels, channels)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.conv(functional.interpolate(features, scale_factor=2, mode="nearest"))


def level_blocks(before: int, channels: int, attends: bool, resize: Sequence[nn.Module]) -> nn.Sequential:
    """[Resize,] then residual blocks, each followed by attention if the level ``attends``."""
    blocks: list[nn.Module] = [*resize]
    for inputs in (before, *[channels] * (DEPTH - 1)):
        blocks += [Residual(inputs, channels, SHORTCUT), *([Attention(channels)] if attends else [])]
    return nn.Sequential(*blocks)


def mid_blocks(channels: int) -> nn.Sequential:
    first, last = (Residual(channels, channels, SHORTCUT) for _ in range(2))
    return nn.Sequential(first, Attention(channels), last)


class Encoder(nn.Module):
    """(B, 3, H, W) to a vector a cell of the coarsest level, (B, code width, h, w)."""

    def __init__(self, sizes: VqfrSizes) -> None:
        super().__init__()
        channels = sizes.channels
        self.conv_in = conv(3, channels[0])
        levels = [level_blocks(channels[0], channels[0], False, [])]
        for level in range(1, len(channels)):
            before, last = channels[level - 1], level == len(channels) - 1
            levels.append(level_blocks(before, channels[level], last, [Down(before)]))
        self.blocks = nn.Sequential(*levels)
        self.mid_blocks = mid_blocks(channels[-1])
        self.conv_out = tail(channels[-1], sizes.code_width)

    def forward(self, faces: torch.Tensor) -> torch.Tensor:
        return self.conv_out(self.mid_blocks(self.blocks(self.conv_in(faces))))


class TextureDecoder(nn.Module):
    """The decoder that knows nothing of the input but its codes. ``conv_out`` makes the image, in the end."""

    def __init__(self, sizes: VqfrSizes) -> None:
        super().__init__()
        channels = sizes.channels
        self.names = sizes.names[::-1]
        self.conv_in = conv(sizes.code_width, channels[-1])
        self.mid_blocks = mid_blocks(channels[-1])
        levels = [level_blocks(channels[-1], channels[-1], True, [])]
        for level in range(len(channels) - 2, -1, -1):
            before = channels[level + 1]
            levels.append(level_blocks(before, channels[level], False, [Up(before)]))
        self.blocks = nn.Sequential(*levels)
        self.conv_out = tail(channels[0], 3)

    def forward(self, codes: torch.Tensor) -> dict[str, torch.Tensor]:
        """The features of every level, by its name, of the dictionary's vectors ``codes`` (B, C, h, w)."""
        features = self.mid_blocks(self.conv_in(codes))
        textures: dict[str, torch.Tensor] = {}
        for name, blocks in zip(self.names, self.blocks, strict=True):
            textures[name] = features = blocks(features)
        return textures


class MainBranch(ParallelDecoder):
    """The decoder whose features are added to the texture's."""

    def __init__(self, sizes: VqfrSizes) -> None:
        super().__init__(sizes)
        channels = (*sizes.channels, 0)
        for level, name in reversed(list(enumerate(sizes.names))):
            here, coarser = channels[level], channels[level + 1]
            self.align_func_dict[name] = TextureWarping(here, coarser, sizes, Reduce(1 << level))
            if coarser:
                self.pre_upsample_dict[name] = nn.Sequential(nn.Upsample(scale_factor=2), conv(coarser, here))
                self.decoder_dict[name] = Residual(2 * here, here, SHORTCUT)


class Dictionary(nn.Module):
    """Its entries."""

    def __init__(self, sizes: VqfrSizes) -> None:
        super().__init__()
        self.embedding = nn.Embedding(sizes.codes, sizes.code_width)

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        """``codes`` (B, h, w) to vectors (B, C, h, w)."""
        return self.embedding(codes).permute(0, 3, 1, 2).contiguous()


class VQFRv2(nn.Module):
    """The published network."""

    def __init__(self, sizes: VqfrSizes = V2) -> None:
        super().__init__()
        self.encoder = Encoder(sizes)
        self.feat2index = nn.Sequential(nn.LayerNorm(sizes.code_width), nn.Linear(sizes.code_width, sizes.codes))
        self.decoder = TextureDecoder(sizes)
        self.main_branch = MainBranch(sizes)
        self.inpfeat_extraction = conv(3, sizes.input_width)
        self.quantizer = Dictionary(sizes)

    def forward(self, faces: torch.Tensor, fidelity: Sequence[float]) -> torch.Tensor:
        """``faces`` (B, 3, H, W) RGB in [-1, 1], sides multiples of 32, to the same, unbounded.

        ``fidelity`` holds a number in [0, 1] a face: 0 is texture alone, and then the other branch does not run.
        """
        textures = self.decoder(self.quantizer(self.codes(self.encoder(faces))))
        found = textures["Level_1"]
        if any(fidelity):
            share = torch.tensor(fidelity, dtype=faces.dtype, device=faces.device).view(-1, 1, 1, 1)
            found = found + share * self.main_branch.decoded(textures, self.inpfeat_extraction(faces))
        return self.decoder.conv_out(found)

    def codes(self, vectors: torch.Tensor) -> torch.Tensor:
        """The likeliest entry of the dictionary, (B, h, w), for each of ``vectors`` (B, C, h, w).

        It is predicted in float32 even where the rest is not.
        """
        with torch.autocast(vectors.device.type, enabled=False):
            tokens = vectors.to(self.quantizer.embedding.weight.dtype).permute(0, 2, 3, 1).contiguous()
            return self.feat2index(tokens).argmax(-1)
