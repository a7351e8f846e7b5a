"""A second look at faces: landmarks and scores from views of other sizes and mirror images, of the same face alone."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from models.detector import Detection
from models.pyramid import Pixels, Rows
from models.second_look import Part, SecondLook, cut, first_score, to_photo

POINTS = np.array([[60.0, 70.0], [100.0, 74.0], [84.0, 95.0], [66.0, 118.0], [97.0, 121.0]])
BOX = (40.0, 45.0, 84.0, 100.0)
EYES, NOSE, MOUTH = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def photo(points: NDArray[np.float64] = POINTS, size: tuple[int, int] = (220, 260)) -> Pixels:
    """Grey, with a square of five pixels at each landmark."""
    picture = np.full((*size, 3), 128, np.uint8)
    for (x, y), colour in zip(points.round().astype(int), (EYES, EYES, NOSE, MOUTH, MOUTH), strict=True):
        picture[y - 2 : y + 3, x - 2 : x + 3] = colour
    return picture


class Dots:
    """A network for ``photo``: it knows eyes from mouths, and left from right by where they are."""

    multiple = 1

    def __init__(self, score: float = 0.9) -> None:
        self.score = score
        self.sides: list[int] = []

    def search(self, photos: Sequence[Pixels]) -> list[Rows]:
        return [self.rows(picture) for picture in photos]

    def rows(self, picture: Pixels) -> Rows:
        self.sides.append(max(picture.shape))
        if (picture == 128).all():
            return np.empty((0, 15))
        points = np.vstack([self.dots(picture, colour) for colour in (EYES, NOSE, MOUTH)])
        low, high = points.min(axis=0), points.max(axis=0)
        side = high - low
        return np.array([[*(low - side / 2), *(2 * side), *points.ravel(), self.score]])

    def dots(self, picture: Pixels, colour: tuple[int, int, int]) -> NDArray[np.float64]:
        """The dots' centres, from left to right; two dots are told apart by the gap between them."""
        weights = np.clip(picture.astype(float) @ np.where(np.array(colour) > 0, 1, -1) / 2, 0, None)
        weights[weights < 100] = 0
        columns = np.flatnonzero(weights.sum(axis=0))
        parts = np.split(columns, np.flatnonzero(np.diff(columns) > 3) + 1)
        return np.array([self.centre(weights, part) for part in parts])

    def centre(self, weights: NDArray[np.float64], columns: NDArray[np.int64]) -> list[float]:
        part = weights[:, columns]
        rows = np.arange(len(part))
        return [float(part.sum(axis=0) @ columns / part.sum()), float(part.sum(axis=1) @ rows / part.sum())]


class Found:
    """A detector that always says the same."""

    def __init__(self, *faces: Detection) -> None:
        self.faces = list(faces)

    def detect(self, photos: Sequence[Pixels]) -> list[list[Detection]]:
        return [self.faces for _ in photos]


def test_landmarks_are_where_all_views_see_them() -> None:
    rough = Detection(BOX, POINTS + 6, 0.9)
    scale = Dots()
    ((face,),) = SecondLook(Found(rough), scale, (70, 92, 130), 0.8).detect([photo()])
    assert face.landmarks is not None
    np.testing.assert_allclose(face.landmarks, POINTS, atol=0.6)
    assert (face.box, face.score) == (rough.box, rough.score)
    assert len(set(scale.sides)) == 3
    assert len(scale.sides) == 6


def test_a_face_at_the_edge_is_looked_at_as_far_as_it_is_there() -> None:
    shift = np.array([38.0, 43.0])
    box = (BOX[0] - 38, BOX[1] - 43, BOX[2], BOX[3])
    rough = Detection(box, POINTS - shift + 6, 0.9)
    ((face,),) = SecondLook(Found(rough), Dots(), (92,), 0.8).detect([photo(POINTS - shift, (105, 92))])
    assert face.landmarks is not None
    np.testing.assert_allclose(face.landmarks, POINTS - shift, atol=0.6)


def test_landmarks_of_something_else_are_not_taken() -> None:
    rough = Detection((150.0, 120.0, 40.0, 40.0), POINTS, 0.9)
    beside = replace(rough, box=(100.0, 100.0, 60.0, 60.0))
    for face in (rough, beside):

        class Elsewhere(Dots):
            def search(self, photos: Sequence[Pixels]) -> list[Rows]:
                return [np.array([[0.0, 0.0, 9.0, 9.0, *np.zeros(10), 0.99]]) for _ in photos]

        assert SecondLook(Found(face), Elsewhere(), (92,), 0.45).detect([photo()]) == [[replace(face, score=0.45)]]


def test_the_score_is_the_mean_of_both_looks() -> None:
    strong, weak = Detection(BOX, POINTS, 0.9), Detection(BOX, POINTS, 0.7)
    found = Found(weak, strong, replace(strong, box=(150.0, 120.0, 40.0, 40.0)))
    (faces,) = SecondLook(found, Dots(0.7), (70, 92), 0.65).detect([photo()])
    assert [face.score for face in faces] == pytest.approx([0.8, 0.7]), "0.45 for the one that no view has"
    assert SecondLook(found, Dots(0.7), (70, 92), 0.85).detect([photo()]) == [[]]
    assert first_score(0.85) == pytest.approx(0.7)


def test_landmarks_of_views_that_hardly_see_a_face_do_not_count() -> None:
    rough = Detection(BOX, POINTS + 6, 0.9)
    ((face,),) = SecondLook(Found(rough), Dots(0.2), (92,), 0.5).detect([photo()])
    assert face.landmarks is rough.landmarks


def test_a_part_keeps_its_place_and_scale() -> None:
    part = cut(photo(), BOX, 46)
    factor = 46 / np.sqrt(84 * 100)
    np.testing.assert_allclose(part.scale, factor, rtol=0.01)
    assert part.pixels.shape[1] / part.scale[0] + part.corner[0] <= 260


def test_what_is_at_an_edge_of_a_part_is_at_the_same_edge_in_the_photo() -> None:
    part = Part(np.zeros((20, 40, 3), np.uint8), np.array([30.0, 7.0]), np.array([4.0, 2.0]))
    row = np.array([[-0.5, 19.5, 40, 20, *[39.5, -0.5] * 5, 0.9]])
    moved = [[29.5, 16.5, 10, 10, *[39.5, 6.5] * 5, 0.9]]
    np.testing.assert_allclose(to_photo(row, part), moved)


def test_a_face_without_a_size_is_left_as_it_is() -> None:
    for box in ((5.0, 5.0, 0.0, 9.0), (5.0, 5.0, 0.05, 0.05), (5.0, 5.0, np.inf, 9.0), (np.nan, 5.0, 9.0, 9.0)):
        scale, strange = Dots(), Detection(box, POINTS, 0.9)
        assert SecondLook(Found(strange), scale, (92,), 0.8).detect([photo()]) == [[strange]]
        assert scale.sides == []
