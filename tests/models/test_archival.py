"""The ageing that the own restorer is trained on and judged by."""

import numpy as np
import pytest

from models.degradations.archival import Strength, judged, toned, training
from models.degradations.chain import Degradation, Image
from models.degradations.optics import at_scale, motion, stretched_blur
from models.degradations.press import halftone
from models.degradations.surface import blotches, folds


def picture(side: int = 96) -> Image:
    y, x = np.mgrid[:side, :side] / side
    return np.stack([0.5 + 0.4 * np.sin(9 * x), 0.3 + 0.5 * y, 0.5 + 0.3 * np.cos(7 * (x + y))], -1).astype(np.float32)


def error(one: Image, other: Image) -> float:
    return float(((one - other) ** 2).mean())


def test_the_same_generator_gives_the_same_pair() -> None:
    first, second = (training(96).apply(picture(), np.random.default_rng(4)) for _ in range(2))
    np.testing.assert_array_equal(first.photo, second.photo)
    np.testing.assert_array_equal(first.truth, second.truth)


def test_some_of_the_training_faces_are_hardly_damaged_and_most_are() -> None:
    pairs = [training(96).apply(picture(), np.random.default_rng(seed)) for seed in range(60)]
    errors = np.array([error(pair.truth, pair.photo) for pair in pairs])
    assert 3 <= (errors < 2e-5).sum() <= 20
    assert (errors > 3e-4).sum() >= 30


def test_gentle_damage_is_less_damage() -> None:
    def mean_error(gentle: float) -> float:
        pairs = [training(96, gentle).apply(picture(), np.random.default_rng(seed)) for seed in range(60)]
        return float(np.mean([error(pair.truth, pair.photo) for pair in pairs]))

    assert 3e-5 < mean_error(1) < mean_error(0.4) * 0.8 < mean_error(0) * 0.8


def test_harsh_damage_is_more_damage_and_never_of_those_that_are_gentle() -> None:
    def mean_error(gentle: float, harsh: float) -> float:
        pairs = [training(96, gentle, harsh).apply(picture(), np.random.default_rng(seed)) for seed in range(60)]
        return float(np.mean([error(pair.truth, pair.photo) for pair in pairs]))

    assert mean_error(0, 1) > 1.15 * mean_error(0, 0.4) > 1.15**2 * mean_error(0, 0)
    assert mean_error(1, 1) == mean_error(1, 0)


def test_what_comes_out_is_a_picture_in_eight_bits() -> None:
    for seed in range(20):
        photo = training(96).apply(picture(), np.random.default_rng(seed)).photo
        assert photo.shape == (96, 96, 3)
        assert photo.dtype == np.float32
        np.testing.assert_allclose(photo * 255, np.rint(photo * 255), atol=1e-3)
        assert photo.min() >= 0
        assert photo.max() <= 1


def test_the_tone_is_the_same_for_truth_and_photo() -> None:
    """Half of the grey prints are sepia: whatever was drawn, damage moves the mean colour little."""
    for seed in range(20):
        pair = training(96).apply(picture(), np.random.default_rng(seed))
        drift = pair.truth.mean((0, 1)) - pair.photo.mean((0, 1))
        assert np.abs(drift).max() < 0.06


def test_tones_differ() -> None:
    tones = [toned()(picture(), np.random.default_rng(seed)) for seed in range(30)]
    grey = [np.ptp(tone, axis=2).max() < 0.01 for tone in tones]
    assert any(grey)
    assert not all(grey)


@pytest.mark.parametrize("side", [96, 192])
def test_strengths_are_in_order(side: int) -> None:
    strengths: tuple[Strength, ...] = ("mild", "medium", "heavy")
    errors = [error(judged(name, side)(picture(side), np.random.default_rng(2)), picture(side)) for name in strengths]
    assert errors[0] < errors[1] / 1.5
    assert errors[1] < errors[2] / 1.5


def test_a_screen_keeps_the_mean_light_and_is_finer_than_its_pitch() -> None:
    flat = np.full((64, 64, 3), 0.6, np.float32)
    printed = halftone(4.0, 30)(flat, np.random.default_rng(0))
    assert float(printed.mean()) == pytest.approx(0.6, abs=0.05)
    assert float(printed.std()) > 0.2


@pytest.mark.parametrize("angle", [0.0, 90.0])
def test_motion_blurs_along_its_angle_alone(angle: float) -> None:
    stripes = np.zeros((64, 64, 3), np.float32)
    stripes[:, ::8] = 1
    moved = motion(8, angle)(stripes, np.random.default_rng(0))
    assert (moved[8:-8, 8:-8].std() < 0.1) == (angle == 0)


def test_a_stretched_blur_is_wider_along_its_angle() -> None:
    point = np.zeros((41, 41, 3), np.float32)
    point[20, 20] = 1
    soft = stretched_blur(4, 1, 0)(point, np.random.default_rng(0))[..., 0]
    assert soft[20, 26] > 10 * soft[26, 20]


def test_damage_at_a_lower_resolution_is_coarser() -> None:
    def spots(image: Image, rng: np.random.Generator) -> Image:
        return np.where(rng.random(image.shape[:2])[..., None] < 0.2, 1, image).astype(np.float32)

    fine = spots(picture(), np.random.default_rng(1))
    coarse = at_scale(3, spots)(picture(), np.random.default_rng(1))
    assert coarse.shape == fine.shape
    assert np.abs(np.diff(coarse, axis=1)).mean() < np.abs(np.diff(fine, axis=1)).mean() / 1.5


@pytest.mark.parametrize("step", [folds(2), blotches(3, 6)])
def test_paper_damage_touches_a_part_alone(step: Degradation) -> None:
    changed = np.abs(step(picture(), np.random.default_rng(3)) - picture()).max(axis=2) > 0.01
    assert 0.01 < changed.mean() < 0.5
