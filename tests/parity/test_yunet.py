"""YuNet through this project's code against what OpenCV and the network gave for the same photos."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from kit import Case

from models.detectors.yunet import OneScale
from models.pyramid import OneScale as Scale
from models.pyramid import Pixels
from models.torch_scale import as_batch
from models.yunet_detector import TorchScale, load_yunet, network_input

KNOWN = ("yunet_n_*", "yunet_s_*")
STRIDE = 32
PIXELS = 0.01
RAW = 1e-4
LOWEST = 0.6


@pytest.fixture
def network(case: Case, weights_folder: Path) -> Path:
    path = weights_folder / f"{case.part}_640_640.onnx"
    if not path.exists():
        # The weights are not in the repository: an outsider's clone has none, and no network to fetch them.
        pytest.skip(f"no weights: {path.name} is not in DAGUERRE_WEIGHTS nor in shared/weights")
    return path


@pytest.fixture
def photo(case: Case) -> Pixels:
    return np.ascontiguousarray(case.inputs["photo"].transpose(1, 2, 0))


@pytest.mark.parametrize("engine", ["opencv", "torch"])
def test_one_scale_finds_the_faces_that_opencv_finds(case: Case, network: Path, photo: Pixels, engine: str) -> None:
    scale: Scale = OneScale(network, LOWEST) if engine == "opencv" else TorchScale(load_yunet(network), LOWEST)
    np.testing.assert_allclose(scale.search([photo])[0], case.outputs["faces"], rtol=0, atol=PIXELS)


def test_a_batch_finds_the_same_in_each_photo(case: Case, network: Path, photo: Pixels) -> None:
    found = TorchScale(load_yunet(network), LOWEST).search([photo[:, ::-1], photo, photo])
    for rows in found[1:]:
        np.testing.assert_allclose(rows, case.outputs["faces"], rtol=0, atol=PIXELS)


def test_raw_outputs_are_those_of_the_network(case: Case, network: Path, photo: Pixels) -> None:
    height, width = photo.shape[:2]
    padded = np.pad(photo, ((0, -height % STRIDE), (0, -width % STRIDE), (0, 0)))
    net = cv2.dnn.readNetFromONNX(str(network))
    net.setInput(cv2.dnn.blobFromImage(padded, swapRB=True))
    names = net.getUnconnectedOutLayersNames()
    actual = dict(zip(names, net.forward(names), strict=True))
    for name in case.outputs.keys() - {"faces"}:
        np.testing.assert_allclose(actual[name], case.outputs[name], rtol=0, atol=RAW, err_msg=name)


def test_raw_outputs_in_torch_are_those_of_the_network(case: Case, network: Path, photo: Pixels) -> None:
    with torch.inference_mode():
        actual = load_yunet(network)(network_input(as_batch([photo], STRIDE, torch.device("cpu"))))
    for name in case.outputs.keys() - {"faces"}:
        np.testing.assert_allclose(actual[name].numpy(), case.outputs[name], rtol=0, atol=RAW, err_msg=name)
