"""The stand-in detector on the astronaut, whose face is about (172, 68) to (274, 170) in the 512 px picture."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import data

from models.detector import Detector, DetectorSettings, all_detectors
from models.detectors.cascade import agreed, similar_in_size

Pixels = NDArray[np.uint8]
CENTRE = (223 / 512, 119 / 512)
FACE = 102 / 512
SETTINGS = DetectorSettings(score=0.8, pyramid=(1280, 640, 320, 160))


@pytest.fixture(scope="module")
def detector() -> Detector:
    return all_detectors()["cascade"].build({}, SETTINGS)


def astronaut(side: int) -> Pixels:
    return cv2.resize(data.astronaut(), (side, side), interpolation=cv2.INTER_AREA).astype(np.uint8)


def centres(detector: Detector, photo: Pixels) -> list[tuple[float, float]]:
    boxes = [face.box for face in detector.detect([photo])[0]]
    return sorted((x + width / 2, y + height / 2) for x, y, width, height in boxes)


@pytest.mark.parametrize("side", [160, 384, 900])
def test_the_face_is_found_at_many_sizes(detector: Detector, side: int) -> None:
    [(x, y)] = centres(detector, astronaut(side))
    assert abs(x - CENTRE[0] * side) < FACE * side / 4
    assert abs(y - CENTRE[1] * side) < FACE * side / 4


@pytest.mark.parametrize("copies", [2, 4])
def test_every_copy_on_one_canvas_is_found(detector: Detector, copies: int) -> None:
    canvas = np.concatenate([astronaut(256)] * copies, axis=1)
    found = centres(detector, canvas)
    expected = [(256 * (index + CENTRE[0]), 256 * CENTRE[1]) for index in range(copies)]
    np.testing.assert_allclose(found, expected, atol=256 * FACE / 4)


def test_a_detection_has_no_landmarks_and_passes_the_default_score(detector: Detector) -> None:
    [face] = detector.detect([astronaut(256)])[0]
    assert face.landmarks is None
    assert face.score == 1.0


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (1, 2000), (2000, 3), (24, 24)])
def test_odd_photos_hold_no_face(detector: Detector, size: tuple[int, int]) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    photo.setflags(write=False)
    assert detector.detect([photo, photo]) == [[], []]


def test_boxes_that_most_searches_agree_on_are_averaged() -> None:
    votes = np.array([[10, 10, 40, 40], [12, 10, 40, 40], [14, 10, 40, 40], [200, 10, 40, 40]], dtype=np.float64)
    np.testing.assert_allclose(agreed(votes), [[12, 10, 40, 40]])


def test_boxes_much_narrower_than_the_widest_are_dropped() -> None:
    boxes = np.array([[0, 0, 50, 50], [100, 0, 100, 100], [300, 0, 70, 70]], dtype=np.float64)
    assert similar_in_size(boxes)[:, 2].tolist() == [100, 70]
