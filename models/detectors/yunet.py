"""YuNet: a small convolutional face detector with five landmarks, through OpenCV on the CPU.

Wu, Peng, Yu, "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence Research 2023.
"""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from models.checkpoint import Checkpoint
from models.detector import Detection, DetectorSettings, DetectorSpec

Pixels = NDArray[np.uint8]
Rows = NDArray[np.float64]

WEIGHTS = Checkpoint(
    name="yunet_n_640_640.onnx",
    url="https://github.com/ShiqiYu/libfacedetection.train/raw/master/onnx/yunet_n_640_640.onnx",
    licence="Apache-2.0",
    commercial=True,
    size=317466,
    sha256="25a606a145a5b6d7271ae138fbd00eba91dad8b83222ae3f2c7ecd0f4a7b0e31",
)

OVERLAP_WITHIN_SCALE = 0.3  # intersection over union, the published setting
OVERLAP_ACROSS_SCALES = 0.45  # intersection over the smaller box
MOST_BOXES = 5000
ACROSS = [0, 2, 4, 6, 8, 10, 12]  # columns of a row that are x coordinates or widths
DOWN = [1, 3, 5, 7, 9, 11, 13]  # columns that are y coordinates or heights
SCORE = 14


@contextmanager
def _quiet_opencv() -> Generator[None]:
    """Keep OpenCV's remark that its new engine ignores the target off stderr while a network is read."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)


class OneScale:
    """The network at one scale: the photo goes in at the size that it has."""

    def __init__(self, path: Path, score: float) -> None:
        with _quiet_opencv():
            self._network = cv2.FaceDetectorYN.create(
                str(path), "", (320, 320), score, OVERLAP_WITHIN_SCALE, MOST_BOXES
            )

    def search(self, photo: Pixels) -> Rows:
        """Faces of ``photo`` (H, W, 3) RGB as rows (n, 15): x, y, width, height, five landmarks (x, y), score.

        OpenCV pads the photo with black at the bottom and on the right to multiples of 32 pixels.
        """
        height, width = photo.shape[:2]
        self._network.setInputSize((width, height))
        _, found = self._network.detect(cv2.cvtColor(photo, cv2.COLOR_RGB2BGR))
        rows = cast("NDArray[np.float32] | None", found)
        return np.zeros((0, 15)) if rows is None else rows.astype(np.float64)


def sides_to_search(longer: int, pyramid: Sequence[int]) -> list[int]:
    """The longer sides to search a photo at, largest first: every level, but none above the photo's own side."""
    return sorted({min(level, longer) for level in pyramid} or {longer}, reverse=True)


def merge(rows: Rows) -> Rows:
    """Greedy non-maximum suppression over the rows (n, 15) of all scales, best score first.

    Boxes are compared by intersection over the smaller box, because scales disagree more about a face's extent than
    about its place.
    """
    kept = np.zeros((0, 15))
    for row in rows[np.argsort(-rows[:, SCORE], kind="stable")]:
        if not (_overlaps(row, kept) > OVERLAP_ACROSS_SCALES).any():
            kept = np.vstack([kept, row])
    return kept


def _overlaps(row: NDArray[np.float64], others: Rows) -> NDArray[np.float64]:
    """Intersection over the smaller box of one row (15,) with others (n, 15)."""
    start = np.maximum(row[:2], others[:, :2])
    end = np.minimum(row[:2] + row[2:4], others[:, :2] + others[:, 2:4])
    shared = np.clip(end - start, 0, None).prod(axis=1)
    smaller = np.minimum(row[2:4].prod(), others[:, 2:4].prod(axis=1))
    return shared / np.maximum(smaller, 1e-9)


class YuNet:
    """YuNet over a pyramid of scales. Box and landmarks of a face come from the scale with its best score.

    A face far larger than the 10 to 300 pixels that the network was trained for scores low, and a badly degraded one
    is only seen when the photo is shrunk. A box below the lowest score can only suppress boxes that are lower still,
    so that score already applies at each scale.
    """

    def __init__(self, path: Path, settings: DetectorSettings) -> None:
        self._scale = OneScale(path, settings.score)
        self._settings = settings

    def detect(self, photos: Sequence[Pixels]) -> list[list[Detection]]:
        """See ``models.detector.Detector``."""
        return [self._detect(photo) for photo in photos]

    def _detect(self, photo: Pixels) -> list[Detection]:
        sides = sides_to_search(max(photo.shape[:2]), self._settings.pyramid)
        rows = merge(np.vstack([self._search_at(photo, side) for side in sides]))
        return [_detection(row) for row in rows if min(row[2], row[3]) >= self._settings.smallest]

    def _search_at(self, photo: Pixels, side: int) -> Rows:
        """Rows (n, 15) in photo coordinates, found in the photo shrunk to the longer side ``side``."""
        height, width = photo.shape[:2]
        factor = side / max(height, width)
        if factor == 1:
            return self._scale.search(photo)
        size = (max(1, round(width * factor)), max(1, round(height * factor)))
        rows = self._scale.search(cv2.resize(photo, size, interpolation=cv2.INTER_AREA).astype(np.uint8))
        rows[:, ACROSS] *= width / size[0]
        rows[:, DOWN] *= height / size[1]
        return rows


def _detection(row: NDArray[np.float64]) -> Detection:
    x, y, width, height = (float(value) for value in row[:4])
    return Detection((x, y, width, height), row[4:SCORE].reshape(5, 2).copy(), float(row[SCORE]))


def _build(weights: Mapping[str, Path], settings: DetectorSettings) -> YuNet:
    return YuNet(weights[WEIGHTS.name], settings)


DETECTOR = DetectorSpec(
    name="yunet",
    summary="YuNet (n) over a pyramid of scales: boxes and five landmarks",
    code="https://github.com/ShiqiYu/libfacedetection.train",
    licence="Apache-2.0",
    commercial=True,
    checkpoints=(WEIGHTS,),
    build=_build,
)
