"""The quality measures follow the damage that they are named after, and never fail."""

import math

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import data

from models.quality.blockiness import blockiness
from models.quality.exposure import exposure
from models.quality.noise import noise
from models.quality.sharpness import sharpness
from models.quality_measure import all_measures, measure

Pixels = NDArray[np.uint8]
SIZES = [(1, 1), (1, 100), (2, 2), (3, 50), (4, 4), (5, 4), (5, 5), (8, 8), (17, 17), (64, 64)]
FILLS = ["black", "white", "flat", "random", "checks"]


@pytest.fixture(scope="module")
def photo() -> Pixels:
    return data.astronaut()


def filled(fill: str, height: int, width: int) -> Pixels:
    if fill == "random":
        return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    if fill == "checks":
        checks = np.indices((height, width)).sum(axis=0) % 2 * 255
        return np.repeat(checks[..., None], 3, axis=2).astype(np.uint8)
    return np.full((height, width, 3), {"black": 0, "white": 255, "flat": 100}[fill], dtype=np.uint8)


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("size", SIZES)
def test_every_measure_is_finite_for_any_picture(fill: str, size: tuple[int, int]) -> None:
    picture = filled(fill, *size)
    picture.setflags(write=False)
    assert all(math.isfinite(value) for value in measure(picture).values())


def test_the_measures_are_named_after_their_files() -> None:
    assert {"sharpness", "noise", "blockiness", "exposure"} <= set(all_measures())
    assert all(spec.better in {"higher", "lower"} for spec in all_measures().values())


def test_sharpness_falls_with_blur(photo: Pixels) -> None:
    figures = [sharpness(cv2.GaussianBlur(photo, (0, 0), blur).astype(np.uint8)) for blur in (0.5, 1, 2, 4)]
    assert figures == sorted(figures, reverse=True)
    assert 0 <= figures[-1] < figures[0] - 0.3


def test_sharpness_of_a_flat_picture_is_zero() -> None:
    assert sharpness(filled("flat", 64, 64)) == 0


@pytest.mark.parametrize("sigma", [3, 10, 20])
def test_noise_is_the_standard_deviation_of_white_noise(sigma: float) -> None:
    grain = np.random.default_rng(0).normal(128, sigma, (256, 256, 1)).repeat(3, axis=2)
    assert noise(np.clip(np.rint(grain), 0, 255).astype(np.uint8)) == pytest.approx(sigma, rel=0.1)


@pytest.mark.parametrize("offset", [0, 3, 7])
def test_blockiness_rises_with_jpeg_compression_wherever_the_grid_starts(photo: Pixels, offset: int) -> None:
    def at(quality: int) -> float:
        file = cv2.imencode(".jpg", photo, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        return blockiness(np.asarray(cv2.imdecode(file, cv2.IMREAD_COLOR), dtype=np.uint8)[offset:, offset:])

    assert at(20) > at(50) > at(80) > blockiness(photo[offset:, offset:]) >= 0


def test_exposure_falls_with_fading_and_with_clipping(photo: Pixels) -> None:
    faded = (photo * 0.4 + 100).astype(np.uint8)
    burnt = np.clip(photo * 3.0, 0, 255).astype(np.uint8)
    assert exposure(faded) < 0.5 * exposure(photo)
    assert exposure(burnt) < exposure(photo) <= 1
