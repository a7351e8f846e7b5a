"""Grey stays grey and sepia stays sepia."""

import cv2
import numpy as np
import pytest
from skimage import data

from stages.colour import LUMA, Floats
from stages.photo import Pixels
from stages.tone import fitted, tone_of

COLOUR: Pixels = np.asarray(data.astronaut(), np.uint8)
LUMAS: Floats = (COLOUR @ LUMA).astype(np.float32)


def tinted(shadow: tuple[int, int, int], light: tuple[int, int, int], grain: float = 2) -> Pixels:
    """The picture printed in one tone, with grain in each channel."""
    share = (LUMAS / 255)[..., None]
    toned = np.array(shadow) * (1 - share) + np.array(light) * share
    grown = toned + np.random.default_rng(1).normal(0, grain, toned.shape)
    return grown.round().clip(0, 255).astype(np.uint8)


SEPIA = tinted((40, 22, 10), (250, 228, 190))
CYANOTYPE = tinted((5, 20, 60), (225, 240, 250))
GREY = np.repeat(LUMAS.round().astype(np.uint8)[..., None], 3, axis=2)
DARK = np.full((9, 9, 3), 7, np.uint8)
RED = np.broadcast_to(np.array([60, -20, -20], np.float32), COLOUR.shape)


@pytest.mark.parametrize(
    ("picture", "kind"),
    [
        (COLOUR, "colour"),
        (SEPIA, "tinted"),
        (CYANOTYPE, "tinted"),
        (GREY, "grey"),
        (np.full((9, 9, 3), 7, np.uint8), "grey"),
    ],
)
def test_photos_without_colours_are_told_from_others(picture: Pixels, kind: str) -> None:
    assert tone_of(picture).kind == kind


def test_a_face_alone_is_no_sepia_photo() -> None:
    face = np.asarray(cv2.resize(COLOUR[40:190, 150:290], (512, 512), interpolation=cv2.INTER_CUBIC), np.uint8)
    assert tone_of(face).kind == "colour"


def test_a_red_change_of_a_grey_photo_is_grey() -> None:
    change = tone_of(GREY).along(GREY.astype(np.float32), RED)
    assert change.shape == GREY.shape
    assert (change == change[..., :1]).all()
    np.testing.assert_allclose(change[..., 0], RED[0, 0] @ LUMA, rtol=1e-5)


@pytest.mark.parametrize("picture", [SEPIA, CYANOTYPE])
def test_a_red_change_of_a_tinted_photo_follows_its_tint(picture: Pixels) -> None:
    levels = picture.astype(np.float32)
    tone = tone_of(picture)
    after = levels + tone.along(levels, RED)
    off_before = levels - (levels @ LUMA)[..., None] - tone.at((levels @ LUMA).astype(np.float32))
    off_after = after - (after @ LUMA)[..., None] - tone.at((after @ LUMA).astype(np.float32))
    np.testing.assert_allclose(off_after, off_before, atol=0.05)


def test_the_change_of_a_colour_photo_is_left_alone() -> None:
    assert tone_of(COLOUR).along(COLOUR.astype(np.float32), RED) is RED


def test_no_change_is_no_change() -> None:
    nothing = np.zeros(SEPIA.shape, np.float32)
    assert not tone_of(SEPIA).along(SEPIA.astype(np.float32), nothing).any()


@pytest.mark.parametrize(("share", "off"), [(0.02, (120, 0, -20)), (0.12, (12, 0, -12))])
def test_a_few_strong_or_many_faint_colours_make_a_colour_photo(share: float, off: tuple[int, int, int]) -> None:
    picture = GREY.astype(int).clip(20, 130)
    rows = round(len(picture) * share)
    picture[100 : 100 + rows : 1] += off
    lines = picture.clip(0, 255).astype(np.uint8)
    assert tone_of(lines).kind == "colour"


def test_a_tint_is_sought_in_photos_of_a_few_pixels_too() -> None:
    assert tone_of(np.full((1, 2, 3), (120, 90, 60), np.uint8)).kind == "tinted"


def test_a_stray_pixel_does_not_bend_the_line() -> None:
    luma, chroma = np.full(10_001, 100, np.float32), np.full((10_001, 2), 3, np.float32)
    luma[-1], chroma[-1] = 250, 90
    np.testing.assert_allclose(fitted(luma, chroma), 3)
