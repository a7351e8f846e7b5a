"""How often pages are decoded, and how long they are kept."""

import gc
import weakref
from collections.abc import Sequence

import numpy as np
import pytest
from codec_kit import edit, edited_samples, noise, saved, smooth
from numpy.typing import NDArray
from PIL import Image

from stages.codec import all_codecs
from stages.codecs import whole
from stages.codecs.whole import Kept
from stages.picture import Edit, Page, Samples, Window, Written, Xmp

WINDOWS: list[Window] = [(0, 0, 9, 9), (20, 30, 41, 60), (64, 48, 128, 96), (32, 16, 64, 48), (100, 0, 128, 96)]
OPTIONS: dict[str, dict[str, object]] = {"WEBP": {"lossless": True}, "TIFF": {"compression": "tiff_lzw"}}
WHOLE = ["AVIF", "BMP", "GIF", "JPEG2000", "PNG", "WEBP"]
BY_WINDOWS = ["JPEG", "TIFF"]


class Counted(Kept):
    """Pages of noise, decoded to half their size on request; remembers which were decoded, and how far."""

    format = "COUNTED"

    def __init__(self, *orientations: int) -> None:
        width_height = [(60, 40) if orientation < 5 else (40, 60) for orientation in orientations]
        super().__init__(
            [Page(*size, "RGB", orientation=turn) for size, turn in zip(width_height, orientations, strict=True)]
        )
        self.calls: list[tuple[int, int | None]] = []

    def decoded(self, page: int, least: int | None) -> Samples:
        self.calls.append((page, least))
        return noise(40, 60, 3, seed=page)[:: 2 if least else 1, :: 2 if least else 1]

    def write(self, edits: Sequence[Edit], xmp: Xmp) -> Written:
        return Written(self.edited(0, edits).tobytes(), "lossless", self.format)


@pytest.fixture(params=[0, whole.KEPT], ids=["large", "small"])
def large(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether every page counts as a large one."""
    monkeypatch.setattr(whole, "KEPT", request.param)
    return request.param == 0


def file_of(name: str) -> NDArray[np.uint8]:
    return saved(Image.fromarray(smooth()), name, **OPTIONS.get(name, {}))


def counted(name: str, monkeypatch: pytest.MonkeyPatch) -> tuple[Kept, list[int | None]]:
    """An opened file, and a list that grows by one each time its page is decoded."""
    picture = all_codecs()[name].open(file_of(name))
    assert isinstance(picture, Kept)
    calls: list[int | None] = []
    decode = picture.decoded

    def counting(page: int, least: int | None) -> Samples:
        calls.append(least)
        return decode(page, least)

    monkeypatch.setattr(picture, "decoded", counting)
    return picture, calls


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("name", WHOLE)
def test_a_page_of_any_size_is_decoded_once_for_all_faces_and_the_result(
    name: str, monkeypatch: pytest.MonkeyPatch, xmp: Xmp
) -> None:
    picture, calls = counted(name, monkeypatch)
    picture.samples(0, 16)
    for window in WINDOWS:
        picture.window(0, window)
    picture.write([edit(picture)], xmp)
    assert len(calls) == 1


@pytest.mark.parametrize("name", BY_WINDOWS)
def test_formats_that_read_windows_decode_no_page_for_them(
    name: str, large: bool, monkeypatch: pytest.MonkeyPatch, xmp: Xmp
) -> None:
    picture, calls = counted(name, monkeypatch)
    for window in WINDOWS:
        picture.window(0, window)
    picture.write([edit(picture)], xmp)
    assert len(calls) == (0 if large else 1)


@pytest.mark.parametrize("name", [*WHOLE, *BY_WINDOWS])
@pytest.mark.usefixtures("large")
def test_windows_are_those_of_the_whole_page_before_and_after_it_was_decoded(name: str) -> None:
    expected = all_codecs()[name].open(file_of(name)).samples(0)
    picture = all_codecs()[name].open(file_of(name))
    for _ in range(2):
        for x0, y0, x1, y1 in WINDOWS:
            np.testing.assert_array_equal(picture.window(0, (x0, y0, x1, y1)), expected[y0:y1, x0:x1])
        np.testing.assert_array_equal(picture.samples(0), expected)


def test_a_reduced_view_is_asked_for_where_a_page_is_large_and_is_not_taken_for_the_page(large: bool) -> None:
    picture = Counted(6)
    assert picture.samples(0, 16).shape == ((30, 20, 3) if large else (60, 40, 3))
    assert picture.samples(0).shape == (60, 40, 3)
    assert picture.samples(0, 16).shape == (60, 40, 3)
    assert picture.calls == ([(0, 16), (0, None)] if large else [(0, None)])


def test_only_the_last_page_is_kept() -> None:
    picture = Counted(1, 1)
    for page in (0, 0, 1, 1, 0):
        picture.window(page, (0, 0, 9, 9))
    assert picture.calls == [(0, None), (1, None), (0, None)]


def test_large_pages_can_be_let_go(large: bool) -> None:
    picture = Counted(1)
    picture.samples(0)
    picture.let_go()
    picture.samples(0)
    assert len(picture.calls) == (2 if large else 1)


def test_a_window_is_read_by_itself_only_of_a_large_page_that_is_not_at_hand(large: bool) -> None:
    picture = Counted(1)
    assert picture.by_windows(0) == large
    picture.samples(0)
    assert not picture.by_windows(0)


@pytest.mark.parametrize(("channels", "depth", "is_large"), [(3, 8, False), (4, 8, True), (3, 16, True)])
def test_a_page_is_large_by_the_bytes_of_its_samples(
    channels: int, depth: int, is_large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whole, "KEPT", 60 * 40 * 3)
    assert whole.is_large(Page(60, 40, "RGB", alpha=channels == 4, depth=depth)) == is_large


def test_edits_are_laid_over_a_copy_of_their_own_page() -> None:
    picture = Counted(1, 1)
    change = edit(picture)
    np.testing.assert_array_equal(picture.edited(0, [change]), edited_samples(picture, change))
    np.testing.assert_array_equal(picture.edited(1, [change]), noise(40, 60, 3, seed=1))
    np.testing.assert_array_equal(picture.samples(0), noise(40, 60, 3, seed=0))


@pytest.mark.parametrize("name", [*WHOLE, *BY_WINDOWS])
def test_an_opened_file_goes_with_its_last_user_not_with_the_next_collection(name: str) -> None:
    gc.disable()
    try:
        picture = all_codecs()[name].open(file_of(name))
        picture.samples(0)
        gone = weakref.ref(picture)
        del picture
        assert gone() is None
    finally:
        gc.enable()
