"""YuNet through OpenCV and through torch, where its weights are at hand."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import data

from models.detector import Detector, DetectorSettings, all_detectors
from models.detectors.yunet import WEIGHTS

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


def build(name: str, weights: Path, score: float = 0.8) -> Detector:
    return all_detectors()[name].build({WEIGHTS.name: weights}, DetectorSettings(score=score, pyramid=PYRAMID))


@pytest.fixture(scope="module", params=["yunet", "yunet-torch"])
def detector(weights: Path, request: pytest.FixtureRequest) -> Detector:
    return build(str(request.param), weights)


def astronaut(width: int, height: int) -> Pixels:
    return cv2.resize(data.astronaut(), (width, height), interpolation=cv2.INTER_AREA).astype(np.uint8)


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


@pytest.mark.parametrize("name", ["yunet", "yunet-torch"])
def test_the_lowest_score_is_respected(weights: Path, name: str) -> None:
    assert build(name, weights, score=0.99).detect([astronaut(512, 512)]) == [[]]
