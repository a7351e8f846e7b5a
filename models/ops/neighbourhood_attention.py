"""Neighbourhood attention: each token of a grid attends to the square window around it.

Hassani, Walton, Li, Li, Shi, "Neighborhood Attention Transformer", CVPR 2023, with the borders of natten 0.17: a window
that would reach over the border is moved inwards, so every token has as many keys as any other. No bias, no dilation.
"""

from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from typing import Literal, cast

import torch
from torch.nn import functional
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

Way = Literal["plain", "tiled", "flex", "natten"]

LONGEST_TILE = 8  # 8 x 8 queries share 14 x 14 keys; on a CPU faster than 4, and than 16 or as fast


class WindowTooLarge(ValueError):  # noqa: N818 - says what is wrong
    """The grid is smaller than the window."""


def neighbourhood_attention(
    queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, *, kernel: int = 7, way: Way = "tiled"
) -> torch.Tensor:
    """Softmax attention of each token over its ``kernel`` x ``kernel`` window, with scale 1.

    All three are (B, H, W, heads, D), and so is the result. Token (i, j) sees the rows from clamp(i - kernel // 2, 0, H
    - kernel) on, and the columns likewise. ``way`` changes how it is computed and nothing else: "plain" gathers each
    token's keys, "tiled" computes the scores of a tile's queries with all keys that any of them sees, and masks. "flex"
    is torch's ``flex_attention``, made for GPUs: it is compiled there, and unfused and slow on the CPU. "natten" is the
    package of that name, where it is installed.
    """
    if min(queries.shape[1:3]) < kernel:
        raise WindowTooLarge(f"a grid of {tuple(queries.shape[1:3])} tokens has no window of {kernel} x {kernel}")
    return WAYS[way](queries, keys, values, kernel)


def _plain(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, kernel: int) -> torch.Tensor:
    height, width = queries.shape[1:3]
    rows, columns = (_starts(side, kernel, queries.device)[:, None] for side in (height, width))
    window = torch.arange(kernel, device=queries.device)
    there = (rows + window)[:, None, :, None], (columns + window)[None, :, None, :]
    near_keys, near_values = (part[:, there[0], there[1]].flatten(3, 4) for part in (keys, values))
    scores = torch.einsum("bijhd,bijnhd->bijhn", queries, near_keys)
    return torch.einsum("bijhn,bijnhd->bijhd", scores.softmax(-1), near_values)


def _tiled(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, kernel: int) -> torch.Tensor:
    batch, height, width, heads, channels = queries.shape
    tall, wide = _tile(height), _tile(width)
    rows, see_rows = _reach(height, tall, kernel, queries.device)
    columns, see_columns = _reach(width, wide, kernel, queries.device)
    seen = see_rows[:, None, :, None, :, None] & see_columns[None, :, None, :, None, :]
    mask = seen.flatten(4, 5).flatten(2, 3).flatten(0, 1)[:, None]
    tiles = queries.unflatten(2, (-1, wide)).unflatten(1, (-1, tall)).permute(1, 3, 0, 5, 2, 4, 6)
    there = rows[:, None, :, None], columns[None, :, None, :]
    near_keys, near_values = (part[:, there[0], there[1]].permute(1, 2, 0, 5, 3, 4, 6) for part in (keys, values))
    flat = [part.flatten(4, 5).flatten(2, 3).flatten(0, 1) for part in (tiles, near_keys, near_values)]
    found = functional.scaled_dot_product_attention(flat[0], flat[1], flat[2], attn_mask=mask, scale=1.0)
    found = found.view(height // tall, width // wide, batch, heads, tall, wide, channels)
    return found.permute(2, 0, 4, 1, 5, 3, 6).reshape(queries.shape)


def _flex(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, kernel: int) -> torch.Tensor:
    height, width = queries.shape[1:3]
    flat = [part.flatten(1, 2).transpose(1, 2) for part in (queries, keys, values)]
    seen = _blocks(height, width, kernel, queries.device)
    attend = _compiled_flex() if queries.is_cuda else flex_attention
    found = attend(flat[0], flat[1], flat[2], block_mask=seen, scale=1.0)
    return cast("torch.Tensor", found).transpose(1, 2).reshape(queries.shape)


def _natten(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, kernel: int) -> torch.Tensor:
    functions = import_module("natten.functional")
    return functions.na2d(queries, keys, values, kernel, scale=1.0)


@lru_cache(maxsize=16)
def _blocks(height: int, width: int, kernel: int, device: torch.device) -> BlockMask:
    """Which blocks of tokens, row by row, see each other at all, and which of their tokens do."""

    def seen(_batch: torch.Tensor, _head: torch.Tensor, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        top = (query // width - kernel // 2).clamp(0, height - kernel)
        left = (query % width - kernel // 2).clamp(0, width - kernel)
        row, column = key // width - top, key % width - left
        return (row >= 0) & (row < kernel) & (column >= 0) & (column < kernel)

    return create_block_mask(seen, None, None, height * width, height * width, device=str(device))


@lru_cache(maxsize=1)
def _compiled_flex() -> Callable[..., object]:
    return torch.compile(flex_attention, dynamic=False)


def _starts(side: int, kernel: int, device: torch.device) -> torch.Tensor:
    """The first key of each query along one side, (side,)."""
    return (torch.arange(side, device=device) - kernel // 2).clamp(0, side - kernel)


def _tile(side: int) -> int:
    """The longest tile that divides ``side``."""
    return next(tile for tile in range(LONGEST_TILE, 0, -1) if side % tile == 0)


def _reach(side: int, tile: int, kernel: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Along one side: the keys of each tile (tiles, N), and which of them each of its queries sees (tiles, tile, N)."""
    reach = min(tile + kernel - 1, side)
    first = torch.arange(0, side, tile, device=device) - kernel // 2
    keys = first.clamp(0, side - reach)[:, None] + torch.arange(reach, device=device)
    starts = _starts(side, kernel, device).view(-1, tile, 1)
    return keys, (keys[:, None] >= starts) & (keys[:, None] < starts + kernel)


WAYS = {"plain": _plain, "tiled": _tiled, "flex": _flex, "natten": _natten}
