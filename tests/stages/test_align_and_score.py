"""Crops, seeds and quality: what is measured where."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from pictures import Plain

from infra.config import Config
from models.quality_measure import measure
from stages.align import Align, seed_of, standard_crop
from stages.canvas import Canvas
from stages.geometry import template
from stages.photo import Face, FaceStatus, Matrix, Photo, Source
from stages.picture import Edit
from stages.recipe import resolve
from stages.score import Score

RNG = np.random.default_rng(2)
RGB = cv2.GaussianBlur(RNG.integers(0, 256, (700, 700, 3), dtype=np.uint8), (0, 0), 3)
RECIPE = resolve(
    Config.model_validate({"method": "classic", "detect": {"detector": "cascade"}, "leave": {"good": {}}}),
    lambda file: "",
)


def photo(landmarks: Matrix | None, box: tuple[float, float, float, float] = (200, 200, 90, 100)) -> Photo:
    picture = Plain(np.asarray(RGB, np.uint8))
    return Photo(
        Source("file:///a.png", "a.png"), sha256="0" * 64, picture=picture, faces=(Face(0, box, 0.9, landmarks),)
    )


def test_a_face_gets_its_crop_its_seed_and_its_figures() -> None:
    landmarks = template("ffhq", 512) / 2 + [150, 120]
    face = Align(RECIPE)([photo(landmarks)])[0].faces[0]
    assert face.side == pytest.approx(256)
    assert face.seed == seed_of("0" * 64, 0, "classic", 0)
    assert face.crop is not None
    assert face.crop.shape == (512, 512, 3)
    assert face.before == measure(face.crop)
    assert face.matrix is not None
    np.testing.assert_allclose(landmarks @ face.matrix[:, :2].T + face.matrix[:, 2], template("ffhq", 512), atol=1e-6)


def test_seeds_depend_on_content_face_method_and_run_alone() -> None:
    seeds = {
        seed_of(*facts)
        for facts in [("a", 0, "m", 0), ("b", 0, "m", 0), ("a", 1, "m", 0), ("a", 0, "n", 0), ("a", 0, "m", 1)]
    }
    assert len(seeds) == 5
    assert all(0 <= seed < 2**63 for seed in seeds)


@pytest.mark.parametrize(
    ("landmarks", "box"),
    [
        (np.full((5, 2), 100.0), (90, 90, 20, 20)),
        (np.full((5, 2), np.nan), (90, 90, 20, 20)),
        (None, (90, 90, 0, 20)),
        (None, (np.inf, 90, 20, 20)),
    ],
)
def test_landmarks_that_are_no_faces_fail_that_face(
    landmarks: Matrix | None, box: tuple[float, float, float, float]
) -> None:
    face = Align(RECIPE)([photo(landmarks, box)])[0].faces[0]
    assert face.status is FaceStatus.FAILED
    assert face.crop is None


def test_quality_after_is_measured_on_the_pasted_photo() -> None:
    aligned = Align(RECIPE)([photo(template("ffhq", 512) / 2 + [150, 120])])[0]
    restored = replace(aligned.faces[0], status=FaceStatus.RESTORED)
    pasted = np.asarray(cv2.GaussianBlur(RGB, (0, 0), 5), np.uint8)
    edit = Edit(0, (0, 0, 700, 700), pasted, np.ones((700, 700), bool))
    done = Score(aligned=False)([replace(aligned, faces=(restored,), edits=(edit,))])[0]
    assert done.faces[0].after == measure(standard_crop(restored, Canvas(Plain(pasted)))[1])
    assert done.faces[0].after != done.faces[0].before
    assert done.after == measure(pasted)
    assert done.before == measure(np.asarray(RGB, np.uint8))
