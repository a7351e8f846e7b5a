"""A second look at each face that a network found, at the sizes at which it places landmarks best.

A pyramid shows a network each face at sizes that the photo's own size decides, and the best score is not that of the
best landmarks. Here each face is cut out and brought to a few sizes, as it is and mirrored. The landmarks are averaged:
what errs to one side in one view errs to another in the next. So are the scores: an ear or a hand is taken for a face
at one size, seldom at all.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter

import cv2
import numpy as np
from numpy.typing import NDArray

from models.detector import Detection, Detector
from models.pyramid import ACROSS, DOWN, SCORE, OneScale, Pixels, Rows

LOWEST = 0.05  # score that counts in a view
GOOD = 0.3  # score of a view whose landmarks count
MARGIN = 1.1  # sides of the face, from its centre in each direction
SAME = 0.4  # intersection over union with the face that was found
COLUMNS_MIRRORED = [0, 1, 2, 3, 6, 7, 4, 5, 8, 9, 12, 13, 10, 11, 14]  # of a row: left and right change places


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a photo at another size. ``corner`` is its first pixel, ``scale`` its pixels a pixel of the photo, both
    across and down.
    """

    pixels: Pixels
    corner: NDArray[np.float64]
    scale: NDArray[np.float64]


def first_score(score: float) -> float:
    """The lowest score at the first look with which a face can have ``score`` after the second."""
    return max(LOWEST, 2 * score - 1)


class SecondLook:
    """``detector``, whose faces ``scale`` looks at again at ``sizes`` (sides in pixels of a square as large as a face's
    box). A face's score is the mean of the detector's and the views'; those of less than ``score`` are left out. Its
    landmarks are the mean of the views'; where no view has any, they stay as they were. Boxes always do, and so does a
    face of less than a pixel.

    ``detector`` is to find whatever scores ``first_score(score)``, ``scale`` what scores ``LOWEST``.
    """

    def __init__(self, detector: Detector, scale: OneScale, sizes: Sequence[int], score: float) -> None:
        self._detector = detector
        self._scale = scale
        self._sizes = sizes
        self._score = score

    def detect(self, photos: Sequence[Pixels]) -> list[list[Detection]]:
        """See ``models.detector.Detector``."""
        found = self._detector.detect(photos)
        return [self.seen_again(photo, faces) for photo, faces in zip(photos, found, strict=True)]

    def seen_again(self, photo: Pixels, faces: Sequence[Detection]) -> list[Detection]:
        """Those of ``faces`` that stay, best score first."""
        again = [self.again(photo, face) for face in faces]
        staying = [face for face in again if face.score >= self._score]
        return sorted(staying, key=attrgetter("score"), reverse=True)

    def again(self, photo: Pixels, face: Detection) -> Detection:
        if not (np.isfinite(face.box).all() and min(face.box[2:]) >= 1):
            return face
        views = list(self.views(photo, face))
        scores = [row[SCORE] for row in views]
        points = [row[4:SCORE].reshape(5, 2) for row in views if row[SCORE] >= GOOD]
        score = (face.score + sum(scores) / (2 * len(self._sizes))) / 2
        return replace(face, score=float(score), landmarks=np.mean(points, axis=0) if points else face.landmarks)

    def views(self, photo: Pixels, face: Detection) -> Iterator[NDArray[np.float64]]:
        """The face's row (15,) in each view that has it."""
        for size in self._sizes:
            part = cut(photo, face.box, size)
            straight, flipped = self._scale.search([part.pixels, flip(part.pixels)])
            for rows in (straight, mirrored(flipped, part.pixels.shape[1])):
                whole = to_photo(rows, part)
                same = whole[shared(face.box, whole) >= SAME]
                if len(same):
                    yield same[same[:, SCORE].argmax()]


def cut(photo: Pixels, box: Sequence[float], size: float) -> Part:
    """What surrounds ``box`` (x, y, width, height), brought to the size at which a face is ``size`` pixels."""
    start, sides = np.array(box[:2]), np.array(box[2:])
    face = float(np.sqrt(sides.prod()))
    centre, limit = start + sides / 2, np.array([photo.shape[1], photo.shape[0]])
    low = np.clip(np.floor(centre - MARGIN * face), 0, limit - 1).astype(int)
    high = np.clip(np.ceil(centre + MARGIN * face), low + 1, limit).astype(int)
    part = photo[low[1] : high[1], low[0] : high[0]]
    width, height = (max(1, round(side * size / face)) for side in (high - low).tolist())
    kind = cv2.INTER_AREA if size < face else cv2.INTER_LINEAR
    pixels = cv2.resize(part, (width, height), interpolation=kind).astype(np.uint8, copy=False)
    return Part(pixels, low.astype(np.float64), np.array([width, height]) / (high - low))


def flip(pixels: Pixels) -> Pixels:
    return np.ascontiguousarray(pixels[:, ::-1])


def shared(box: Sequence[float], rows: Rows) -> NDArray[np.float64]:
    """Intersection over union (n,) of a box (4,) with those of rows (n, 15)."""
    start, sides = np.array(box[:2]), np.array(box[2:])
    low, high = np.maximum(start, rows[:, :2]), np.minimum(start + sides, rows[:, :2] + rows[:, 2:4])
    both = np.clip(high - low, 0, None).prod(axis=1)
    return both / (sides.prod() + rows[:, 2:4].prod(axis=1) - both)


def mirrored(rows: Rows, width: int) -> Rows:
    """Rows (n, 15) of the mirror image of a picture of ``width`` pixels as rows of the picture."""
    back = rows[:, COLUMNS_MIRRORED]
    back[:, ACROSS] = width - 1 - back[:, ACROSS]
    back[:, 0] -= back[:, 2]
    return back


def to_photo(rows: Rows, part: Part) -> Rows:
    """Rows (n, 15) in pixels of ``part`` as rows in pixels of its photo. Outer edges coincide."""
    moved = rows.copy()
    for columns, axis in ((ACROSS, 0), (DOWN, 1)):
        moved[:, columns] = (rows[:, columns] + 0.5) / part.scale[axis] - 0.5 + part.corner[axis]
    moved[:, [2, 3]] = rows[:, [2, 3]] / part.scale
    return moved
