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
from models.detector import DetectorSettings, DetectorSpec
from models.pyramid import COLUMNS, Pixels, Pyramid, Rows

WEIGHTS = Checkpoint(
    name="yunet_n_640_640.onnx",
    url="https://github.com/ShiqiYu/libfacedetection.train/raw/master/onnx/yunet_n_640_640.onnx",
    licence="Apache-2.0",
    commercial=True,
    size=317466,
    sha256="25a606a145a5b6d7271ae138fbd00eba91dad8b83222ae3f2c7ecd0f4a7b0e31",
)

OVERLAP = 0.3  # intersection over union, the published setting
MOST_BOXES = 5000


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
    """The network at one scale, one photo after the other: OpenCV's detector knows no batches.

    OpenCV pads each photo with black at the bottom and on the right to multiples of 32 pixels by itself.
    """

    multiple = 32

    def __init__(self, path: Path, score: float) -> None:
        with _quiet_opencv():
            self._network = cv2.FaceDetectorYN.create(str(path), "", (320, 320), score, OVERLAP, MOST_BOXES)

    def search(self, photos: Sequence[Pixels]) -> list[Rows]:
        """See ``models.pyramid.OneScale``."""
        return [self._search(photo) for photo in photos]

    def _search(self, photo: Pixels) -> Rows:
        height, width = photo.shape[:2]
        self._network.setInputSize((width, height))
        _, found = self._network.detect(cv2.cvtColor(photo, cv2.COLOR_RGB2BGR))
        rows = cast("NDArray[np.float32] | None", found)
        return np.zeros((0, COLUMNS)) if rows is None else rows.astype(np.float64)


def _build(weights: Mapping[str, Path], settings: DetectorSettings) -> Pyramid:
    return Pyramid(OneScale(weights[WEIGHTS.name], settings.score), settings.pyramid)


DETECTOR = DetectorSpec(
    name="yunet",
    summary="YuNet (n) over a pyramid of scales: boxes and five landmarks",
    code="https://github.com/ShiqiYu/libfacedetection.train",
    licence="Apache-2.0",
    commercial=True,
    checkpoints=(WEIGHTS,),
    build=_build,
    version=2,
)
