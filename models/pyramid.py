"""A search over a pyramid of scales, around any network that finds faces at one scale.

A *row* is one face, (15,) float64: x, y, width, height, five landmarks (x, y) in the order of ``models.detector``, and
the score. Coordinates are those of pixel centres: 0 is the centre of the first pixel.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from models.detector import Detection

Pixels = NDArray[np.uint8]
Rows = NDArray[np.float64]

COLUMNS = 15
ACROSS = [0, 4, 6, 8, 10, 12]  # columns that are x coordinates; column 2 is the width
DOWN = [1, 5, 7, 9, 11, 13]  # columns that are y coordinates; column 3 is the height
SCORE = 14
OVERLAP_ACROSS_SCALES = 0.45  # intersection over the smaller box
ONE_BY_ONE = 1  # as ``batch_pixels``


class OneScale(Protocol):
    """A network at one scale."""

    @property
    def multiple(self) -> int:
        """Photos are padded at the bottom and on the right to sides that are multiples of this."""
        ...

    def search(self, photos: Sequence[Pixels]) -> list[Rows]:
        """Rows (n, 15) of each photo, (H, W, 3) uint8 RGB. All photos have the same size once they are padded."""
        ...


@dataclass(frozen=True, slots=True)
class View:
    """One photo at one size, in pixels."""

    photo: int
    width: int
    height: int

    def padded(self, multiple: int) -> tuple[int, int]:
        """Width and height in whole multiples."""
        return -(-self.width // multiple) * multiple, -(-self.height // multiple) * multiple


class Pyramid:
    """Every photo at every level of the pyramid. Box and landmarks of a face come from the level with its best score.

    A network is trained for faces of some sizes: a larger face scores low, and a badly degraded one is only seen when
    the photo is shrunk. A box below the lowest score could only suppress boxes that are lower still, so that score
    already applies at each scale.

    Views of one padded size go through the network together, at most ``batch_pixels`` at a time, one view at least.
    """

    def __init__(self, scale: OneScale, levels: Sequence[int], batch_pixels: int = ONE_BY_ONE) -> None:
        self._scale = scale
        self._levels = levels
        self._batch_pixels = batch_pixels

    def detect(self, photos: Sequence[Pixels]) -> list[list[Detection]]:
        """See ``models.detector.Detector``."""
        views = [view for index, photo in enumerate(photos) for view in views_of(index, photo, self._levels)]
        rows: dict[View, Rows] = {}
        for batch in batches(views, self._scale.multiple, self._batch_pixels):
            rows |= zip(batch, self._search(photos, batch), strict=True)
        merged = [merge(stacked([rows[view] for view in views if view.photo == index])) for index in range(len(photos))]
        return [[_detection(row) for row in faces] for faces in merged]

    def _search(self, photos: Sequence[Pixels], views: Sequence[View]) -> list[Rows]:
        """Rows (n, 15) of each view, in the coordinates of its photo."""
        found = self._scale.search([shrunk(photos[view.photo], view) for view in views])
        return [to_photo(rows, view, photos[view.photo]) for rows, view in zip(found, views, strict=True)]


def sides_to_search(longer: int, levels: Sequence[int]) -> list[int]:
    """The longer sides to search a photo at, largest first: every level, but none above the photo's own side."""
    return sorted({min(level, longer) for level in levels} or {longer}, reverse=True)


def views_of(index: int, photo: Pixels, levels: Sequence[int]) -> list[View]:
    """The sizes at which photo number ``index`` is searched, largest first."""
    height, width = photo.shape[:2]
    factors = [side / max(height, width) for side in sides_to_search(max(height, width), levels)]
    return [View(index, max(1, round(width * factor)), max(1, round(height * factor))) for factor in factors]


def batches(views: Sequence[View], multiple: int, batch_pixels: int) -> Iterator[list[View]]:
    """The views in groups of one padded size, each of at most ``batch_pixels`` pixels or one view."""
    groups: dict[tuple[int, int], list[View]] = {}
    for view in views:
        groups.setdefault(view.padded(multiple), []).append(view)
    for (width, height), group in groups.items():
        most = max(1, batch_pixels // (width * height))
        yield from (group[start : start + most] for start in range(0, len(group), most))


def shrunk(photo: Pixels, view: View) -> Pixels:
    """``photo`` at the size of ``view``, every pixel the mean of the area that it covers."""
    if photo.shape[:2] == (view.height, view.width):
        return photo
    return cv2.resize(photo, (view.width, view.height), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def to_photo(rows: Rows, view: View, photo: Pixels) -> Rows:
    """Rows (n, 15) in pixels of ``view`` as rows in pixels of its photo.

    The outer edges of the two coincide, not the centres of their first pixels: x becomes (x + 0.5) * scale - 0.5.
    """
    height, width = photo.shape[:2]
    if (height, width) == (view.height, view.width):
        return rows
    across, down = width / view.width, height / view.height
    moved = rows.copy()
    moved[:, ACROSS] = (rows[:, ACROSS] + 0.5) * across - 0.5
    moved[:, DOWN] = (rows[:, DOWN] + 0.5) * down - 0.5
    moved[:, [2, 3]] = rows[:, [2, 3]] * (across, down)
    return moved


def merge(rows: Rows) -> Rows:
    """Greedy non-maximum suppression over the rows (n, 15) of all scales, best score first.

    Boxes are compared by intersection over the smaller box, because scales disagree more about a face's extent than
    about its place.
    """
    left = rows[np.argsort(-rows[:, SCORE], kind="stable")]
    kept: list[NDArray[np.float64]] = []
    while len(left):
        best, left = left[0], left[1:]
        kept.append(best)
        left = left[_overlaps(best, left) <= OVERLAP_ACROSS_SCALES]
    return stacked([row[None] for row in kept])


def stacked(rows: Sequence[Rows]) -> Rows:
    """Any number of (n, 15), none included, as one."""
    return np.vstack([np.zeros((0, COLUMNS)), *rows])


def _overlaps(row: NDArray[np.float64], others: Rows) -> NDArray[np.float64]:
    """Intersection over the smaller box of one row (15,) with others (n, 15)."""
    start = np.maximum(row[:2], others[:, :2])
    end = np.minimum(row[:2] + row[2:4], others[:, :2] + others[:, 2:4])
    shared = np.clip(end - start, 0, None).prod(axis=1)
    smaller = np.minimum(row[2:4].prod(), others[:, 2:4].prod(axis=1))
    return shared / np.maximum(smaller, 1e-9)


def _detection(row: NDArray[np.float64]) -> Detection:
    x, y, width, height = (float(value) for value in row[:4])
    return Detection((x, y, width, height), row[4:SCORE].reshape(5, 2).copy(), float(row[SCORE]))
