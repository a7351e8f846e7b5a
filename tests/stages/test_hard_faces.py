"""Faces that are hard to paste: each comes nearer to the truth, and nothing else changes."""

from functools import cache

import numpy as np
import pytest
from hard_faces import Scene, restored, result_of, scenes

from stages.photo import FaceStatus, PasteMode, Photo, Pixels

SCENES = {scene.name: scene for scene in scenes()}


def error(picture: Pixels, scene: Scene) -> float:
    """Mean squared error around the faces."""
    inside = np.zeros(picture.shape[:2], bool)
    for points in scene.faces:
        (x0, y0), (x1, y1) = points.min(axis=0).astype(int), points.max(axis=0).astype(int) + 1
        inside[max(0, y0) : y1, max(0, x0) : x1] = True
    return float(((picture.astype(float) - scene.truth) ** 2)[inside].mean())


@cache
def done(name: str, mode: PasteMode) -> Photo:
    return restored(SCENES[name], mode)


@pytest.mark.parametrize("name", list(SCENES))
def test_every_face_comes_nearer_to_the_truth(name: str) -> None:
    scene, photo = SCENES[name], done(name, "difference")
    assert [face.status for face in photo.faces] == [FaceStatus.RESTORED] * len(scene.faces)
    assert error(result_of(photo), scene) < 0.5 * error(scene.photo, scene)


@pytest.mark.parametrize("name", [name for name in SCENES if name != "200 faces"])
def test_so_does_every_face_that_is_put_in_place(name: str) -> None:
    scene, photo = SCENES[name], done(name, "replace")
    assert [face.status for face in photo.faces] == [FaceStatus.RESTORED] * len(scene.faces)
    assert error(result_of(photo), scene) < 0.85 * error(scene.photo, scene)


@pytest.mark.parametrize("name", list(SCENES))
def test_nothing_else_changes(name: str) -> None:
    photo = done(name, "difference")
    outside = np.ones(SCENES[name].photo.shape[:2], bool)
    for edit in photo.edits:
        x0, y0, x1, y1 = edit.window
        outside[y0:y1, x0:x1] &= ~edit.mask
    assert outside.any()
    np.testing.assert_array_equal(result_of(photo)[outside], SCENES[name].photo[outside])


@pytest.mark.parametrize("name", list(SCENES))
def test_edits_never_overlap(name: str) -> None:
    covered = np.zeros(SCENES[name].photo.shape[:2], int)
    for edit in done(name, "difference").edits:
        x0, y0, x1, y1 = edit.window
        covered[y0:y1, x0:x1] += 1
    assert covered.max() == 1
