"""From heat maps to landmarks: the highest pixel, moved a quarter of a pixel towards its higher neighbour.

Facts from ``ohayonguy/PMRF:evaluation/calculate_landmark_distance.py``, which VQFR's evaluation comes from.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Numbers = NDArray[np.int64]

SHIFT, CENTRE = 0.25, 0.5  # pixels of a map


def points(maps: Floats, *, as_published: bool = False) -> NDArray[np.float64]:
    """The points (B, N, 2), x and y in pixels of the maps (B, N, H, W), a pixel's centre at 0.5.

    A neighbour that would lie outside does not count. ``as_published`` reads there what the original reads: the next
    pixel in memory along x; along y, as soon as one maximum of the whole batch lies in the last row, the map's last
    pixel for all of them, and one in the first row (or first of the second) makes it the map's first pixel for all.
    """
    batch, count, height, width = maps.shape
    lines = maps.reshape(batch * count, height * width)
    best = lines.argmax(1).astype(np.int64)
    found = np.stack([best % width, best // width], 1).astype(np.float64)
    slopes = _published_slopes(lines, best, width) if as_published else _slopes(lines, best, width)
    return (found + SHIFT * np.sign(slopes) + CENTRE).reshape(batch, count, 2)


def _slopes(lines: Floats, best: Numbers, width: int) -> Floats:
    """How much higher the next neighbour is than the one before, along x and y (N, 2); 0 at a border."""
    height = lines.shape[1] // width
    x, y = best % width, best // width
    across = np.where((x == 0) | (x == width - 1), 0.0, _at(lines, best + 1) - _at(lines, best - 1))
    down = np.where((y == 0) | (y == height - 1), 0.0, _at(lines, best + width) - _at(lines, best - width))
    return np.stack([across, down], 1)


def _published_slopes(lines: Floats, best: Numbers, width: int) -> Floats:
    """The same with the original's neighbours. It stops with an error at a map's last pixel; here that is its own."""
    last = lines.shape[1] - 1
    below = np.full_like(best, last) if (best + width > last).any() else best + width
    above = np.zeros_like(best) if (best - width <= 0).any() else best - width
    across = _at(lines, best + 1) - lines[np.arange(len(best)), best - 1]
    return np.stack([across, _at(lines, below) - _at(lines, above)], 1)


def _at(lines: Floats, places: Numbers) -> Floats:
    return lines[np.arange(len(places)), places.clip(0, lines.shape[1] - 1)]
