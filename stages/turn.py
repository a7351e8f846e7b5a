"""Orientation: stored samples to upright ones and back, and windows likewise (EXIF orientation 1 to 8)."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from stages.picture import Window

Scalar = TypeVar("Scalar", bound=np.generic)

TRANSPOSED = frozenset({5, 6, 7, 8})
LEFT_RIGHT = frozenset({2, 3, 6, 7})
UP_DOWN = frozenset({3, 4, 7, 8})


def upright(stored: NDArray[Scalar], orientation: int) -> NDArray[Scalar]:
    """Stored samples (H, W) or (H, W, C) turned as ``orientation`` asks for viewing; a view where it can be one."""
    if orientation in TRANSPOSED:
        stored = stored.swapaxes(0, 1)
    if orientation in LEFT_RIGHT:
        stored = stored[:, ::-1]
    if orientation in UP_DOWN:
        stored = stored[::-1]
    return stored


def stored(upright_: NDArray[Scalar], orientation: int) -> NDArray[Scalar]:
    """The inverse of ``upright``: 6 and 8 undo each other, all others themselves. Contiguous."""
    return np.ascontiguousarray(upright(upright_, {6: 8, 8: 6}.get(orientation, orientation)))


def stored_size(width: int, height: int, orientation: int) -> tuple[int, int]:
    """Width and height of the stored raster of an upright picture, and the other way round."""
    return (height, width) if orientation in TRANSPOSED else (width, height)


def stored_window(window: Window, width: int, height: int, orientation: int) -> Window:
    """Where an upright window of a picture of upright ``width`` x ``height`` lies in the stored raster."""
    x0, y0, x1, y1 = window
    if orientation in UP_DOWN:
        y0, y1 = height - y1, height - y0
    if orientation in LEFT_RIGHT:
        x0, x1 = width - x1, width - x0
    return (y0, x0, y1, x1) if orientation in TRANSPOSED else (x0, y0, x1, y1)
