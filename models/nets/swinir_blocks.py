"""The blocks of SwinIR: attention inside windows of 8 x 8 tokens, shifted by half a window in every second block.

Liu, Lin, Cao, Hu, Wei, Zhang, Lin, Guo, "Swin Transformer", ICCV 2021. Tokens are (B, H, W, C). See
``models.nets.swinir``. Stochastic depth, which training used, is not here.
"""

from collections import OrderedDict

import torch
from torch import nn
from torch.nn import functional

WINDOW, SHIFT = 8, 4  # tokens
TOKENS = WINDOW**2
OFFSETS = 2 * WINDOW - 1  # how far apart two tokens of a window can be along one side, both ways
MLP = 2  # widths
NEVER = -100.0  # added to the score of two tokens that only meet because the shift is cyclic


class WindowAttention(nn.Module):
    """Attention inside each window, with a learnt bias for every offset between two tokens."""

    relative_position_index: torch.Tensor

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.relative_position_bias_table = nn.Parameter(torch.zeros(OFFSETS**2, heads))
        self.register_buffer("relative_position_index", offsets())
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, windows: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """``windows`` (B, N, 64, C) to the same; ``mask`` (N, 64, 64) is added to the scores."""
        projected = self.qkv(windows).flatten(0, 1).unflatten(-1, (3, self.heads, -1)).transpose(1, 3)
        queries, keys, values = projected.unbind(2)  # (B * N, heads, 64, D), views: nothing is copied
        bias = self.bias(len(windows), mask).to(windows.dtype)
        found = functional.scaled_dot_product_attention(queries, keys, values, attn_mask=bias)
        return self.proj(found.transpose(1, 2).reshape(windows.shape))

    def bias(self, batch: int, mask: torch.Tensor | None) -> torch.Tensor:
        """What is added to the scores: (1, heads, 64, 64) of any window, (B * N, heads, 64, 64) with a mask."""
        bias = self.relative_position_bias_table[self.relative_position_index].permute(2, 0, 1)
        if mask is None:
            return bias[None]
        masked = bias + mask[:, None]
        return masked if batch == 1 else masked.repeat(batch, 1, 1, 1)


class SwinBlock(nn.Module):
    """Window attention, then a perceptron, each beside a shortcut.

    Given a ``mask`` (64, 64, 64), that of a grid of 64 x 64 tokens, the windows are shifted.
    """

    attn_mask: torch.Tensor | None

    def __init__(self, width: int, heads: int, mask: torch.Tensor | None) -> None:
        super().__init__()
        self.register_buffer("attn_mask", mask)
        self.norm1 = nn.LayerNorm(width)
        self.attn = WindowAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            OrderedDict(fc1=nn.Linear(width, MLP * width), act=nn.GELU(), fc2=nn.Linear(MLP * width, width))
        )

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        height, width = tokens.shape[1:3]
        normed, mask = self.norm1(tokens), self.mask(height, width)
        if mask is not None:
            normed = normed.roll((-SHIFT, -SHIFT), (1, 2))
        found = joined(self.attn(windows_of(normed), mask), height, width)
        if mask is not None:
            found = found.roll((SHIFT, SHIFT), (1, 2))
        tokens = tokens + found
        return tokens + self.mlp(self.norm2(tokens))

    def mask(self, height: int, width: int) -> torch.Tensor | None:
        """The stored mask if it is that of the grid, else one made for it; none for windows in place."""
        if self.attn_mask is None or (height, width) == (TOKENS, TOKENS):
            return self.attn_mask
        return shift_mask(height, width).to(self.attn_mask)


def offsets() -> torch.Tensor:
    """The row of the bias table for each query and key of a window, (64, 64)."""
    rows, columns = torch.arange(TOKENS) // WINDOW, torch.arange(TOKENS) % WINDOW
    down, right = (place[:, None] - place + WINDOW - 1 for place in (rows, columns))
    return down * OFFSETS + right


def shift_mask(height: int, width: int) -> torch.Tensor:
    """For each window of a shifted grid, -100 where query and key are not neighbours in the photo, (N, 64, 64)."""
    regions = 3 * _region(height)[:, None] + _region(width)
    windows = windows_of(regions[None, ..., None])[0, ..., 0]
    return (windows[:, :, None] != windows[:, None]).float() * NEVER


def windows_of(tokens: torch.Tensor) -> torch.Tensor:
    """(B, H, W, C) to (B, windows, 64, C)."""
    squares = tokens.unflatten(2, (-1, WINDOW)).unflatten(1, (-1, WINDOW))
    return squares.permute(0, 1, 3, 2, 4, 5).flatten(3, 4).flatten(1, 2)


def joined(windows: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """The reverse of ``windows_of``."""
    squares = windows.view(len(windows), height // WINDOW, width // WINDOW, WINDOW, WINDOW, -1)
    return squares.permute(0, 1, 3, 2, 4, 5).reshape(len(windows), height, width, -1)


def _region(side: int) -> torch.Tensor:
    """0, 1 or 2 for each token along a side: before the last window, its first half, its second."""
    places = torch.arange(side)
    return (places >= side - WINDOW).long() + (places >= side - SHIFT).long()
