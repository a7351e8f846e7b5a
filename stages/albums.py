"""Photos to train a detector on: portraits with marked faces, and pictures without any."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import cv2
import numpy as np
from PIL import Image

from infra.errors import ConfigError
from infra.listing import is_image
from infra.patterns import matches
from infra.storage import Storage, join
from models.training.album import Portrait
from stages.photo import Matrix, Pixels
from stages.pictures import Pictures
from stages.portraits import COLUMNS, read_marks

BOX = ("x", "y", "w", "h")
FACELESS_SIDE = 640  # pixels: larger pictures without faces are reduced to it


class Photos(Pictures):
    """Whole images, the longer side at most ``side``."""

    __slots__ = ()

    def picture(self, name: str) -> Pixels:
        """See ``Pictures.picture``."""
        with Image.open(io.BytesIO(self.storage.read(join(self.source, name)))) as picture:
            factor = min(1.0, self.side / max(picture.size))
            picture.draft("RGB", (int(picture.width * factor), int(picture.height * factor)))  # JPEG: 1/2, 1/4, 1/8
            return reduced(np.asarray(picture.convert("RGB")), self.side)


@dataclass(frozen=True, slots=True)
class Marked(Sequence[Portrait]):
    """Portraits with their faces marked, in pixels of the reduced ``pictures``. ``marks`` (16,) are those of the whole
    photos, whose width and height come last.
    """

    pictures: Photos
    marks: dict[str, Matrix]

    def __len__(self) -> int:
        return len(self.pictures)

    @overload
    def __getitem__(self, index: int) -> Portrait: ...
    @overload
    def __getitem__(self, index: slice) -> "Marked": ...
    def __getitem__(self, index: int | slice) -> "Portrait | Marked":
        if isinstance(index, slice):
            return Marked(self.pictures[index], self.marks)
        pixels, marks = self.pictures[index], self.marks[self.pictures.names[index]]
        width, height = marks[-2:]
        across, down = pixels.shape[1] / width, pixels.shape[0] / height
        x, y, w, h = marks[:4]
        box = np.array([(x + 0.5) * across - 0.5, (y + 0.5) * down - 0.5, w * across, h * down])
        return Portrait(pixels, box, (marks[4:14].reshape(5, 2) + 0.5) * (across, down) - 0.5)

    def split(self) -> "tuple[Marked, Marked]":
        """As ``Pictures.split``."""
        train, held_out = self.pictures.split()
        return Marked(train, self.marks), Marked(held_out, self.marks)


def marked(storage: Storage, source: str, marks: str, side: int, include: Sequence[str] = ()) -> Marked:
    """The portraits below ``source`` that the CSV ``marks`` names, their longer sides reduced to ``side``.

    Its columns are ``file``, ``width`` and ``height`` of the photo, ``x``, ``y``, ``w``, ``h`` of the face's box and
    ``eye_r_x`` to ``mouth_l_y``.
    """
    rows = read_marks(storage, marks, (*BOX, *COLUMNS, "width", "height"))
    names = [name for name in image_names(storage, source) if name in rows]
    names = [name for name in names if not include or matches(name, include)]
    if not names:
        raise ConfigError(f"there are no faces in {source} that {marks} names", "its column file holds their paths")
    return Marked(Photos(storage, source, tuple(names), side), rows)


def backgrounds(storage: Storage, source: str) -> list[Photos]:
    """The pictures without faces below ``source``, one kind for each of its folders."""
    kinds: dict[str, list[str]] = {}
    for name in image_names(storage, source):
        kinds.setdefault(name.rpartition("/")[0], []).append(name)
    if not kinds:
        raise ConfigError(f"there are no pictures in {source}", "give a folder of pictures without faces")
    return [Photos(storage, source, tuple(names), FACELESS_SIDE) for _, names in sorted(kinds.items())]


def image_names(storage: Storage, source: str) -> list[str]:
    return sorted(entry.path for entry in storage.list(source) if is_image(entry.path))


def reduced(pixels: Pixels, side: int) -> Pixels:
    """``pixels`` with a longer side of at most ``side``, every pixel the mean of its area."""
    factor = side / max(pixels.shape[:2])
    if factor >= 1:
        return pixels
    size = (max(1, round(pixels.shape[1] * factor)), max(1, round(pixels.shape[0] * factor)))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
