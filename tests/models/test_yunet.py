"""YuNet: the pyramid and the merge by themselves, the detector where its weights are at hand."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import data

from models.detector import Detector, DetectorSettings, all_detectors
from models.detectors.yunet import WEIGHTS, merge, sides_to_search

Pixels = NDArray[np.uint8]
PYRAMID = (1280, 640, 320, 160)
LANDMARKS = np.array([[204, 104], [247, 105], [223, 128], [204, 144], [242, 145]], dtype=np.float64)  # at 512 px


@pytest.fixture(scope="session")
def weights(weights_folder: Path) -> Path:
    path = weights_folder / WEIGHTS.name
    if not path.exists():
        # The weights are not in the repository: an outsider's clone has none, and no network to fetch them.
        pytest.skip(f"no weights: {WEIGHTS.name} is not in DAGUERRE_WEIGHTS nor in shared/weights")
    return path


def build(weights: Path, score: float = 0.8, smallest: float = 16) -> Detector:
    settings = DetectorSettings(score=score, smallest=smallest, pyramid=PYRAMID)
    return all_detectors()["yunet"].build({WEIGHTS.name: weights}, settings)


@pytest.fixture(scope="module")
def detector(weights: Path) -> Detector:
    return build(weights)


def astronaut(width: int, height: int) -> Pixels:
    return cv2.resize(data.astronaut(), (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8)


def row(x: float, side: float, score: float) -> list[float]:
    return [x, 0, side, side, *[x] * 10, score]


@pytest.mark.parametrize(
    ("longer", "sides"),
    [
        (4000, [1280, 640, 320, 160]),
        (1280, [1280, 640, 320, 160]),
        (900, [900, 640, 320, 160]),
        (160, [160]),
        (8, [8]),
    ],
)
def test_a_photo_is_searched_at_every_level_but_never_enlarged(longer: int, sides: list[int]) -> None:
    assert sides_to_search(longer, PYRAMID) == sides


def test_an_empty_pyramid_searches_the_photo_as_it_is() -> None:
    assert sides_to_search(700, ()) == [700]


def test_merging_keeps_the_best_score_of_boxes_that_overlap() -> None:
    rows = np.array([row(0, 100, 0.8), row(10, 40, 0.9), row(300, 50, 0.85)])
    assert merge(rows)[:, 14].tolist() == [0.9, 0.85]


def test_merging_keeps_faces_that_only_touch() -> None:
    assert len(merge(np.array([row(0, 100, 0.9), row(60, 100, 0.8)]))) == 2


def test_merging_nothing_gives_nothing() -> None:
    assert merge(np.zeros((0, 15))).shape == (0, 15)


@pytest.mark.parametrize(("width", "height"), [(160, 160), (512, 512), (1024, 900), (2000, 2200)])
def test_the_face_is_found_in_photo_coordinates(detector: Detector, width: int, height: int) -> None:
    [face] = detector.detect([astronaut(width, height)])[0]
    assert face.landmarks is not None
    expected = LANDMARKS * [width / 512, height / 512]
    np.testing.assert_allclose(face.landmarks, expected, atol=7 * max(width, height) / 512)


def test_photos_of_other_sizes_do_not_disturb_each_other(detector: Detector) -> None:
    photos = [astronaut(300, 300), astronaut(700, 640), astronaut(300, 300)]
    first, _, last = detector.detect(photos)
    assert first[0].box == last[0].box
    assert first[0].box == detector.detect(photos[:1])[0][0].box


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (1, 2000), (2000, 3), (33, 1281)])
def test_odd_photos_hold_no_face(detector: Detector, size: tuple[int, int]) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    photo.setflags(write=False)
    assert detector.detect([photo, photo[:, ::-1]]) == [[], []]


def test_score_and_smallest_side_are_respected(weights: Path) -> None:
    photo = astronaut(512, 512)
    assert build(weights, score=0.99).detect([photo]) == [[]]
    assert build(weights, smallest=300).detect([photo]) == [[]]
