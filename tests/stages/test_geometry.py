"""Where a face lies, cutting crops and warping them back."""

import math

import cv2
import numpy as np
import pytest
from pictures import Plain

from stages.canvas import Canvas
from stages.geometry import (
    corners_of,
    cut,
    cut_from,
    enlarged,
    from_box,
    inverse,
    past_border,
    reduced,
    residual_of,
    scale_of,
    similarity,
    softened,
    square,
    template,
    warp_back,
)
from stages.photo import Matrix

RNG = np.random.default_rng(3)


def turned(scale: float, degrees: float, x: float, y: float) -> Matrix:
    a, b = scale * math.cos(math.radians(degrees)), scale * math.sin(math.radians(degrees))
    return np.array([[a, -b, x], [b, a, y]])


def smooth(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width].astype(float)
    waves = [np.sin(x / 17) + np.cos(y / 13), np.sin((x + y) / 23), np.cos((x - 2 * y) / 31)]
    return np.stack([127 + 60 * wave for wave in waves], -1).round().clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize(("scale", "degrees"), [(0.2, 0), (1.7, 180), (3.0, -37), (0.9, 91)])
def test_the_similarity_of_moved_points_is_the_move(scale: float, degrees: float) -> None:
    matrix = turned(scale, degrees, -40, 77)
    points = RNG.uniform(0, 500, (5, 2))
    found = similarity(points, points @ matrix[:, :2].T + matrix[:, 2])
    np.testing.assert_allclose(found, matrix, atol=1e-9)
    assert scale_of(found) == pytest.approx(scale)


def test_the_similarity_never_mirrors() -> None:
    points = template("ffhq", 512)
    found = similarity(points * [-1, 1], points)
    assert np.linalg.det(found[:, :2]) > 0


def test_the_similarity_is_the_least_squares_one() -> None:
    points, target = RNG.uniform(0, 100, (5, 2)), RNG.uniform(0, 100, (5, 2))
    best = similarity(points, target)

    def error(matrix: Matrix) -> float:
        return float(((points @ matrix[:, :2].T + matrix[:, 2] - target) ** 2).sum())

    for _ in range(200):
        step = RNG.normal(0, 0.01, 4)
        a, b, x, y = best[0, 0] + step[0], best[1, 0] + step[1], best[0, 2] + step[2], best[1, 2] + step[3]
        assert error(best) <= error(np.array([[a, -b, x], [b, a, y]])) + 1e-9


def test_templates_are_the_published_ones_and_scale() -> None:
    np.testing.assert_allclose(template("arcface", 512)[0], [202.04068, 242.88396], atol=1e-4)
    np.testing.assert_allclose(template("arcface", 512)[4], [300.89112, 366.33631], atol=1e-4)
    np.testing.assert_allclose(template("ffhq", 256) * 2, template("ffhq", 512))


def test_an_unmoved_crop_is_the_photo_itself() -> None:
    photo = smooth(64, 64)
    np.testing.assert_array_equal(cut(photo, np.eye(2, 3), 64), photo)
    np.testing.assert_array_equal(cut(photo, np.array([[1.0, 0, -10], [0, 1, -20]]), 16), photo[20:36, 10:26])


@pytest.mark.parametrize("scale", [0.13, 0.5, 0.77, 1.0, 2.6])
def test_a_crop_shows_the_photo_where_the_matrix_says(scale: float) -> None:
    photo = smooth(900, 1100)
    matrix = turned(scale, 21, 0, 0)
    centre = matrix[:, :2] @ [550, 450]
    matrix[:, 2] = 32 - centre
    crop = cut(photo, matrix, 64)
    back = inverse(matrix)
    points = RNG.integers(8, 56, (50, 2))
    there = (points @ back[:, :2].T + back[:, 2]).round().astype(int)
    differences = np.abs(crop[points[:, 1], points[:, 0]].astype(int) - photo[there[:, 1], there[:, 0]])
    assert differences.max() < 14


def test_a_crop_past_the_border_mirrors_the_photo() -> None:
    photo = smooth(50, 50)
    crop = cut(photo, np.array([[1.0, 0, 20], [0, 1, 20]]), 64)
    np.testing.assert_array_equal(crop[20:, 20:], photo[:44, :44])
    np.testing.assert_allclose(crop[20:, 19].astype(int), photo[:44, 1], atol=4)


def test_far_past_the_border_the_mirror_image_fades_to_one_colour() -> None:
    photo = smooth(64, 64)
    crop = cut(photo, np.array([[1.0, 0, 40], [0, 1, 0]]), 64)
    assert crop[:, :8].std(axis=(0, 1)).max() < 3 < crop[:, 40:].std(axis=(0, 1)).min()
    np.testing.assert_allclose(crop[0, 0], np.median(crop[:, 40:], axis=(0, 1)), atol=2)


def test_a_crop_of_a_page_read_by_windows_is_the_crop_of_the_whole() -> None:
    photo = smooth(300, 400)
    for matrix in (turned(0.4, 33, 20, -50), turned(2.2, -8, -300, -200), turned(1.0, 180, 100, 120)):
        np.testing.assert_array_equal(cut_from(Canvas(Plain(photo)), matrix, 64), cut(photo, matrix, 64))


@pytest.mark.parametrize(
    "place", [(60, 50), (-50, 60), (250, 60), (60, -50), (60, 150), (140, 75), (-55, -55), (330, 60), (60, 230)]
)
def test_a_crop_is_that_of_the_whole_photo_mirrored_at_its_borders(place: tuple[int, int]) -> None:
    photo = RNG.integers(0, 256, (200, 300, 3), dtype=np.uint8)
    for scale, degrees in ((1.0, 0), (1.0, 30), (1.37, -71), (2.9, 160)):
        matrix = turned(scale, degrees, 0, 0)
        matrix[:, 2] = 48 - matrix[:, :2] @ place
        warped = cv2.warpAffine(photo, matrix, (96, 96), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
        expected = softened(np.asarray(warped, np.uint8), past_border(matrix, 96, 300, 200))
        np.testing.assert_allclose(cut(photo, matrix, 96).astype(int), expected, atol=1)


@pytest.mark.parametrize("axis", [0, 1])
def test_all_borders_are_softened_alike(axis: int) -> None:
    photo = RNG.integers(0, 256, (80, 80, 3), dtype=np.uint8)
    before, behind = np.eye(2, 3), np.eye(2, 3)  # crops of 64, 20 pixels of them outside
    before[1 - axis, 2], behind[1 - axis, 2] = 20, -36
    np.testing.assert_array_equal(np.flip(cut(photo, before, 64), axis), cut(np.flip(photo, axis), behind, 64))


def test_the_square_holds_every_pixel_that_it_touches_and_hardly_more() -> None:
    for x in np.linspace(10, 11, 11):
        matrix = turned(1.3, 17, 0, 0)
        matrix[:, 2] -= matrix[:, :2] @ [x + 40, x + 60]
        corners = corners_of(matrix, 64)
        low, high = np.floor(corners.min(0) + 0.5), np.floor(corners.max(0) + 0.5)
        x0, y0, x1, y1 = square(matrix, 64, 300, 300)
        assert (low - 1 <= [x0, y0]).all()
        assert ([x0, y0] <= low).all()
        assert ([x1, y1] > high).all()
        assert ([x1, y1] <= high + 2).all()


@pytest.mark.parametrize("scale", [2, 4])
def test_a_matrix_for_the_enlarged_photo_shows_the_same_place(scale: int) -> None:
    photo = smooth(120, 160)
    large = cv2.resize(photo, (160 * scale, 120 * scale), interpolation=cv2.INTER_LINEAR)
    matrix = turned(1.3, 12, -30, -20)
    same = cut(np.asarray(large, np.uint8), enlarged(matrix, scale), 64).astype(int) - cut(photo, matrix, 64)
    assert np.abs(same).mean() < 0.7


@pytest.mark.parametrize("factor", [0.5, 0.37, 1.0])
def test_what_changed_in_a_window_lies_in_the_reduced_photo_where_the_window_lies(factor: float) -> None:
    before, after = smooth(200, 300).astype(np.float32), smooth(200, 300).astype(np.float32)
    after[50:120, 80:180] += 30
    size = round(300 * factor), round(200 * factor)
    expected = cv2.resize(after, size, interpolation=cv2.INTER_AREA) - cv2.resize(
        before, size, interpolation=cv2.INTER_AREA
    )
    x0, y0, x1, y1, change = reduced((after - before)[50:120, 80:180], (80, 50, 180, 120), size[0] / 300, *size)
    found = np.zeros_like(expected)
    found[y0:y1, x0:x1] = change
    assert np.abs(found - expected).mean() < 0.5
    assert found.sum() == pytest.approx(expected.sum(), rel=0.03)


@pytest.mark.parametrize("factor", [0.5, 0.25])
def test_a_change_on_the_grid_of_the_reduced_photo_is_reduced_exactly(factor: float) -> None:
    change = np.zeros((160, 240, 3), np.float32)
    change[48:120, 80:180] = RNG.uniform(-50, 50, (72, 100, 3))
    width, height = round(240 * factor), round(160 * factor)
    x0, y0, x1, y1, found = reduced(change[48:120, 80:180], (80, 48, 180, 120), factor, width, height)
    assert (x0, y0, x1, y1) == (80 * factor, 48 * factor, 180 * factor, 120 * factor)
    expected = cv2.resize(change, (width, height), interpolation=cv2.INTER_AREA)[y0:y1, x0:x1]
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_a_window_that_ends_on_a_reduced_pixels_edge_reaches_no_further() -> None:
    assert reduced(np.ones((100, 100, 3), np.float32), (0, 0, 100, 100), 0.07, 20, 20)[:4] == (0, 0, 7, 7)


def test_the_residual_is_zero_for_the_template_itself_and_large_for_no_face() -> None:
    target = template("ffhq", 512)
    assert residual_of(target / 3, target, similarity(target / 3, target)) == pytest.approx(0, abs=1e-9)
    mirrored = (target * [-1, 1] + [512, 0])[[0, 1, 2, 3, 4]]
    assert residual_of(mirrored, target, similarity(mirrored, target)) > 50


@pytest.mark.parametrize("place", [(-4000.0, 0.0), (9000.0, 9000.0)])
def test_a_crop_wholly_outside_is_still_a_crop(place: tuple[float, float]) -> None:
    matrix = np.array([[1.0, 0, place[0]], [0, 1, place[1]]])
    assert cut(smooth(50, 50), matrix, 64).shape == (64, 64, 3)
    x0, y0, x1, y1 = square(matrix, 64, 50, 50)
    assert x1 <= x0 or y1 <= y0


@pytest.mark.parametrize("scale", [0.4, 1.0, 3.1, 11.0])
def test_what_is_warped_back_lies_where_it_was_cut(scale: float) -> None:
    photo = smooth(400, 400)
    matrix = turned(scale, -14, 0, 0)
    matrix[:, 2] = 128 - matrix[:, :2] @ [200, 200]
    crop = cut(photo, matrix, 256).astype(np.float32)
    back = warp_back(crop, matrix, (0, 0, 400, 400))
    reach = int(80 / scale) if scale > 1 else 80
    middle = np.s_[200 - reach // 2 : 200 + reach // 2, 200 - reach // 2 : 200 + reach // 2]
    assert np.abs(back[middle] - photo[middle]).mean() < 2.5


def test_a_box_alone_gives_an_upright_crop_around_it() -> None:
    matrix = from_box((100.0, 120.0, 60.0, 60.0), 512)
    corners = np.array([[100, 120], [159, 179]]) @ matrix[:, :2].T + matrix[:, 2]
    assert scale_of(matrix) == pytest.approx(294 / 60)
    assert (corners > 50).all()
    assert (corners < 470).all()
    np.testing.assert_allclose(corners.mean(axis=0), [257, 279])
