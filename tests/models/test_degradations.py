"""Degradations: shape, range, seeds, and that each does what it is named after."""

import numpy as np
import pytest
from skimage.data import astronaut

from models.degradations.chain import Ageing, Degradation, Image, compose, drawn, sometimes
from models.degradations.codec import jpeg
from models.degradations.film import grain
from models.degradations.optics import blur, defocus, resample
from models.degradations.surface import dust, scratches
from models.degradations.tone import duotone, fade, sepia

ALL: dict[str, Degradation] = {
    "blur": blur(1.5),
    "defocus": defocus(2.2),
    "resample": resample(2.5),
    "grain": grain(0.1, 0.8, 0.3),
    "fade": fade(0.7, 0.1),
    "sepia": sepia(0.9),
    "duotone": duotone((0.1, 0.1, 0.2), (1, 1, 0.9)),
    "scratches": scratches(4),
    "dust": dust(15),
    "jpeg": jpeg(40),
}


@pytest.fixture(scope="module")
def image() -> Image:
    return (astronaut()[40:200, 120:260] / 255).astype(np.float32)


def grey(level: float, side: int = 128) -> Image:
    return np.full((side, side, 3), level, np.float32)


def rng(seed: int = 7) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("name", ALL)
def test_contract(name: str, image: Image) -> None:
    """Same shape and type, in [0, 1], changed, the input untouched, the same for the same seed."""
    given = image.copy()
    given.flags.writeable = False
    result = ALL[name](given, rng())
    assert result.shape == image.shape
    assert result.dtype == np.float32
    assert result.min() >= 0
    assert result.max() <= 1
    assert not np.array_equal(result, image)
    np.testing.assert_array_equal(result, ALL[name](given, rng()))


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 40, 3)])
def test_tiny_images(name: str, shape: tuple[int, int, int]) -> None:
    assert ALL[name](np.full(shape, 0.4, np.float32), rng()).shape == shape


@pytest.mark.parametrize("name", ["grain", "scratches", "dust"])
def test_other_seeds_give_other_damage(name: str, image: Image) -> None:
    assert not np.array_equal(ALL[name](image, rng(1)), ALL[name](image, rng(2)))


@pytest.mark.parametrize("step", [blur(2), defocus(3), resample(3)])
def test_optics_lose_detail_but_no_light(step: Degradation, image: Image) -> None:
    result = step(image, rng())
    assert np.abs(np.diff(result, axis=1)).mean() < 0.8 * np.abs(np.diff(image, axis=1)).mean()
    assert result.mean() == pytest.approx(image.mean(), abs=0.005)


def test_grain_follows_the_light() -> None:
    """Standard deviation as asked for at mid-grey, less towards black and white, none at the ends."""
    spread = {level: float(grain(0.08)(grey(level), rng()).std()) for level in (0.0, 0.1, 0.5, 0.9, 1.0)}
    assert spread[0.5] == pytest.approx(0.08, rel=0.05)
    assert spread[0.0] == spread[1.0] == 0
    assert spread[0.1] == pytest.approx(0.6 * 0.08, rel=0.1)
    assert spread[0.9] == pytest.approx(0.6 * 0.08, rel=0.1)


def test_grain_hangs_together() -> None:
    def neighbours(size: float) -> float:
        noise = grain(0.05, size)(grey(0.5), rng())[..., 0] - 0.5
        return float(np.corrcoef(noise[:, 1:].ravel(), noise[:, :-1].ravel())[0, 1])

    assert abs(neighbours(0)) < 0.03
    assert neighbours(1) > 0.7


def test_silver_grain_has_no_colour_and_dye_grain_has() -> None:
    silver, dye = (grain(0.08, 1, colour)(grey(0.5), rng()) for colour in (0, 1))
    assert np.ptp(silver, axis=2).max() < 1e-6
    assert np.ptp(dye, axis=2).mean() > 0.05
    assert dye.std() == pytest.approx(0.08, rel=0.05)


def test_fade_raises_black_and_flattens() -> None:
    step = fade(0.6, 0.1)
    levels = [float(step(grey(level, 2), rng()).mean()) for level in (0, 0.5, 1)]
    assert levels == pytest.approx([0.1 + 0.9 * 0.2, 0.1 + 0.9 * 0.5, 0.1 + 0.9 * 0.8])


def test_sepia_is_warm_and_keeps_black() -> None:
    red, green, blue = sepia(1)(grey(0.5, 2), rng())[0, 0]
    assert red > green > blue
    assert not sepia(1)(grey(0, 2), rng()).any()


def test_duotone_ends_in_its_colours() -> None:
    step = duotone((0.1, 0.2, 0.3), (0.9, 0.8, 0.7))
    assert step(grey(0, 1), rng())[0, 0] == pytest.approx([0.1, 0.2, 0.3])
    assert step(grey(1, 1), rng())[0, 0] == pytest.approx([0.9, 0.8, 0.7])


@pytest.mark.parametrize("step", [scratches(3), dust(10)])
def test_surface_damage_is_local(step: Degradation) -> None:
    changed = (step(grey(0.5), rng()) != 0.5).any(axis=2).mean()
    assert 0 < changed < 0.2


def test_nothing_to_do_changes_nothing(image: Image) -> None:
    for step in (compose(), scratches(0), dust(0), sometimes(0, blur(3))):
        np.testing.assert_array_equal(step(image, rng()), image)


def test_lower_jpeg_quality_is_worse(image: Image) -> None:
    errors = [float(np.abs(jpeg(quality)(image, rng()) - image).mean()) for quality in (90, 50, 10)]
    assert errors == sorted(errors)


def test_compose_keeps_the_order() -> None:
    dark_first = compose(fade(0, 0), fade(1, 0.5))(grey(0.2, 2), rng())
    assert dark_first[0, 0, 0] == pytest.approx(0.75)


def test_drawn_takes_a_new_figure_each_time(image: Image) -> None:
    step = drawn(lambda generator: generator.uniform(0.5, 4), blur)
    generator = rng()
    assert not np.array_equal(step(image, generator), step(image, generator))


def test_ageing_tones_truth_and_photo_but_damages_the_photo_alone(image: Image) -> None:
    aged = Ageing(sepia(1), jpeg(30)).apply(image, rng())
    np.testing.assert_array_equal(aged.truth, sepia(1)(image, rng()))
    np.testing.assert_array_equal(aged.photo, jpeg(30)(aged.truth, rng()))
