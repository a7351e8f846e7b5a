"""RetinaFace: the network on recorded outputs, decoding on made ones, and checkpoints of every published container."""

import hashlib
from dataclasses import replace
from functools import cache
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
import torch

from models.checkpoint import Checkpoint
from models.checkpoint_file import CheckpointUnreadable, recognise, tensor_shapes
from models.detector import DetectorSettings, all_detectors
from models.detectors import retinaface, retinaface_facexlib, retinaface_mobile
from models.load import CheckpointMismatch, load
from models.nets.retinaface import BodyName, RetinaFace
from models.pyramid import Pixels
from models.retinaface_boxes import faces_of, priors
from models.retinaface_detector import BGR_MEAN, RGB_IMAGENET, TorchScale, build, facexlib_size, ternaus_view
from tests.golden.make_retinaface import FILE, outputs, weights

SETTINGS = DetectorSettings(score=0.5, pyramid=(160, 96))
drawn = cache(weights)
PARAMETERS = {"resnet50": 27_293_600, "mobile0.25": 426_608}
TENSORS = {"resnet50": 456, "mobile0.25": 300}
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def mobile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A flat file, as facexlib publishes it."""
    path = tmp_path_factory.mktemp("weights") / retinaface_mobile.WEIGHTS.name
    torch.save(drawn("mobile0.25"), path)
    return path


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A flat file with the prefix of torch's DataParallel."""
    path = tmp_path_factory.mktemp("weights") / retinaface_facexlib.WEIGHTS.name
    torch.save({f"module.{name}": tensor for name, tensor in drawn("resnet50").items()}, path)
    return path


@pytest.fixture(scope="module")
def zipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plain zip with one .pth, as retinaface-pytorch publishes it."""
    folder = tmp_path_factory.mktemp("weights")
    torch.save(drawn("resnet50"), folder / "inner.pth")
    with ZipFile(folder / retinaface.WEIGHTS.name, "w") as archive:
        archive.write(folder / "inner.pth", "retinaface_resnet50_2020-07-20.pth")
    return folder / retinaface.WEIGHTS.name


def as_published(checkpoint: Checkpoint, path: Path) -> Checkpoint:
    """The checkpoint as if the stand-in file at ``path`` were the one that was published."""
    return replace(checkpoint, name=f"stand-in-{hashlib.sha256(path.read_bytes()).hexdigest()}.zip")


def noise(height: int, width: int, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("body", ["resnet50", "mobile0.25"])
def test_the_network_computes_the_recorded_outputs(body: BodyName) -> None:
    network = RetinaFace(body).eval()
    network.load_state_dict(drawn(body))
    with np.load(FILE) as golden:
        for name, found in outputs(network).items():
            expected = golden[f"{body}/{name}"]
            assert np.linalg.norm(found - expected) / np.linalg.norm(expected) < 1e-5, name


@pytest.mark.parametrize("body", ["resnet50", "mobile0.25"])
def test_the_network_has_the_published_number_of_tensors_and_parameters(body: BodyName) -> None:
    network = RetinaFace(body)
    assert len(network.state_dict()) == TENSORS[body]
    assert sum(parameter.numel() for parameter in network.parameters()) == PARAMETERS[body]


@pytest.mark.parametrize(("height", "width"), [(64, 64), (203, 277), (1, 1), (33, 8)])
def test_there_is_a_prior_for_every_output_at_any_size(height: int, width: int) -> None:
    with torch.inference_mode():
        boxes, _, _ = RetinaFace("mobile0.25").eval()(torch.zeros(1, 3, height, width))
    assert priors(height, width, CPU).shape == boxes.shape[1:]


def test_priors_go_by_level_row_column_and_side() -> None:
    pixels = priors(20, 40, CPU) * torch.tensor([40, 20, 40, 20])
    np.testing.assert_allclose(pixels[:3], [[4, 4, 16, 16], [4, 4, 32, 32], [12, 4, 16, 16]], rtol=1e-6)
    np.testing.assert_allclose(pixels[10], [4, 12, 16, 16], rtol=1e-6)
    np.testing.assert_allclose(pixels[30], [8, 8, 64, 64], rtol=1e-6)
    np.testing.assert_allclose(pixels[-1], [48, 16, 512, 512], rtol=1e-6)
    assert priors(20, 40, CPU) is priors(20, 40, CPU)


def test_decoding_moves_and_scales_the_priors_and_keeps_photos_apart() -> None:
    count = len(priors(32, 32, CPU))
    boxes, landmarks, classes = torch.zeros(2, count, 4), torch.zeros(2, count, 10), torch.zeros(2, count, 2)
    classes[..., 0] = 9
    classes[1, 2, 1] = 12
    boxes[1, 2] = torch.tensor([5.0, -2.5, np.log(2) / 0.2, 0])
    landmarks[1, 2] = torch.arange(10)
    classes[1, 30, 1] = 10
    classes[1, 3, 1] = 9
    nothing, rows = faces_of(boxes, classes, landmarks, (32, 32), 0.6)
    assert nothing.shape == (0, 15)
    assert len(rows) == 2
    centre_x, centre_y = 12 + 0.5 * 16, 4 - 0.25 * 16
    np.testing.assert_allclose(rows[0, :4], [centre_x - 16, centre_y - 8, 32, 16], atol=1e-4)
    points = [value for index in range(5) for value in (12 + 1.6 * 2 * index, 4 + 1.6 * (2 * index + 1))]
    np.testing.assert_allclose(rows[0, 4:14], points, atol=1e-4)
    np.testing.assert_allclose(rows[:, 14], [1 / (1 + np.exp(-3)), 1 / (1 + np.exp(-1))], rtol=1e-6)


def test_the_lower_of_two_boxes_on_one_face_goes() -> None:
    count = len(priors(32, 32, CPU))
    classes = torch.zeros(1, count, 2)
    classes[0, :, 0] = 9
    classes[0, [0, 2, 12], 1] = torch.tensor([15.0, 14, 13])  # squares of 16 px at x = 4, 12 and, 8 px lower, 20
    boxes = torch.zeros(1, count, 4)
    boxes[0, 2, 0] = -2.5  # 4 px to the left: 12 of 20 px are shared, 0.6 of the union
    [rows] = faces_of(boxes, classes, torch.zeros(1, count, 10), (32, 32), 0.9)
    np.testing.assert_allclose(rows[:, 0] + 8, [4, 20], atol=1e-4)


def test_each_line_of_weights_gets_its_own_input() -> None:
    photo = torch.tensor([[[[255, 0, 10]]]], dtype=torch.uint8)
    imagenet = [(1 - 0.485) / 0.229, -0.456 / 0.224, (10 / 255 - 0.406) / 0.225]
    np.testing.assert_allclose(RGB_IMAGENET(photo).flatten(), imagenet, rtol=1e-5)
    assert BGR_MEAN(photo).flatten().tolist() == [10 - 104, -117, 255 - 123]


def test_a_flat_file_loads(mobile: Path) -> None:
    assert load(RetinaFace("mobile0.25"), mobile).state_dict().keys() == drawn("mobile0.25").keys()


def test_every_container_gives_the_same_network(zipped: Path, resnet: Path) -> None:
    photo = noise(80, 96)
    flat = build(retinaface_facexlib.WEIGHTS, resnet, "resnet50", RGB_IMAGENET, SETTINGS)
    packed = build(as_published(retinaface.WEIGHTS, zipped), zipped, "resnet50", RGB_IMAGENET, SETTINGS)
    found, expected = flat.detect([photo])[0], packed.detect([photo])[0]
    assert found
    assert [face.box for face in found] == [face.box for face in expected]


def test_the_zip_must_begin_its_hash_as_its_name_says(zipped: Path) -> None:
    with pytest.raises(CheckpointUnreadable, match=r"begins with .* says f168fae3c"):
        all_detectors()["retinaface"].build({zipped.name: zipped}, SETTINGS)


def test_another_body_is_refused(mobile: Path) -> None:
    with pytest.raises(CheckpointMismatch, match=r"does not fit RetinaFace; missing: body\.bn1.*of another shape: "):
        all_detectors()["retinaface-facexlib"].build({retinaface_facexlib.WEIGHTS.name: mobile}, SETTINGS)


def test_only_the_zip_is_known_by_its_tensors(zipped: Path, resnet: Path, mobile: Path) -> None:
    """Both files with ResNet-50 have the same tensors; facexlib's is known by its hash alone."""
    files = {spec.WEIGHTS.name: spec.WEIGHTS for spec in (retinaface, retinaface_facexlib, retinaface_mobile)}
    published = as_published(retinaface.WEIGHTS, zipped)
    assert published.tensors.items() <= tensor_shapes(zipped).items()
    assert recognise(zipped, [*files.values(), published]) is published
    for path in (zipped, resnet, mobile):
        assert recognise(path, files.values()) is None
    assert {name for name, file in files.items() if file.sha256 is None} == {retinaface.WEIGHTS.name}


def test_on_the_cpu_a_photo_has_the_same_faces_to_the_bit_whatever_it_comes_with(mobile: Path) -> None:
    detector = all_detectors()["retinaface-mobile"].build({mobile.name: mobile}, SETTINGS)
    photos = [noise(90, 120, seed) for seed in range(3)] + [noise(200, 170)]
    together = detector.detect(photos)
    assert all(together)
    for photo, faces in zip(photos, together, strict=True):
        alone = detector.detect([photo])[0]
        assert [(face.box, face.score) for face in faces] == [(face.box, face.score) for face in alone]


def test_a_batch_finds_what_one_photo_after_the_other_finds(mobile: Path) -> None:
    scale = TorchScale(load(RetinaFace("mobile0.25"), mobile), BGR_MEAN, 0.55)
    photos = [noise(90, 121, seed) for seed in range(4)]
    for photo, rows in zip(photos, scale.search(photos), strict=True):
        [alone] = scale.search([photo])
        np.testing.assert_allclose(rows, alone, rtol=0, atol=0.01)


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 3)])
def test_photos_of_any_size_go_through(mobile: Path, size: tuple[int, int]) -> None:
    photo = noise(*size)
    photo.setflags(write=False)
    settings = replace(SETTINGS, score=1.0)
    detector = all_detectors()["retinaface-mobile"].build({mobile.name: mobile}, settings)
    assert detector.detect([photo, photo[:, ::-1]]) == [[], []]


def test_the_published_ways_of_resizing() -> None:
    assert ternaus_view(noise(120, 161), 96).shape == (72, 96, 3)
    assert facexlib_size(120, 160) == (1600, 2133, pytest.approx(1600 / 120))
    assert facexlib_size(100, 400) == (538, 2150, 5.375)
