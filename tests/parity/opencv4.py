"""The bicubic warp of OpenCV 4, to the level: coordinates in 1/32 px, weights in 1/32768. Version 5 has another one."""

from functools import cache

import numpy as np
from kit import Array

SHARPNESS = -0.75
FINE, STEPS, ONE = 1024, 32, 32768
MOST = 4  # px that are looked at in each direction


def warped(image: Array, matrix: Array, width: int, height: int, mirrored: bool = False) -> tuple[Array, Array]:
    """``image`` (H, W, 3) uint8 where ``matrix`` (2, 3) takes each pixel of the result, (height, width, 3) uint8.

    Outside lies black, or the mirror image. The second result says which pixels have their place, rounded down, within
    ``image``.
    """
    x, y = (places(row, width, height) for row in matrix)
    columns, rows, weights = x >> 5, y >> 5, table()[y & 31, x & 31]
    margin = MOST + 1
    bordered = np.pad(
        image.astype(np.int64), ((margin, margin), (margin, margin), (0, 0)), "reflect" if mirrored else "constant"
    )
    total = np.zeros((height, width, 3), np.int64)
    for down in range(4):
        for across in range(4):
            row = (rows + down - 1 + margin).clip(0, len(bordered) - 1)
            column = (columns + across - 1 + margin).clip(0, bordered.shape[1] - 1)
            total += weights[:, :, down, across, None] * bordered[row, column]
    inside = (rows >= 0) & (rows < image.shape[0]) & (columns >= 0) & (columns < image.shape[1])
    return ((total + ONE // 2) >> 15).clip(0, 255).astype(np.uint8), inside


def places(row: Array, width: int, height: int) -> Array:
    """One coordinate of every pixel's place, in 1/32 px."""
    across = np.rint(row[0] * np.arange(width) * FINE)
    down = np.rint((row[1] * np.arange(height) + row[2]) * FINE)
    return (across[None] + down[:, None] + FINE // STEPS // 2).astype(np.int64) >> 5


@cache
def table() -> Array:
    """The weights (32, 32, 4, 4) of the neighbours, by the parts of a pixel down and across; each sum is 32768."""
    offset = np.arange(STEPS, dtype=np.float32) / np.float32(STEPS)
    far = [
        (((SHARPNESS * (x + 1) - 5 * SHARPNESS) * (x + 1) + 8 * SHARPNESS) * (x + 1) - 4 * SHARPNESS) for x in [offset]
    ]
    near = [((SHARPNESS + 2) * x - (SHARPNESS + 3)) * x * x + 1 for x in (offset, 1 - offset)]
    line = np.stack([far[0], near[0], near[1], 1 - far[0] - near[0] - near[1]], 1)
    found = np.rint(line[:, None, :, None] * line[None, :, None, :] * ONE).astype(np.int64)
    for weights in found.reshape(-1, 4, 4):
        balance(weights)
    return found


def balance(weights: Array) -> None:
    """What rounding took from the sum goes to the largest of the last four weights, what it gave is off the least."""
    missing = ONE - int(weights.sum())
    last = weights[2:, 2:]
    chosen = np.unravel_index(last.argmax() if missing > 0 else last.argmin(), (2, 2))
    last[chosen] += missing
