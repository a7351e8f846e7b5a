"""New files of photos: what another format can hold, and what is compared."""

import numpy as np
import pytest
from pictures import Plain

from stages.canvas import Canvas, bands
from stages.codec import Limits, all_codecs
from stages.enlarge import Enlarge, enlarged_by
from stages.output import fitted, hide, straight
from stages.photo import Face, FaultClass, Photo, PhotoFault, Pixels, Source
from stages.picture import Edit

RNG = np.random.default_rng(4)
NOISE = RNG.integers(0, 256, (30, 40, 3), dtype=np.uint8)


def test_deep_samples_become_eight_bit_where_the_format_has_no_more() -> None:
    deep = RNG.integers(0, 65536, (30, 40, 3)).astype(np.uint16)
    drawing, notes = fitted(Canvas(Plain(deep)), all_codecs()["WEBP"])
    assert notes == ["16 bit became 8 bit"]
    np.testing.assert_allclose(drawing.samples, deep / 257, atol=0.51)
    kept, notes = fitted(Canvas(Plain(deep)), all_codecs()["TIFF"])
    assert notes == []
    np.testing.assert_array_equal(kept.samples, deep)


def test_ink_becomes_srgb_where_the_format_has_none() -> None:
    ink = RNG.integers(0, 256, (30, 40, 4), dtype=np.uint8)
    canvas = Canvas(Plain(ink, space="CMYK"))
    drawing, notes = fitted(canvas, all_codecs()["PNG"])
    assert (drawing.space, drawing.icc, notes) == ("RGB", None, ["CMYK became sRGB"])
    np.testing.assert_array_equal(drawing.samples, canvas.rgb((0, 0, 40, 30)))


def test_transparency_is_refused_by_a_format_without_it() -> None:
    with pytest.raises(PhotoFault, match="JPEG has no transparency"):
        fitted(Canvas(Plain(np.dstack([NOISE, NOISE[..., 0]]))), all_codecs()["JPEG"])


def test_premultiplied_colours_are_divided_by_alpha() -> None:
    stored = np.array([[[60, 30, 0, 120], [0, 0, 0, 0], [255, 1, 2, 255]]], np.uint8)
    assert straight(stored).tolist() == [[[128, 64, 0, 120], [0, 0, 0, 0], [255, 1, 2, 255]]]


def test_what_lies_in_a_mask_is_not_outside() -> None:
    change = np.full((10, 10), 5, np.uint8)
    mask = np.zeros((4, 4), bool)
    mask[1:3, 1:3] = True
    hide(change, Edit(0, (104, 204, 108, 208), np.zeros((4, 4, 3), np.uint8), mask), (100, 200, 110, 210))
    assert (change == 0).sum() == 4
    assert (change[5:7, 5:7] == 0).all()


def test_the_window_of_a_crowd_is_worked_on_in_bands() -> None:
    found = bands((10, 20, 10_010, 5_020))
    assert found[0][:3] == (10, 20, 10_010)
    assert [one[3] for one in found[:-1]] == [one[1] for one in found[1:]]
    assert found[-1][3] == 5_020
    assert all((y1 - y0) * 10_000 <= 4_000_000 for _, y0, _, y1 in found)


class Upscaler:
    """Repeats pixels, or fails."""

    def __init__(self, scale: int, fails: bool = False) -> None:
        self.scale = scale
        self.fails = fails

    def enlarge(self, photo: Pixels) -> Pixels:
        if self.fails:
            raise FloatingPointError("nan")
        return photo.repeat(self.scale, axis=0).repeat(self.scale, axis=1)


@pytest.mark.parametrize("scale", [2, 4])
def test_a_network_of_another_scale_is_brought_to_the_one_asked_for(scale: int) -> None:
    ramp = np.repeat(np.arange(0, 160, 4, dtype=np.uint8)[None, :, None], 30, axis=0).repeat(3, axis=2)
    found = enlarged_by(Upscaler(2), Canvas(Plain(ramp)), (40 * scale, 30 * scale))
    assert found.shape == (30 * scale, 40 * scale, 3)
    assert np.diff(found[0, :, 0].astype(int)).max() <= (4 if scale == 2 else 3)


def test_an_upscaler_that_fails_costs_its_photo() -> None:
    face = Face(0, (0, 0, 9, 9), 1.0, restored=NOISE)
    photo = Photo(Source("f", "f"), picture=Plain(NOISE), faces=(face,))
    done = Enlarge(2, Limits(10**9, 10**9), Upscaler(2, fails=True))([photo])[0]
    assert done.fault is not None
    assert done.fault.kind is FaultClass.UNWRITABLE


def test_a_network_paints_no_colours_into_a_grey_photo() -> None:
    class Red(Upscaler):
        def enlarge(self, photo: Pixels) -> Pixels:
            return super().enlarge(photo) // 2 + np.array([90, 0, 0], np.uint8)

    grey = np.repeat(NOISE[..., :1], 3, axis=2)
    face = Face(0, (0, 0, 9, 9), 1.0, restored=NOISE)
    photo = Photo(Source("f", "f"), picture=Plain(grey), faces=(face,))
    done = Enlarge(2, Limits(10**9, 10**9), Red(2))([photo])[0]
    assert done.enlarged is not None
    samples = done.enlarged.samples(0)
    np.testing.assert_array_equal(samples[..., 0], samples[..., 1])
    np.testing.assert_array_equal(samples[..., 0], samples[..., 2])
