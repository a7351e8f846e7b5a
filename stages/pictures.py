"""Stored images as a sequence of pixels to train on: read when they are asked for, split by the hash of their names."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Self, overload

from infra.storage import Storage
from stages.photo import Pixels

HELD_OUT = 0.1  # the last of the images by the hash of their names are never trained on
CACHE_BYTES = 2**31


@dataclass(slots=True)
class Pictures(Sequence[Pixels], ABC):
    """The images ``names`` below ``source``, each (H, W, 3) uint8 RGB; ``side`` pixels are their side, or the most that
    it may be. Up to ``CACHE_BYTES`` of them are kept.
    """

    storage: Storage
    source: str
    names: tuple[str, ...]
    side: int
    _kept: dict[str, Pixels] = field(default_factory=dict[str, Pixels], init=False)
    _room: int = field(default=CACHE_BYTES, init=False)

    @abstractmethod
    def picture(self, name: str) -> Pixels:
        """Read one image. Raises ``StorageFault``."""

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, index: int) -> Pixels: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> Pixels | Self:
        """Image number ``index``, or a part of the sequence. Raises as ``picture``."""
        if isinstance(index, slice):
            return self._of(self.names[index])
        name = self.names[index]
        if (kept := self._kept.get(name)) is not None:
            return kept
        pixels = self.picture(name)
        if pixels.nbytes <= self._room:
            self._kept[name] = pixels
            self._room -= pixels.nbytes
        return pixels

    def split(self) -> tuple[Self, Self]:
        """Those to train on, and those that are held out: the last tenth by the SHA-256 of their names."""
        order = sorted(self.names, key=lambda name: hashlib.sha256(name.encode()).digest())
        last = len(order) - round(HELD_OUT * len(order))
        return self._of(sorted(order[:last])), self._of(sorted(order[last:]))

    def _of(self, names: Sequence[str]) -> Self:
        return replace(self, names=tuple(names))
