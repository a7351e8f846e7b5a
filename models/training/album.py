"""What a detector is trained on: portraits with their faces marked, and pictures without any face."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Places = NDArray[np.float64]
MIRRORED = [1, 0, 2, 4, 3]  # which landmark is which in the mirror image


@dataclass(frozen=True, slots=True)
class Portrait:
    """A photo (H, W, 3) uint8 RGB of one person.

    ``box`` is the face's (x, y, width, height), ``points`` its landmarks (5, 2) in the order of ``models.detector``.
    Both are in pixels of the photo; 0 is the centre of the first pixel.
    """

    pixels: Pixels
    box: Places
    points: Places

    @property
    def side(self) -> float:
        """The face's size: of a square as large as its box."""
        return float(np.sqrt(self.box[2] * self.box[3]))

    def mirrored(self) -> "Portrait":
        last = self.pixels.shape[1] - 1
        x, y, width, height = self.box
        points = self.points[MIRRORED] * (-1, 1) + (last, 0)
        return Portrait(self.pixels[:, ::-1], np.array([last - x - width, y, width, height]), points)


@dataclass(frozen=True, slots=True)
class Album:
    """All portraits, opened at number ``first``, and by kind the pictures without faces, (H, W, 3) uint8 RGB."""

    portraits: Sequence[Portrait]
    first: int
    faceless: Sequence[Sequence[Pixels]]

    def portrait(self, rng: np.random.Generator) -> Portrait:
        """Any of the portraits."""
        return self.portraits[int(rng.integers(len(self.portraits)))]

    def background(self, rng: np.random.Generator) -> Pixels:
        """A picture without a face. Every kind comes equally often."""
        kind = self.faceless[int(rng.integers(len(self.faceless)))]
        return kind[int(rng.integers(len(kind)))]


@dataclass(frozen=True, slots=True)
class Albums(Sequence[Album]):
    """The album opened at each of its portraits."""

    portraits: Sequence[Portrait]
    faceless: Sequence[Sequence[Pixels]]

    def __len__(self) -> int:
        return len(self.portraits)

    @overload
    def __getitem__(self, index: int) -> Album: ...
    @overload
    def __getitem__(self, index: slice) -> "Albums": ...
    def __getitem__(self, index: int | slice) -> "Album | Albums":
        if isinstance(index, slice):
            return Albums(self.portraits[index], self.faceless)
        return Album(self.portraits, index, self.faceless)
