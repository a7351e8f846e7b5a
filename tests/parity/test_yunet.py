"""YuNet through this project's code against what OpenCV and the network gave for the same photos."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from kit import Case
from numpy.typing import NDArray

from models.detectors.yunet import OneScale

KNOWN = ("yunet_n_*", "yunet_s_*")
STRIDE = 32
PIXELS = 0.01
RAW = 1e-4


@pytest.fixture
def network(case: Case, weights_folder: Path) -> Path:
    path = weights_folder / f"{case.name.rpartition('_')[0]}_640_640.onnx"
    if not path.exists():
        # The weights are not in the repository: an outsider's clone has none, and no network to fetch them.
        pytest.skip(f"no weights: {path.name} is not in DAGUERRE_WEIGHTS nor in shared/weights")
    return path


@pytest.fixture
def photo(case: Case) -> NDArray[np.uint8]:
    return np.ascontiguousarray(case.inputs["photo"].transpose(1, 2, 0))


def test_one_scale_finds_the_faces_that_opencv_finds(case: Case, network: Path, photo: NDArray[np.uint8]) -> None:
    np.testing.assert_allclose(OneScale(network, 0.6).search(photo), case.outputs["faces"], rtol=0, atol=PIXELS)


def test_raw_outputs_are_those_of_the_network(case: Case, network: Path, photo: NDArray[np.uint8]) -> None:
    height, width = photo.shape[:2]
    padded = np.pad(photo, ((0, -height % STRIDE), (0, -width % STRIDE), (0, 0)))
    net = cv2.dnn.readNetFromONNX(str(network))
    net.setInput(cv2.dnn.blobFromImage(padded, swapRB=True))
    names = net.getUnconnectedOutLayersNames()
    actual = dict(zip(names, net.forward(names), strict=True))
    for name in case.outputs.keys() - {"faces"}:
        np.testing.assert_allclose(actual[name], case.outputs[name], rtol=0, atol=RAW, err_msg=name)
