"""The convolutional parts of ELSFace: residual blocks, the style encoder, the high-frequency enhancement block.

Qi, Qiu, Luo, Jin, "An Efficient Latent Style Guided Transformer-CNN Framework for Face Super-Resolution", IEEE
Transactions on Multimedia 26, 2024. Facts from ``FVL2020/ELSFace:model/elsface.py`` and ``model/common.py``; tensors
have the published names.
"""

import torch
from torch import nn
from torch.nn import functional

STYLE_SIDE = 32  # the encoder halves it three times and flattens what is left
STYLES = 2  # one a stream
SLOPE = 0.2  # of the leaky ReLU


def conv(channels: int, out: int, kernel: int = 3, stride: int = 1) -> nn.Conv2d:
    """A convolution with bias that keeps the sides, or divides them by ``stride``; zeros past the border."""
    return nn.Conv2d(channels, out, kernel, stride, padding=kernel // 2)


class Residual(nn.Module):
    """Two convolutions beside the identity; no norm."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv(channels, channels, kernel), nn.ReLU(inplace=True), conv(channels, channels, kernel)
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) to the same shape."""
        return self.body(features).add_(features)


class StyleEncoder(nn.Module):
    """A face's latent style, a vector for each of the two streams. It works on 32 x 32 pixels and no other size.

    The last layer is linear on one vector a face: on the CPU its bits depend on the batch.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        steps = [(3, 1), (width, 2), (width, 2), (width, 2)]
        blocks = [_style_step(channels, width, stride) for channels, stride in steps]
        flat = width * (STYLE_SIDE // 8) ** 2
        last = nn.Sequential(
            conv(width, width), nn.LeakyReLU(SLOPE, inplace=True), nn.Flatten(), nn.Linear(flat, STYLES * width)
        )
        self.encoder = nn.Sequential(*blocks, last)
        self.width = width

    def forward(self, faces: torch.Tensor) -> torch.Tensor:
        """(B, 3, 32, 32) BGR in [0, 1] to styles (B, 2, C): the CNN's and the Transformer's."""
        return self.encoder(faces).view(-1, STYLES, self.width)


def _style_step(channels: int, out: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        conv(channels, out, 3, stride),
        nn.LeakyReLU(SLOPE, inplace=True),
        conv(out, out),
        nn.LeakyReLU(SLOPE, inplace=True),
    )


class HighPass(nn.Module):
    """What two convolutions find, less its own low frequencies. The input itself is not added back."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            conv(channels, channels, kernel), nn.ReLU(inplace=True), conv(channels, channels, kernel)
        )
        self.upsample = nn.Sequential(conv(channels, 4 * channels), nn.PixelShuffle(2))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W), even sides, to the same shape."""
        found = self.body(features)
        return found - self.upsample(functional.avg_pool2d(found, 2))


class Enhancement(nn.Module):
    """HFEB, the high-frequency enhancement block: a high pass and ``depth`` residual blocks on what it lets through."""

    def __init__(self, channels: int, kernel: int, depth: int) -> None:
        super().__init__()
        self.hf_block = HighPass(channels, kernel)
        self.main = nn.Sequential(nn.Sequential(*[Residual(channels, kernel) for _ in range(depth)]))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W), even sides, to the same shape."""
        high = self.hf_block(features)
        return high + self.main(high)
