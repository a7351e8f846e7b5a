"""A stand-in detector that needs no weights: the cascade of local binary patterns that comes with scikit-image.

Liao et al., "Learning Multi-scale Block Local Binary Patterns for Face Recognition", ICB 2007; the trained cascade is
OpenCV's, redistributed by scikit-image. It is for the demo and for machines without any weights: upright frontal faces
only, a box without landmarks, and many misses and false faces on real photos. Everywhere else use ``yunet``.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.detector import Detection, DetectorSettings, DetectorSpec

Pixels = NDArray[np.uint8]
Boxes = NDArray[np.float64]

AREA = 320 * 320  # pixels; larger photos are shrunk to this before the search
WINDOW = 24  # side of the smallest face, in pixels of the shrunk photo
SCALE_FACTORS = (1.1, 1.2)
NEIGHBOURS = 3  # raw hits that make one box
VOTES = 3  # of four searches: each scale factor, on the photo and on its mirror image
SAME_FACE = 0.4  # intersection over union
SMALLEST_SHARE = 0.6  # of the widest face in the photo
SCORE = 1.0


class Cascade:
    """Frontal faces, each found by most of four searches; the score is always 1.0, since a cascade only says yes or no.

    The cascade likes to see small faces in cloth and badges. Therefore a box narrower than 0.6 of the widest one is
    dropped: the faces of one photo are taken to be of similar size. The pyramid of the settings is not used.
    """

    def __init__(self, settings: DetectorSettings) -> None:
        from skimage.data import lbp_frontal_face_cascade_filename
        from skimage.feature import Cascade as LocalBinaryCascade

        self._cascade = LocalBinaryCascade(lbp_frontal_face_cascade_filename())
        self._settings = settings

    def detect(self, photos: Sequence[Pixels]) -> list[list[Detection]]:
        """See ``models.detector.Detector``. Widest face first, as all scores are equal."""
        return [self._detect(photo) for photo in photos]

    def _detect(self, photo: Pixels) -> list[Detection]:
        if self._settings.score > SCORE:
            return []
        return [_detection(box) for box in similar_in_size(agreed(self._votes(photo)))]

    def _votes(self, photo: Pixels) -> Boxes:
        """Boxes (n, 4) in photo coordinates from all four searches, one after the other."""
        height, width = photo.shape[:2]
        factor = min(1.0, (AREA / (height * width)) ** 0.5)
        size = (max(1, round(width * factor)), max(1, round(height * factor)))
        shrunk = cv2.resize(photo, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
        boxes = np.vstack([self._search(shrunk, scale_factor) for scale_factor in SCALE_FACTORS])
        return boxes * np.array([width / size[0], height / size[1]] * 2)

    def _search(self, photo: Pixels, scale_factor: float) -> Boxes:
        """Boxes (n, 4) in ``photo`` and in its mirror image, all in the coordinates of ``photo``."""
        straight = self._run(photo, scale_factor)
        mirrored = self._run(np.ascontiguousarray(photo[:, ::-1]), scale_factor)
        mirrored[:, 0] = photo.shape[1] - mirrored[:, 0] - mirrored[:, 2]
        return np.vstack([straight, mirrored])

    def _run(self, photo: Pixels, scale_factor: float) -> Boxes:
        """Boxes (n, 4) of one search: x, y, width, height."""
        found = self._cascade.detect_multi_scale(
            photo,
            scale_factor=scale_factor,
            step_ratio=1,
            min_size=(WINDOW, WINDOW),
            max_size=photo.shape[:2],
            min_neighbor_number=NEIGHBOURS,
        )
        boxes = [(hit["c"], hit["r"], hit["width"], hit["height"]) for hit in found]
        return np.array(boxes, dtype=np.float64).reshape(-1, 4)


def agreed(votes: Boxes) -> Boxes:
    """Group the boxes (n, 4) that show the same face and average each group of at least ``VOTES`` boxes."""
    groups: list[list[NDArray[np.float64]]] = []
    for box in votes:
        same = [group for group in groups if _intersection_over_union(np.mean(group, axis=0), box) > SAME_FACE]
        if same:
            same[0].append(box)
        else:
            groups.append([box])
    return np.array([np.mean(group, axis=0) for group in groups if len(group) >= VOTES]).reshape(-1, 4)


def similar_in_size(boxes: Boxes) -> Boxes:
    """The boxes (n, 4) that are not much narrower than the widest, widest first."""
    order = boxes[np.argsort(-boxes[:, 2], kind="stable")]
    return order[order[:, 2] >= SMALLEST_SHARE * order[:1, 2]] if len(order) else order


def _intersection_over_union(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    start = np.maximum(one[:2], other[:2])
    end = np.minimum(one[:2] + one[2:], other[:2] + other[2:])
    shared = float(np.clip(end - start, 0, None).prod())
    return shared / (float(one[2:].prod() + other[2:].prod()) - shared)


def _detection(box: NDArray[np.float64]) -> Detection:
    x, y, width, height = (float(value) for value in box)
    return Detection((x, y, width, height), None, SCORE)


def _build(weights: Mapping[str, Path], settings: DetectorSettings) -> Cascade:
    return Cascade(settings)


DETECTOR = DetectorSpec(
    name="cascade",
    summary="scikit-image's bundled LBP cascade, frontal faces only, boxes without landmarks: a stand-in for the demo",
    code="https://github.com/scikit-image/scikit-image",
    licence="BSD-3-Clause (the cascade file that scikit-image ships)",
    commercial=True,
    checkpoints=(),
    build=_build,
)
