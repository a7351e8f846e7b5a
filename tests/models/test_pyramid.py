"""The pyramid by itself, around a stand-in network."""

from collections.abc import Sequence

import numpy as np
import pytest

from models.pyramid import Pixels, Pyramid, Rows, View, batches, merge, shrunk, sides_to_search, to_photo, views_of

LEVELS = (1280, 640, 320, 160)


class BrightSquare:
    """Finds the one white square of a photo, as a network would: by the centres of its first and last pixels."""

    multiple = 32

    def __init__(self) -> None:
        self.batches: list[list[tuple[int, ...]]] = []

    def search(self, photos: Sequence[Pixels]) -> list[Rows]:
        self.batches.append([photo.shape[:2] for photo in photos])
        return [self._found(photo) for photo in photos]

    def _found(self, photo: Pixels) -> Rows:
        y, x = np.nonzero(photo[:, :, 0] > 127)
        if not len(x):
            return np.zeros((0, 15))
        corner, size = (x.min(), y.min()), (np.ptp(x) + 1, np.ptp(y) + 1)
        centre = (x.mean(), y.mean())
        return np.array([[*corner, *size, *[*centre] * 5, 1 / max(photo.shape)]], dtype=np.float64)


def photo_with_square(width: int, height: int, x: int, y: int, side: int) -> Pixels:
    photo = np.zeros((height, width, 3), np.uint8)
    photo[y : y + side, x : x + side] = 255
    return photo


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
    assert sides_to_search(longer, LEVELS) == sides


def test_an_empty_pyramid_searches_the_photo_as_it_is() -> None:
    assert sides_to_search(700, ()) == [700]


def test_no_view_of_a_narrow_photo_is_empty() -> None:
    assert [(view.width, view.height) for view in views_of(0, np.zeros((2000, 3, 3), np.uint8), (640, 160))] == [
        (1, 640),
        (1, 160),
    ]


@pytest.mark.parametrize("size", [(1280, 960), (1283, 857), (640, 1280)])
def test_what_a_shrunk_photo_shows_lies_where_it_was(size: tuple[int, int]) -> None:
    """The centre of a square is exact at every level: no shift by half a pixel."""
    side = 320
    photo = photo_with_square(*size, 160, 240, side)
    for level in (640, 320):
        [face] = Pyramid(BrightSquare(), (level,)).detect([photo])[0]
        assert face.landmarks is not None
        coarse = max(size) / level
        np.testing.assert_allclose(face.landmarks[0], [159.5 + side / 2, 239.5 + side / 2], atol=0.5 * coarse)
        np.testing.assert_allclose(face.box, [160, 240, side, side], atol=coarse)


def test_edges_coincide_not_the_centres_of_first_pixels() -> None:
    found = to_photo(np.array([row(0, 10, 0.5)]), View(0, 50, 25), np.zeros((100, 100, 3), np.uint8))
    assert found[0].tolist() == [0.5, 1.5, 20, 40, *[0.5, 1.5] * 5, 0.5]


def test_rows_of_a_photo_that_was_not_shrunk_are_left_alone() -> None:
    rows = np.array([row(0.1, 10.3, 0.5)])
    assert to_photo(rows, View(0, 100, 50), np.zeros((50, 100, 3), np.uint8)) is rows


def test_shrinking_averages_areas() -> None:
    photo = np.zeros((4, 4, 3), np.uint8)
    photo[:2, :2] = [[[40, 0, 0], [80, 0, 0]]] * 2
    assert shrunk(photo, View(0, 2, 2))[:, :, 0].tolist() == [[60, 0], [0, 0]]


def test_a_face_comes_from_the_level_with_its_best_score() -> None:
    photo = photo_with_square(1280, 1280, 320, 320, 640)
    [face] = Pyramid(BrightSquare(), LEVELS).detect([photo])[0]
    assert face.score == pytest.approx(1 / 160)


def test_views_of_one_padded_size_share_a_batch_and_no_batch_is_too_large() -> None:
    views = [View(0, 100, 60), View(1, 120, 64), View(2, 128, 33), View(3, 200, 64)]
    found = [[view.photo for view in batch] for batch in batches(views, 32, 2 * 128 * 64)]
    assert found == [[0, 1], [2], [3]]
    assert [[view.photo for view in batch] for batch in batches(views, 1, 10**9)] == [[0], [1], [2], [3]]
    assert [len(batch) for batch in batches(views, 32, 1)] == [1, 1, 1, 1]


def test_photos_keep_their_faces_in_any_batch() -> None:
    photos = [photo_with_square(300 + 20 * (index % 2), 200, 10 * index, 5, 40) for index in range(9)]
    photos.insert(4, np.zeros((200, 300, 3), np.uint8))
    scale = BrightSquare()
    together = Pyramid(scale, LEVELS, 10**6).detect(photos)
    assert max(len(batch) for batch in scale.batches) > 1
    assert [len(faces) for faces in together] == [1, 1, 1, 1, 0, 1, 1, 1, 1, 1]
    for photo, faces in zip(photos, together, strict=True):
        alone = Pyramid(BrightSquare(), LEVELS).detect([photo])[0]
        assert [face.box for face in faces] == [face.box for face in alone]


def test_no_photos_have_no_faces() -> None:
    assert Pyramid(BrightSquare(), LEVELS).detect([]) == []


def test_merging_keeps_the_best_score_of_boxes_that_overlap() -> None:
    rows = np.array([row(0, 100, 0.8), row(10, 40, 0.9), row(300, 50, 0.85)])
    assert merge(rows)[:, 14].tolist() == [0.9, 0.85]


def test_merging_keeps_faces_that_only_touch() -> None:
    assert len(merge(np.array([row(0, 100, 0.9), row(60, 100, 0.8)]))) == 2


def test_a_suppressed_box_suppresses_none() -> None:
    rows = np.array([row(0, 100, 0.9), row(40, 100, 0.8), row(90, 100, 0.7)])
    assert merge(rows)[:, 14].tolist() == [0.9, 0.7]


def test_merging_nothing_gives_nothing() -> None:
    assert merge(np.zeros((0, 15))).shape == (0, 15)
