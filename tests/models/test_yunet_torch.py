"""YuNet in torch: the published file as a network, and the same faces as OpenCV's."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper
from skimage import data

from models.checkpoint_file import CheckpointUnreadable
from models.detector import Detection, DetectorSettings, all_detectors
from models.detectors.yunet import WEIGHTS
from models.load import CheckpointMismatch
from models.nets.yunet import YuNet
from models.pyramid import Pyramid
from models.torch_scale import batch_pixels
from models.yunet_detector import TorchScale, load_yunet, onnx_tensors, rows_of

Pixels = NDArray[np.uint8]
Found = list[list[Detection]]
PYRAMID = (1280, 640, 320, 160)
PARAMETERS = {"n": 73840, "s": 53104}


def weights_of(weights_folder: Path, variant: str) -> Path:
    path = weights_folder / f"yunet_{variant}_640_640.onnx"
    if not path.exists():
        # The weights are not in the repository: an outsider's clone has none, and no network to fetch them.
        pytest.skip(f"no weights: {path.name} is not in DAGUERRE_WEIGHTS nor in shared/weights")
    return path


@pytest.fixture(scope="module")
def network(weights_folder: Path) -> YuNet:
    return load_yunet(weights_of(weights_folder, "n"))


def faces(width: int, height: int) -> Pixels:
    """Four faces side by side, two of them small and soft."""
    large = cv2.resize(data.astronaut(), (width // 2, height), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(cv2.resize(large, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), (0, 0), 1.5)
    half = np.vstack([np.hstack([small, small[:, ::-1]]), np.zeros_like(large[: height - small.shape[0]])])
    return np.hstack([large, cv2.resize(half, (width - width // 2, height))]).astype(np.uint8)


def numbers(found: Found) -> list[list[list[float]]]:
    """Box, landmarks and score of each face of each photo."""
    every = [[(face, face.landmarks) for face in faces] for faces in found]
    return [
        [[*face.box, *points.ravel(), face.score] for face, points in photo if points is not None] for photo in every
    ]


def assert_same(found: Found, expected: Found) -> None:
    """The same faces of the same photos, to 0.01 px."""
    assert [len(photo) for photo in found] == [len(photo) for photo in expected]
    for these, those in zip(numbers(found), numbers(expected), strict=True):
        np.testing.assert_allclose(these, those, rtol=0, atol=0.01)


@pytest.mark.parametrize("variant", ["n", "s"])
def test_the_file_holds_the_tensors_under_our_names(weights_folder: Path, variant: str) -> None:
    path = weights_of(weights_folder, variant)
    tensors = onnx_tensors(path)
    assert sum(tensor.numel() for tensor in tensors.values()) == PARAMETERS[variant]
    arrays = path.with_name(f"yunet_{variant}.npz")
    if arrays.exists():
        with np.load(arrays) as expected:
            assert tensors.keys() == set(expected.files)
            for name in expected.files:
                np.testing.assert_array_equal(tensors[name], expected[name], err_msg=name)


def test_both_engines_find_the_same_faces(weights_folder: Path) -> None:
    weights = {WEIGHTS.name: weights_of(weights_folder, "n")}
    settings = DetectorSettings(score=0.6, pyramid=PYRAMID)
    photos = [faces(1500, 700), faces(500, 333), faces(500, 340), np.zeros((90, 70, 3), np.uint8)]
    opencv, ours = (all_detectors()[name].build(weights, settings).detect(photos) for name in ("yunet", "yunet-torch"))
    assert len(ours[0]) >= 3
    assert_same(ours, opencv)


def test_on_the_cpu_a_photo_has_the_same_faces_to_the_bit_whatever_it_comes_with(network: YuNet) -> None:
    detector = Pyramid(TorchScale(network, 0.6), PYRAMID, batch_pixels("cpu"))
    photos = [faces(500, 333), faces(500, 340), faces(640, 400), faces(500, 333)[::-1], faces(500, 333)]
    together = detector.detect(photos)
    alone = [detector.detect([photo])[0] for photo in photos]
    assert numbers(together) == numbers(alone)


def test_a_batch_finds_what_one_photo_after_the_other_finds(network: YuNet) -> None:
    """As a GPU does it: photos of one padded size go through the network together."""
    photos = [faces(500, 333), faces(500, 340), faces(640, 400), faces(500, 333)[:, ::-1]]
    together = Pyramid(TorchScale(network, 0.6), PYRAMID, batch_pixels("cuda")).detect(photos)
    alone = Pyramid(TorchScale(network, 0.6), PYRAMID, batch_pixels("cpu")).detect(photos)
    assert_same(together, alone)


def test_boxes_are_compared_as_whole_pixels_and_the_better_one_stays() -> None:
    cells, values = {8: 16, 16: 4, 32: 1}, {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}
    outputs = {f"{kind}_{s}": torch.zeros(1, cells[s], values[kind]) for kind in values for s in cells}
    outputs["obj_8"] += 1
    outputs["cls_8"][0, :2, 0] = torch.tensor([0.9, 0.8])
    outputs["bbox_8"][0, :2] = torch.tensor([[2.0, 2, 1, 1], [1.02, 2, 1, 1]])  # the same centre but for 0.16 px
    outputs["cls_8"][0, 6] = 0.7  # column 2, row 1
    outputs["kps_8"][0, 6] = torch.arange(10)
    [rows] = rows_of(outputs, 32, 0.5)
    np.testing.assert_allclose(rows[:, 14], np.sqrt([0.9, 0.7]))
    side = np.e * 8
    np.testing.assert_allclose(rows[0, :4], [16 - side / 2, 16 - side / 2, side, side], rtol=1e-6)
    np.testing.assert_allclose(rows[1, 4:8], [16, 16, 32, 32])


def test_a_file_that_is_no_onnx_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"no graph")
    with pytest.raises(CheckpointUnreadable, match=r"broken\.onnx"):
        load_yunet(path)


def test_another_network_is_refused(tmp_path: Path) -> None:
    weight = helper.make_tensor("other.conv1.weight", TensorProto.FLOAT, [2, 3, 1, 1], [0.0] * 6)
    bias = helper.make_tensor("other.conv1.bias", TensorProto.FLOAT, [2], [0.0] * 2)
    node = helper.make_node("Conv", ["input", weight.name, bias.name], ["output"])
    graph = helper.make_graph([node], "other", [], [], [weight, bias])
    onnx.save(helper.make_model(graph), tmp_path / "other.onnx")
    with pytest.raises(CheckpointMismatch, match=r"missing: .*extra: other\.point\.bias"):
        load_yunet(tmp_path / "other.onnx")


def test_a_registry_without_torch_detectors_in_use_imports_no_torch() -> None:
    code = "import sys; from models.detector import all_detectors; all_detectors(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


# the other half of the comparison runs on a GPU, which neither CI nor most developers have
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_finds_the_same_faces(weights_folder: Path) -> None:
    path, photos = weights_of(weights_folder, "n"), [faces(500, 333), faces(500, 340)]
    on_cpu, on_gpu = (
        Pyramid(TorchScale(load_yunet(path), 0.6, device), PYRAMID, batch_pixels(device)).detect(photos)
        for device in ("cpu", "cuda")
    )
    assert_same(on_gpu, on_cpu)
