"""New files of photos: what another format can hold, and what is compared."""

import io
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from pictures import Plain, edited
from PIL import Image

from stages.canvas import Canvas, bands
from stages.codec import Limits, all_codecs
from stages.enlarge import Enlarge, enlarged_by
from stages.enlarged import Enlarged
from stages.output import Wanted, fitted, hide, largest_outside, produce, resolution, single, straight
from stages.photo import Face, FaultClass, Photo, PhotoFault, Pixels, Source
from stages.picture import Drawing, Edit, Picture, Written
from stages.xmp_reader import UnreadablePacketError

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
    assert straight(np.array([[[200, 30, 0, 120]]], np.uint8)).tolist() == [[[255, 64, 0, 120]]]  # brighter than white


def test_a_new_file_holds_straight_colours() -> None:
    picture = Plain(np.full((4, 4, 4), (60, 30, 0, 120), np.uint8))
    picture.pages = [replace(picture.pages[0], premultiplied=True)]
    assert fitted(Canvas(picture), all_codecs()["PNG"])[0].samples[0, 0].tolist() == [128, 64, 0, 120]


def test_grey_becomes_srgb_where_the_format_has_none() -> None:
    drawing, notes = fitted(Canvas(Plain(NOISE[..., :1], space="L")), all_codecs()["WEBP"])
    assert (drawing.space, notes) == ("RGB", ["L became sRGB"])
    np.testing.assert_array_equal(drawing.samples, NOISE[..., :1].repeat(3, axis=2))


@pytest.mark.parametrize(
    ("passed", "alone"), [(["thumbnail", "mask"], True), (["thumbnail", ""], False), (["bilevel"], False), ([], True)]
)
def test_thumbnails_and_masks_are_no_further_pages(passed: list[str], alone: bool) -> None:
    picture = Plain(*[NOISE] * (1 + len(passed)))
    others = zip(picture.pages[1:], passed, strict=True)
    picture.pages = [picture.pages[0], *(replace(page, passed=reason) for page, reason in others)]
    assert single(picture) == alone


def test_a_resolution_is_two_numbers_that_make_sense() -> None:
    assert resolution((300, 299.5)) == (300.0, 299.5)
    senseless = (None, 72, (72,), ("a", 1), (0, 72), (72, -1), (float("nan"), 72), (72, float("inf")), (1e7, 72))
    assert [resolution(dpi) for dpi in senseless] == [None] * len(senseless)


EDIT = Edit(0, (10, 10, 14, 14), NOISE[10:14, 10:14] // 2, np.eye(4, dtype=bool))


def outside(way: str, *changes: tuple[int, int, int]) -> int:
    """What is measured of a result in which pixels (x, y) are larger by a number of levels."""
    picture = Plain(NOISE // 2)
    samples = edited(picture, 0, [EDIT])
    for x, y, levels in changes:
        samples[y, x, 1] += levels
    create = all_codecs()["PNG"].create
    assert create is not None
    content = create(Drawing(samples, "RGB", alpha=False))
    photo = Photo(Source("f", "f"), picture=picture, edits=(EDIT,))
    return largest_outside(photo, picture, Written(content, way, "PNG"))  # type: ignore[arg-type]


def test_the_largest_change_outside_the_masks_is_sought_where_the_way_can_make_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("stages.output.AROUND", 8)
    assert outside("recoded", (39, 29, 9), (0, 0, 3)) == 9
    assert outside("recoded", (11, 11, 9), (0, 0, 3)) == 3  # in the mask
    assert outside("dct", (9, 9, 7), (12, 11, 5)) == 7
    assert outside("recoded") == outside("dct") == 0
    assert outside("lossless", (0, 0, 3)) == 0


def opened(content: bytes, name: str) -> tuple[Photo, Picture]:
    data: NDArray[np.uint8] = np.frombuffer(content, np.uint8)
    picture = all_codecs()[name].open(data)
    window = picture.window(0, (10, 10, 14, 14))
    changed = Edit(0, (10, 10, 14, 14), window // 2, np.ones((4, 4), bool))
    return Photo(Source("f", "f"), data=data, format=name, picture=picture, edits=(changed,)), picture


def saved(kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image = Image.fromarray(NOISE)
    (image.quantize(16) if options.pop("palette", False) else image).save(out, kind, **options)
    return out.getvalue()


def test_exif_goes_into_another_format_without_the_prefix_of_jpeg() -> None:
    exif = Image.Exif()
    exif[271] = "a maker"
    content, output = produce(*opened(saved("JPEG", exif=exif), "JPEG"), Wanted(format="PNG"), lambda _: b"<x/>")
    assert output.way == "converted"
    place = content.index(b"eXIf") + 4
    assert content[place : place + 2] in {b"MM", b"II"}
    with Image.open(io.BytesIO(content)) as image:
        assert image.getexif()[271] == "a maker"


def test_a_packet_that_cannot_be_read_does_not_go_into_another_format() -> None:
    def record(packet: bytes | None) -> bytes:
        raise UnreadablePacketError(f"{packet!r}")

    content, output = produce(*opened(saved("WEBP", lossless=True, xmp=b"<bro"), "WEBP"), Wanted(format="PNG"), record)
    assert b"XML:com.adobe.xmp" not in content
    assert "b'<bro'" in output.note


def test_a_palette_that_is_drawn_anew_in_its_own_format_is_converted() -> None:
    for palette, way in ((True, "converted"), (False, "lossless")):
        photo, picture = opened(saved("PNG", palette=palette), "PNG")
        large = picture.samples(0).repeat(2, axis=0).repeat(2, axis=1)
        photo = replace(photo, enlarged=Enlarged(picture, 2, large))
        content, output = produce(photo, picture, Wanted(scale=2), lambda _: b"<x/>")
        assert output.way == way
        with Image.open(io.BytesIO(content)) as image:
            assert image.size == (80, 60)


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


def test_a_canvas_shows_the_edits_of_its_page_and_leaves_its_raster_alone() -> None:
    pages = NOISE.copy(), NOISE.copy()
    edits = [Edit(page, (10, 10, 14, 14), np.full((4, 4, 3), page, np.uint8), np.ones((4, 4), bool)) for page in (0, 1)]
    seen = Canvas(Plain(*pages), 0, edits).samples((12, 8, 20, 12))
    expected = NOISE[8:12, 12:20].copy()
    expected[2:, :2] = 0
    np.testing.assert_array_equal(seen, expected)
    np.testing.assert_array_equal(pages[0], NOISE)
