"""The field's own geometry: what each project does, and the oddities that its published results depend on."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from stages.compat import codeformer, facexlib, gpen, sgpn
from stages.geometry import FFHQ_512, inverse, scale_of, template
from stages.photo import Matrix, Pixels

RNG = np.random.default_rng(5)
NOISE = RNG.integers(0, 256, (300, 400, 3), dtype=np.uint8)
FACE = RNG.integers(80, 177, (512, 512, 3), dtype=np.uint8)
GREY_FACE = np.full((512, 512, 3), 128, np.uint8)
SKIN = np.ones((512, 512), np.uint8)
BOX = np.array([0, 0, 200, 200, 0.99])


def square_at(x: float, y: float, side: float) -> Matrix:
    """The way back of a crop of 512 that shows the upright square of ``side`` with its corner at (x, y)."""
    return np.array([[side / 512, 0, x], [0, side / 512, y]])


def changed(before: Pixels, after: Pixels) -> NDArray[np.bool_]:
    return (before != after).any(axis=2)


def ends(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 of what is set, ends included."""
    rows, columns = np.nonzero(mask.any(axis=1))[0], np.nonzero(mask.any(axis=0))[0]
    return int(columns[0]), int(rows[0]), int(columns[-1]), int(rows[-1])


@pytest.mark.parametrize("estimate", [facexlib.estimate, gpen.estimate, sgpn.estimate])
def test_landmarks_on_the_template_need_no_move(estimate: Callable[[Matrix, int], Matrix]) -> None:
    place = template("ffhq" if estimate is facexlib.estimate else "arcface", 256)
    np.testing.assert_allclose(estimate(place, 256), np.eye(2, 3), atol=1e-4)


def test_least_median_drops_an_outlier_and_least_squares_does_not() -> None:
    landmarks = FFHQ_512.copy()
    landmarks[2] += [0, 90]
    assert np.abs(facexlib.estimate(landmarks) - np.eye(2, 3)).max() < 1e-3
    assert np.abs(sgpn.estimate(landmarks) - sgpn.estimate(FFHQ_512)).max() > 0.1


def test_three_points_take_the_nose_to_the_mouth() -> None:
    landmarks = np.concatenate([facexlib.THREE_POINTS_512, RNG.uniform(0, 512, (2, 2))])
    np.testing.assert_allclose(facexlib.estimate_by_three(landmarks), np.eye(2, 3), atol=1e-4)


def test_landmarks_in_one_point_have_no_similarity() -> None:
    with pytest.raises(ArithmeticError, match="no similarity"):
        facexlib.estimate(np.full((5, 2), 7.0))


def test_past_the_border_is_grey_unless_it_is_mirrored() -> None:
    matrix = np.array([[1.0, 0, 100], [0, 1, 0]])
    assert (facexlib.crop(NOISE, matrix)[:300, :100] == facexlib.GREY).all()
    np.testing.assert_array_equal(facexlib.crop(NOISE, matrix, border="reflect101")[:300, 99], NOISE[:, 1])
    np.testing.assert_array_equal(facexlib.crop(NOISE, matrix, border="reflect")[:300, 99], NOISE[:, 0])
    assert not gpen.crop(NOISE, matrix)[:, :100].any()
    assert not sgpn.crop(NOISE, matrix)[:, :98].any()


def test_a_photo_keeps_its_bytes_outside_the_mask() -> None:
    result = facexlib.paste(NOISE, [square_at(100, 80, 120)], [FACE])
    x0, y0, x1, y1 = ends(changed(NOISE, result))
    assert (x0, y0) >= (100, 80)
    assert (x1, y1) <= (220, 200)
    assert min(x1 - x0, y1 - y0) > 90


def test_a_paste_is_cut_off_and_not_rounded() -> None:
    photo = np.full((300, 300, 3), 100, np.uint8)
    result = facexlib.paste(photo, [square_at(50, 50, 200)], [np.full((512, 512, 3), 101, np.uint8)])
    mask = facexlib.soft_mask(facexlib.hard_mask(square_at(50, 50, 200), 512, (300, 300), 1))
    assert (result[(mask > 0.5) & (mask < 0.99)] == 100).all()
    assert (result[mask == 1] == 101).all()


@pytest.mark.parametrize("module", [facexlib, codeformer])
def test_an_enlarged_paste_lies_half_a_pixel_off(module: Any) -> None:
    ramp = np.broadcast_to((np.arange(512) // 2)[None, :, None], (512, 512, 3)).astype(np.uint8)
    stored = facexlib.inverse(inverse(square_at(60, 60, 180)), 2)
    result = module.paste(np.zeros((300, 300, 3), np.uint8), [stored], [ramp], 2)
    column = 2 * (result[300, 250:350].mean() + 0.25)  # of the crop, seen at 299.5 of the result
    begins = 299.5 - column * 2 * 180 / 512
    assert begins == pytest.approx(2 * 60 + 0.5 + 0.5, abs=0.05)  # pixel 60 lies at 2 * 60 + 0.5


def test_a_second_paste_is_shifted_again() -> None:
    stored = square_at(10, 10, 100)
    once = facexlib.offset(stored, 4)
    np.testing.assert_array_equal(facexlib.offset(once, 4)[:, 2], stored[:, 2] + 4)
    np.testing.assert_array_equal(facexlib.offset(stored, 1), stored)


def test_a_tiny_face_has_a_hard_edge() -> None:
    hard = facexlib.hard_mask(square_at(10, 10, 19), 512, (60, 60), 1)
    soft = facexlib.soft_mask(hard)
    assert set(np.unique(soft)) <= set(np.unique(hard))
    assert (soft == 1).sum() > 200


def test_the_later_face_covers_the_earlier() -> None:
    near = [square_at(60, 80, 150), square_at(100, 80, 150)]
    result = facexlib.paste(NOISE, near, [np.full_like(FACE, 50), np.full_like(FACE, 150)])
    assert (result[150, 135:200] == 150).all()


def test_the_parser_decides_what_is_pasted() -> None:
    labels = np.zeros((512, 512), np.uint8)
    labels[:, :200], labels[:, 200:330], labels[:, 330:] = 1, 14, 16
    mask = facexlib.parse_mask(labels)
    assert mask[256, 100] > 250
    assert mask[256, 420] == 0
    assert not mask[:10].any()
    assert mask[10, 100] > 100  # cut, not faded
    result = facexlib.paste(NOISE, [square_at(100, 80, 120)], [FACE], labels=[labels])
    assert 150 < ends(changed(NOISE, result))[2] <= 100 + 120 * (200 + 100) / 512  # the two kernels reach 100


def test_each_face_needs_its_labels() -> None:
    with pytest.raises(ValueError, match="zip"):
        facexlib.paste(NOISE, [square_at(0, 0, 90)], [FACE], labels=[])


def test_another_background_is_brought_to_size() -> None:
    result = facexlib.paste(NOISE, [], [], 2, background=np.full((50, 50, 3), 9, np.uint8))
    assert result.shape == (600, 800, 3)
    assert (result == 9).all()


@pytest.mark.parametrize(("shape", "expected"), [((100, 300), (512, 1536)), ((600, 700), (600, 700))])
def test_small_photos_are_enlarged(shape: tuple[int, int], expected: tuple[int, int]) -> None:
    photo = np.zeros((*shape, 3), np.uint8)
    assert codeformer.enlarged(photo).shape[:2] == expected
    assert codeformer.enlargement(photo) == pytest.approx(expected[0] / shape[0])


def test_a_tint_is_grey_and_sepia_is_not() -> None:
    luma = NOISE[..., 0]
    assert codeformer.is_grey(luma)
    assert codeformer.is_grey(np.stack([luma // 2 + 20, luma // 2 + 9, luma // 2], axis=2))
    assert not codeformer.is_grey(np.stack([luma, luma * 0.8, luma * 0.6], axis=2).astype(np.uint8))


def test_grey_faces_take_the_crops_tone_and_leave_the_range() -> None:
    crop = np.repeat(NOISE[:, :300, :1], 3, axis=2)
    spiky = np.full((300, 300, 3), 100, np.uint8)
    spiky[::30, ::30] = 255
    found = codeformer.matched(spiky, crop)
    np.testing.assert_allclose(found.mean(axis=(0, 1)), crop.mean(axis=(0, 1)))
    np.testing.assert_allclose(found.std(axis=(0, 1)), crop.std(axis=(0, 1)), rtol=1e-5)
    assert found.max() > 256


@pytest.mark.parametrize(("level", "kind", "shown"), [(300.0, np.uint16, 300), (-3.0, np.uint8, 253)])
def test_levels_out_of_range_spoil_the_photo(level: float, kind: type, shown: int) -> None:
    result = codeformer.paste(NOISE, [square_at(100, 80, 120)], [np.full((512, 512, 3), level)])
    assert result.dtype == kind
    assert (result[140, 160] == shown).all()


def test_the_smaller_mask_counts() -> None:
    place = [square_at(100, 80, 120)]
    by_square = changed(NOISE, codeformer.paste(NOISE, place, [FACE]).astype(np.uint8))
    by_both = changed(NOISE, codeformer.paste(NOISE, place, [FACE], labels=[SKIN]).astype(np.uint8))
    assert by_both.sum() <= by_square.sum()
    nothing = codeformer.paste(NOISE, place, [FACE], labels=[np.zeros_like(SKIN)])
    np.testing.assert_array_equal(nothing, NOISE)


def test_an_upsampled_face_lies_in_the_same_place() -> None:
    photo, stored = np.zeros((300, 300, 3), np.uint8), square_at(60, 60, 180) * 2
    plain = codeformer.paste(photo, [stored], [GREY_FACE], 2)
    large = codeformer.paste(photo, [stored], [np.full((1024, 1024, 3), 128, np.uint8)], 2, upsampled=True)
    here, there = (ends(one[..., 0] > 60) for one in (plain, large))
    assert np.abs(np.subtract(here, there)).max() <= 2


def test_the_way_back_is_exact() -> None:
    landmarks = template("arcface", 512) * 0.31 + RNG.normal(0, 5, (5, 2)) + 900
    matrix, back = gpen.estimate(landmarks), gpen.inverse(landmarks)
    np.testing.assert_allclose(back, inverse(matrix), atol=1e-3)
    assert scale_of(matrix) * scale_of(back) == pytest.approx(1, abs=1e-6)


def test_a_mirrored_face_is_never_mirrored() -> None:
    landmarks = template("arcface", 512) * [-1, 1] + [600, 0]
    assert np.linalg.det(gpen.estimate(landmarks)[:, :2]) > 0


def test_the_larger_mask_wins_in_any_order() -> None:
    places, faces = [square_at(60, 80, 150), square_at(190, 80, 150)], [FACE, FACE[::-1]]
    labels, boxes = [SKIN, SKIN], [BOX, BOX]
    one = gpen.paste(NOISE, places, faces, labels, boxes)
    other = gpen.paste(NOISE, places[::-1], faces[::-1], labels, boxes)
    assert changed(NOISE, one).sum() > 30_000
    np.testing.assert_array_equal(one, other)


def test_faces_of_a_low_score_are_dropped() -> None:
    doubtful = np.array([0, 0, 200, 200, 0.89])
    np.testing.assert_array_equal(gpen.paste(NOISE, [square_at(60, 80, 150)], [FACE], [SKIN], [doubtful]), NOISE)


def test_small_faces_are_softened() -> None:
    small = np.array([0, 0, 99, 200, 0.99])
    assert gpen.softened(FACE, small).std() < 0.5 * FACE.std()
    np.testing.assert_array_equal(gpen.softened(FACE, BOX), FACE)


def test_the_whole_square_is_pasted_with_a_hard_edge() -> None:
    matrix = inverse(square_at(100, 80, 128))
    result = sgpn.paste(np.zeros_like(NOISE), matrix, GREY_FACE)
    assert ends(changed(np.zeros_like(NOISE), result)) == (100, 80, 227, 207)
    assert (result[80:208, 100:228] == 128).all()


def test_past_its_edge_the_fixed_mask_shows_the_crop() -> None:
    crop = sgpn.crop(NOISE, np.array([[1.5, 0, 0], [0, 1.5, 0]]))
    mixed = sgpn.blended(crop, GREY_FACE).astype(int)
    assert set(np.unique(mixed[60:-60, 60:-60])) == {127, 128}  # cut off on the way to [-1, 1] and back
    assert np.abs(mixed[:8] - crop[:8]).max() <= 1


def test_coordinates_go_in_steps_of_a_32nd() -> None:
    x, y = sgpn.places(np.array([[0.31, 0.02, 5.013], [-0.02, 0.31, 7.7]]), 40, 30)
    assert x.shape == y.shape == (30, 40)
    np.testing.assert_array_equal(x * 32, np.rint(x * 32))
    np.testing.assert_allclose(x[12, 20], 0.31 * 20 + 0.02 * 12 + 5.013, atol=1 / 60)
