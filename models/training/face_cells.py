"""Which cells of YuNet's three levels are to find which face: an assignment of our own, fixed before the network sees
the scene.

YuNet and YOLOX choose the cells that the network already likes best (SimOTA). Here a face's size chooses one or two
levels, and the cells next to its centre are to find it; those around them are neither right nor wrong.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.nets.yunet import STRIDES
from models.training.album import Places

SIZES = {8: (0.0, 36.0), 16: (26.0, 104.0), 32: (72.0, np.inf)}  # of the faces of each stride, in pixels
NEAR = 1.0  # strides from the centre in each direction: four cells
AROUND = 2.0  # strides; and at a level of another size this far, where the size is off by less than SLACK
SLACK = 1.6
POSITIVE, BACKGROUND, IGNORED = 1, 0, -1


@dataclass(frozen=True, slots=True)
class Cells:
    """Of every cell of a square scene, level by level and row by row: what it is to say.

    ``kinds`` (n,): ``POSITIVE``, ``BACKGROUND`` or ``IGNORED``. ``faces`` (n,): the face's number where positive, else
    0.
    """

    kinds: NDArray[np.int64]
    faces: NDArray[np.int64]


def grid(side: int) -> NDArray[np.float32]:
    """x, y and stride (n, 3) of every cell of a square scene."""
    levels = [
        np.stack([*np.meshgrid(ticks, ticks), np.full((len(ticks),) * 2, stride)], axis=-1).reshape(-1, 3)
        for stride in STRIDES
        for ticks in [np.arange(0, side, stride)]
    ]
    return np.concatenate(levels).astype(np.float32)


def assigned(boxes: Places, side: int) -> Cells:
    """Cells for the faces ``boxes`` (n, 4). Where two faces want one cell, the smaller gets it."""
    cells = grid(side).astype(np.float64)
    kinds, faces = np.full(len(cells), BACKGROUND), np.zeros(len(cells), np.int64)
    for number in np.argsort(-boxes[:, 2] * boxes[:, 3], kind="stable"):
        for_it, maybe = wanted(boxes[number], cells)
        kinds[maybe & (kinds == BACKGROUND)] = IGNORED
        kinds[for_it], faces[for_it] = POSITIVE, number
    return Cells(kinds, faces)


def wanted(box: Places, cells: Places) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """The cells (n,) that are to find one face, and those that may."""
    size, centre = np.sqrt(box[2] * box[3]), box[:2] + box[2:] / 2
    away = np.abs(cells[:, :2] - centre) / cells[:, 2:]
    low, high = np.array([SIZES[int(stride)] for stride in cells[:, 2]]).T
    inside = (np.abs(cells[:, :2] - centre) < 0.5 * box[2:]).all(axis=1)
    nearest = (away <= 0.5).all(axis=1)
    fits = (low <= size) & (size < high)
    for_it = fits & (away < NEAR).all(axis=1) & (inside | nearest)
    maybe = (low / SLACK <= size) & (size < high * SLACK) & (away < AROUND).all(axis=1) & inside
    return for_it, maybe
