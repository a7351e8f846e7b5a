"""What ``daguerre-s`` is trained on: aligned faces, and squares of other things beside them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Square:
    """An aligned ``face`` (S, S, 3) uint8 RGB, and the ``others``, of the same shape, that may come in its place."""

    face: Pixels
    others: Sequence[Pixels] = ()

    def other(self, rng: np.random.Generator) -> Pixels:
        """Any of the others."""
        return self.others[int(rng.integers(len(self.others)))]


@dataclass(frozen=True, slots=True)
class Squares(Sequence[Square]):
    """Each of the faces with all of the others."""

    faces: Sequence[Pixels]
    others: Sequence[Pixels] = ()

    def __len__(self) -> int:
        return len(self.faces)

    @overload
    def __getitem__(self, index: int) -> Square: ...
    @overload
    def __getitem__(self, index: slice) -> "Squares": ...
    def __getitem__(self, index: int | slice) -> "Square | Squares":
        if isinstance(index, slice):
            return Squares(self.faces[index], self.others)
        return Square(self.faces[index], self.others)
