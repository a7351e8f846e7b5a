"""Daguerre's own detector: the network in the package, and what it is trained on."""

import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from skimage import data

from models.detector import Detector, DetectorSettings, all_detectors
from models.detectors.daguerre_d import WEIGHTS
from models.losses.detection import eiou, landmarks, overlap
from models.nets.yunet import YuNet
from models.training.album import Album, Portrait
from models.training.face_cells import BACKGROUND, IGNORED, POSITIVE, assigned, grid
from models.training.mosaic import Scene, scene
from models.training.norms import folded, with_norms
from models.training.task import all_trainings
from models.training.tasks.daguerre_d import (
    DaguerreDRecipe,
    DaguerreDTask,
    decoded,
    every_level,
    example_of,
    judged,
    search,
)
from models.yunet_detector import rows_of

SITTER = np.array([[204, 104], [247, 105], [223, 128], [204, 144], [242, 145]], dtype=np.float64)  # by eye
FACE = np.array([177, 68, 96, 122], dtype=np.float64)
RECIPE = DaguerreDRecipe(steps=30, batch=2, size=256, scene=96, warmup=2, learning_rate=4e-3)
SETTINGS = DetectorSettings(0.8, (1280, 640, 320, 160))


def portrait() -> Portrait:
    return Portrait(data.astronaut(), FACE, SITTER)


def album() -> Album:
    return Album([portrait()], 0, [[data.brick()[..., None].repeat(3, axis=2)], [data.coffee()]])


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def detector() -> Detector:
    path = WEIGHTS.place
    assert path is not None
    return all_detectors()["daguerre-d"].build({WEIGHTS.name: path}, SETTINGS)


def test_the_file_in_the_package_is_the_one_that_is_declared() -> None:
    path = WEIGHTS.place
    assert path is not None
    content = path.read_bytes()
    assert (len(content), hashlib.sha256(content).hexdigest()) == (WEIGHTS.size, WEIGHTS.sha256)


@pytest.mark.parametrize("side", [160, 400, 512])
def test_the_astronaut_is_found_with_her_landmarks(detector: Detector, side: int) -> None:
    photo = cv2.resize(data.astronaut(), (side, side), interpolation=cv2.INTER_AREA).astype(np.uint8)
    [face] = detector.detect([photo])[0]
    assert face.landmarks is not None
    scale = side / 512
    off = np.linalg.norm(face.landmarks - SITTER * scale, axis=1)
    assert off.mean() < 0.12 * float(np.sqrt(FACE[2] * FACE[3])) * scale


def test_pictures_without_a_face_have_none(detector: Detector) -> None:
    pictures: list[NDArray[np.uint8]] = [data.coffee(), data.chelsea(), data.rocket()]
    assert detector.detect(pictures) == [[], [], []]


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (1, 400), (400, 3)])
def test_odd_photos_hold_no_face(detector: Detector, size: tuple[int, int]) -> None:
    assert detector.detect([rng().integers(0, 256, (*size, 3), dtype=np.uint8)]) == [[]]


def test_mirroring_a_portrait_keeps_the_order_of_its_landmarks() -> None:
    mirrored = portrait().mirrored()
    assert mirrored.points[0, 0] < mirrored.points[1, 0]
    np.testing.assert_allclose(mirrored.points[0], (511 - SITTER[1, 0], SITTER[1, 1]))
    np.testing.assert_array_equal(mirrored.pixels[:, 0], data.astronaut()[:, 511])
    twice = mirrored.mirrored()
    np.testing.assert_allclose(twice.box, FACE)
    np.testing.assert_allclose(twice.points, SITTER)


@pytest.mark.parametrize("seed", range(12))
def test_the_faces_of_a_scene_lie_in_it_with_their_landmarks(seed: int) -> None:
    one = scene(album(), 160, rng(seed))
    assert one.pixels.shape == (160, 160, 3)
    assert one.pixels.dtype == np.uint8
    sizes = np.sqrt(one.boxes[:, 2:].prod(axis=1))
    assert ((sizes > 7) & (sizes < 250)).all()
    for box, points in zip(one.boxes, one.points, strict=True):
        assert (points > box[:2] - 0.1 * box[2:]).all()
        assert (points < box[:2] + 1.1 * box[2:]).all()
        assert (box[:2] + box[2:] / 2 > 0).all()
        assert (box[:2] + box[2:] / 2 < 160).all()
    again = scene(album(), 160, rng(seed))
    np.testing.assert_array_equal(one.pixels, again.pixels)


@pytest.mark.parametrize(("size", "strides"), [(9, {8}), (30, {8, 16}), (60, {16}), (90, {16, 32}), (150, {32})])
def test_cells_near_the_centre_find_a_face_at_the_stride_of_its_size(size: float, strides: set[int]) -> None:
    box = np.array([[100 - size / 2, 90 - size / 2, size, size]])
    cells = assigned(box, 224)
    places = grid(224)
    mine = places[cells.kinds == POSITIVE]
    assert {int(stride) for stride in mine[:, 2]} == strides
    assert (np.abs(mine[:, :2] - (100, 90)).max(axis=1) < mine[:, 2]).all()
    assert (cells.kinds == IGNORED).sum() < 40
    assert (cells.kinds == BACKGROUND).sum() > 900


def test_the_smaller_of_two_faces_gets_a_cell_that_both_want() -> None:
    cells = assigned(np.array([[60.0, 60, 34, 34], [66, 66, 20, 20]]), 160)
    nearest = (grid(160) == (80, 80, 8)).all(axis=1)
    assert cells.faces[nearest] == 1


def test_what_the_cells_are_told_decodes_to_the_faces_of_the_scene() -> None:
    one = Scene(np.zeros((96, 96, 3), np.uint8), np.array([[10.0, 14, 40, 48]]), np.arange(10.0).reshape(1, 5, 2))
    told = example_of(one)
    mine = told["kind"] == POSITIVE
    np.testing.assert_allclose(told["box"][mine], [[30, 38, 40, 48]] * int(mine.sum()))
    cells = grid(96)
    offsets = (told["box"][:, :2] - cells[:, :2]) / cells[:, 2:]
    sides = np.log(np.maximum(told["box"][:, 2:], 1) / cells[:, 2:])
    points = (told["points"] - np.tile(cells[:, :2], 5)) / cells[:, 2:]
    out = {"bbox": torch.from_numpy(np.hstack([offsets, sides])), "kps": torch.from_numpy(points)}
    boxes, marks = decoded(out, torch.from_numpy(cells))
    np.testing.assert_allclose(boxes.numpy()[mine], told["box"][mine], rtol=1e-5)
    np.testing.assert_allclose(marks.numpy()[mine], told["points"][mine], atol=1e-4)


def test_training_decodes_boxes_as_the_detector_does() -> None:
    torch.manual_seed(3)
    network = YuNet().eval()
    with torch.inference_mode():
        outputs = network(torch.rand(1, 3, 96, 96) * 255)
        boxes, points = decoded(every_level(outputs), torch.from_numpy(grid(96)))
        [rows] = rows_of(outputs, 96, 0.0)
    row = rows[0]
    centre = torch.from_numpy(np.concatenate([row[:2] + row[2:4] / 2, row[2:4]]))
    nearest = (boxes[0] - centre).abs().sum(dim=1).argmin()
    np.testing.assert_allclose(boxes[0, nearest], centre, atol=1e-3)
    np.testing.assert_allclose(points[0, nearest], row[4:14], atol=1e-3)


def test_a_perfect_box_has_no_loss_and_a_shifted_one_has() -> None:
    truth = torch.tensor([[50.0, 50, 20, 30]])
    assert float(overlap(truth, truth)) == pytest.approx(1)
    assert float(eiou(truth, truth)) == pytest.approx(0, abs=1e-5)
    assert float(eiou(truth + torch.tensor([[10.0, 0, 0, 0]]), truth)) > 0.6
    away = torch.full((1, 10), 2.0)
    assert float(landmarks(away, away, torch.tensor([20.0]))) == 0
    assert float(landmarks(away, 0 * away, torch.tensor([20.0]))) == pytest.approx((10 - 1.5) / 10)


def test_a_network_without_its_norms_computes_the_same() -> None:
    torch.manual_seed(4)
    network = with_norms(YuNet())
    photos = torch.rand(2, 3, 64, 64) * 255
    network(photos)
    network.eval()
    plain = folded(network)
    assert plain.state_dict().keys() == YuNet().state_dict().keys()
    with torch.inference_mode():
        with_them, without = network(photos), plain(photos)
    for name, value in with_them.items():
        torch.testing.assert_close(without[name], value, rtol=1e-3, atol=1e-4)


def test_training_lowers_the_loss_on_what_it_sees() -> None:
    task = DaguerreDTask(RECIPE)
    examples = [task.example(album(), rng(seed)) for seed in range(4)]
    batch = {name: torch.from_numpy(np.stack([example[name] for example in examples])) for name in examples[0]}
    optimiser = torch.optim.AdamW(task.network.parameters(), 4e-3)
    losses: list[float] = []
    for _ in range(25):
        optimiser.zero_grad()
        loss = task.loss(task.network, batch)
        torch.autograd.backward(loss)
        optimiser.step()
        losses.append(float(loss.detach()))
    assert min(losses) < 0.6 * losses[0]


def test_validation_counts_faces_above_the_score_of_the_fourth_false_one() -> None:
    face = np.array([[10.0, 10, 40, 40]])
    one = Scene(np.zeros((96, 96, 3), np.uint8), face, np.zeros((1, 5, 2)))

    def row(x: float, score: float) -> NDArray[np.float64]:
        return np.array([x, 10, 40, 40, *np.zeros(10), score])

    false = [row(300, score) for score in (0.9, 0.8, 0.7, 0.6)]
    high = judged([np.array([row(10, 0.65), *false])], [one])
    low = judged([np.array([*false, row(10, 0.55)])], [one])
    assert (high["recall"], low["recall"]) == (100, 0)
    assert high["score"] == 0.6
    assert high["any"] == low["any"] == 100


def test_what_a_training_exports_is_what_the_detector_loads(tmp_path: Path) -> None:
    task = DaguerreDTask(RECIPE)
    path = tmp_path / "w.safetensors"
    all_trainings()["daguerre-d"].export(task.network.state_dict(), path)
    built = all_detectors()["daguerre-d"].build({WEIGHTS.name: path}, SETTINGS)
    assert built.detect([data.coffee()]) == [[]]
    assert len(search(folded(task.network), data.coffee()[:96, :96])) == 0
