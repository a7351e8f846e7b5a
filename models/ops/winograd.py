"""3 x 3 convolutions of one picture on the CPU, by minimal filtering.

Lavin, Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016: F(4 x 4, 3 x 3) with the points 0, 1, -1,
2, -2 and infinity. Sixteen results take 36 products in place of 144. The rows of the picture are worked on a few at a
time, so that what comes between the transforms stays in the cache, and what comes before the convolution (norm,
activation, enlargement, border) is done on those rows only, by a function that the caller gives.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

TILE = 4  # results of a tile, in each direction
TAPS = TILE + 2  # what they depend on
TILES = 256  # worked on together; from 128 to 512 it makes little difference
SMALLEST_SIDE = 64  # below it a plain convolution is as fast, and its weights take a quarter of the memory

Fill = Callable[[torch.Tensor, int], None]
"""Writes rows (R, W + 2, C) of the bordered picture; the first one is the given row of the picture, -1 for the border.
Rows beyond the picture count as its border."""

Finish = Callable[[torch.Tensor, int], None]
"""Changes finished rows (R, W, K) in place; the first one is the given row of the picture."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """A transformed kernel: ``points`` (36, C, K) and its bias (K,)."""

    points: torch.Tensor
    bias: torch.Tensor


def kernel_of(weight: torch.Tensor, bias: torch.Tensor | None) -> Kernel:
    """Transform ``weight`` (K, C, 3, 3), in float64, to float32 points: four times the memory of the weight."""
    rows = torch.tensor([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]], dtype=torch.float64)
    rows /= 24
    full = torch.einsum("ai,bj,kcij->abck", rows, rows, weight.detach().double())
    none = torch.zeros(len(weight)) if bias is None else bias.detach().float()
    return Kernel(full.reshape(TAPS**2, weight.shape[1], -1).float(), none)


def fits(height: int, width: int) -> bool:
    """Whether a picture of this size can be convolved here, and should."""
    return min(height, width) >= SMALLEST_SIDE and height % TILE == 0 and width % TILE == 0


def convolve(kernel: Kernel, height: int, width: int, fill: Fill, finish: Finish | None = None) -> torch.Tensor:
    """The convolution (H, W, K) of the picture (H, W, C) that ``fill`` gives with its border, row by row."""
    channels, out = kernel.points.shape[1:]
    across = width // TILE
    down = max(1, min(height // TILE, TILES // across))
    result = torch.empty(height, width, out)
    bordered = torch.empty(TILE * down + 2, width + 2, channels)
    tiles = torch.empty(TAPS, TAPS, down, across, channels)
    products = torch.empty(TAPS, TAPS, down, across, out)
    for first in range(0, height, TILE * down):
        rows = min(down, (height - first) // TILE)
        part = bordered[: TILE * rows + 2]
        fill(part, first - 1)
        _take_apart(part, tiles[:, :, :rows])
        _multiply(tiles, products, kernel, rows)
        done = result[first : first + TILE * rows]
        _put_together(products[:, :, :rows], done)
        if finish is not None:
            finish(done, first)
    return result


def _take_apart(rows: torch.Tensor, tiles: torch.Tensor) -> None:
    """Bordered ``rows`` (4 * R + 2, W + 2, C) to transformed ``tiles`` (6, 6, R, W / 4, C)."""
    down, across = tiles.shape[2:4]
    vertical = torch.empty(TAPS, down, *rows.shape[1:])
    _analyse([rows[tap : tap + TILE * down : TILE] for tap in range(TAPS)], vertical.unbind(0))
    _analyse([vertical[:, :, tap : tap + TILE * across : TILE] for tap in range(TAPS)], tiles.unbind(1))


def _multiply(tiles: torch.Tensor, products: torch.Tensor, kernel: Kernel, rows: int) -> None:
    """Mix the channels of each of the 36 points. The bias goes to the point (1, 1), which every result takes once."""
    for tall in range(TAPS):
        of_row = kernel.points[tall * TAPS : (tall + 1) * TAPS]
        torch.bmm(tiles[tall, :, :rows].flatten(1, 2), of_row, out=products[tall, :, :rows].flatten(1, 2))
    products[1, 1, :rows] += kernel.bias


def _put_together(products: torch.Tensor, result: torch.Tensor) -> None:
    """``products`` (6, 6, R, W / 4, K) to rows (4 * R, W, K) of the result."""
    _, _, down, across, channels = products.shape
    vertical = torch.empty(TILE, TAPS, down, across, channels)
    _synthesise(products.unbind(0), vertical.unbind(0))
    squares = result.view(down, TILE, across, TILE, channels).permute(1, 3, 0, 2, 4)
    _synthesise(vertical.unbind(1), squares.unbind(1))


def _analyse(taps: Sequence[torch.Tensor], out: Sequence[torch.Tensor]) -> None:
    """The transform of the input in one direction: six taps of a tile to its six points."""
    even = torch.add(taps[4], taps[2], alpha=-4)
    odd = torch.add(taps[3], taps[1], alpha=-4)
    torch.add(even, odd, out=out[1])
    torch.sub(even, odd, out=out[2])
    torch.sub(taps[4], taps[2], out=even)
    torch.sub(taps[3], taps[1], out=odd)
    torch.add(even, odd, alpha=2, out=out[3])
    torch.add(even, odd, alpha=-2, out=out[4])
    torch.sub(taps[2], taps[0], out=out[0])
    torch.add(even, out[0], alpha=-4, out=out[0])
    torch.sub(taps[5], taps[3], out=out[5])
    torch.add(out[5], odd, alpha=-4, out=out[5])


def _synthesise(points: Sequence[torch.Tensor], out: Sequence[torch.Tensor]) -> None:
    """The transform of the output in one direction: six points to four results."""
    even, odd = points[1] + points[2], points[1] - points[2]
    wide_even, wide_odd = points[3] + points[4], points[3] - points[4]
    torch.add(points[0], even, out=out[0])
    out[0].add_(wide_even)
    torch.add(odd, wide_odd, alpha=2, out=out[1])
    torch.add(even, wide_even, alpha=4, out=out[2])
    torch.add(odd, wide_odd, alpha=8, out=out[3])
    out[3].add_(points[5])
