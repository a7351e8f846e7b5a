"""BMP: pixels of whole bytes are replaced in place, other kinds become 24 bits."""

import io
import struct

import cv2
import numpy as np
import pytest
from codec_kit import array, check_lossless, decodes_or_is_at_fault, edit, fault, noise, saved
from numpy.typing import NDArray
from PIL import Image

from stages.codecs.bmp import CODEC
from stages.photo import FaultClass
from stages.picture import Xmp

MASKS = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)


def bmp(
    size: int,
    bits: int,
    rows: bytes,
    *,
    compression: int = 0,
    masks: tuple[int, ...] = (),
    palette: bytes = b"",
    height: int = 24,
    icc: bytes = b"",
) -> NDArray[np.uint8]:
    """A file 40 pixels wide with a header of ``size`` bytes and a resolution of 600 dpi."""
    own = struct.pack("<IiiHHIIiiII", size, 40, height, 1, bits, compression, len(rows), 23622, 23622, 0, 0)
    extra = struct.pack(f"<{len(masks)}I", *masks)
    if size > 40:
        own = (own + extra).ljust(size, b"\0")
        extra = b""
    if icc:
        own = (
            own[:56] + b"DEBM" + own[60:112] + struct.pack("<II", size + len(palette) + len(rows), len(icc)) + bytes(4)
        )
    offset = 14 + len(own) + len(extra) + len(palette)
    whole = own + extra + palette + rows + icc
    return array(struct.pack("<2sIHHI", b"BM", 14 + len(whole), 0, 0, offset) + whole)


def shown(content: bytes, mode: str = "RGB") -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(content)).convert(mode))


def changed_bytes(old: NDArray[np.uint8], content: bytes) -> int:
    assert len(content) == old.size
    return int((array(content) != old).sum())


@pytest.mark.parametrize("height", [24, -24])
@pytest.mark.parametrize(
    ("size", "bits", "compression", "masks", "mode"),
    [
        (40, 24, 0, (), "RGB"),
        (40, 32, 0, (), "RGB"),
        (40, 32, 3, MASKS[:3], "RGB"),
        (40, 32, 3, (0xFF000000, 0xFF0000, 0xFF00), "RGB"),
        (108, 32, 3, MASKS, "RGBA"),
        (124, 24, 0, (), "RGB"),
        (124, 32, 3, MASKS, "RGBA"),
    ],
)
def test_pixels_of_whole_bytes_are_replaced_in_place(
    size: int, bits: int, compression: int, masks: tuple[int, ...], mode: str, height: int, xmp: Xmp
) -> None:
    data = bmp(size, bits, noise(24 * 40 * bits // 8).tobytes(), compression=compression, masks=masks, height=height)
    picture = CODEC.open(data)
    assert picture.pages[0].mode == mode
    np.testing.assert_array_equal(picture.samples(0), shown(data.tobytes(), mode))
    written = check_lossless(CODEC, data, xmp)
    assert (written.way, written.format) == ("segments", "BMP")
    assert "no XMP" in written.note
    touched = edit(picture).mask.sum() * 3
    assert touched * 0.98 < changed_bytes(data, written.content) <= touched
    np.testing.assert_array_equal(shown(written.content, mode), CODEC.open(array(written.content)).samples(0))


def test_rows_are_filled_up_to_whole_words(xmp: Xmp) -> None:
    for width in (37, 38, 39):
        source = noise(24, width, 3)
        data = saved(source, "BMP")
        np.testing.assert_array_equal(CODEC.open(data).samples(0), source)
        written = check_lossless(CODEC, data, xmp)
        found = cv2.imdecode(array(written.content), cv2.IMREAD_COLOR)
        assert found is not None
        np.testing.assert_array_equal(found[..., ::-1], CODEC.open(array(written.content)).samples(0))


def test_a_grey_ramp_stays_grey(xmp: Xmp) -> None:
    source = noise(24, 40)
    data = saved(source, "BMP")
    picture = CODEC.open(data)
    assert (picture.pages[0].mode, picture.pages[0].space) == ("L", "L")
    np.testing.assert_array_equal(picture.samples(0)[..., 0], source)
    written = check_lossless(CODEC, data, xmp)
    assert written.way == "segments"
    assert Image.open(io.BytesIO(written.content)).mode == "L"


@pytest.mark.parametrize("size", [40, 108, 124])
@pytest.mark.parametrize("height", [24, -24])
@pytest.mark.parametrize("bits", [4, 8, 16])
def test_other_kinds_become_24_bits_with_their_resolution_and_profile(
    bits: int, height: int, size: int, xmp: Xmp
) -> None:
    palette = noise(2**bits, 4).tobytes() if bits < 16 else b""
    icc = b"profile" if size == 124 else b""
    data = bmp(size, bits, noise(24 * 40 * bits // 8).tobytes(), palette=palette, height=height, icc=icc)
    picture = CODEC.open(data)
    np.testing.assert_array_equal(picture.samples(0), shown(data.tobytes()))
    written = check_lossless(CODEC, data, xmp)
    assert written.way == "converted"
    again = Image.open(io.BytesIO(written.content))
    assert (again.mode, again.info["dpi"]) == ("RGB", pytest.approx((600, 600), abs=0.1))
    np.testing.assert_array_equal(np.asarray(again), CODEC.open(array(written.content)).samples(0))
    assert CODEC.open(array(written.content)).pages[0].icc == (icc or None)
    assert struct.unpack_from("<I", written.content, 2)[0] == len(written.content)


def test_an_embedded_profile_is_read_and_kept(xmp: Xmp) -> None:
    data = bmp(124, 24, noise(24 * 120).tobytes(), icc=b"profile")
    assert CODEC.open(data).pages[0].icc == b"profile"
    assert check_lossless(CODEC, data, xmp).content.endswith(b"profile")


def test_run_lengths_become_24_bits(xmp: Xmp) -> None:
    palette = noise(256, 4).tobytes()
    rows = b"".join(bytes([20, line, 20, line + 100, 0, 0]) for line in range(24)) + b"\0\1"
    data = bmp(40, 8, rows, compression=1, palette=palette)
    np.testing.assert_array_equal(CODEC.open(data).samples(0), shown(data.tobytes()))
    assert check_lossless(CODEC, data, xmp).way == "converted"
    assert fault(CODEC, data[:-40]) is FaultClass.TRUNCATED


def test_the_oldest_headers_are_read(xmp: Xmp) -> None:
    palette = noise(256, 3).tobytes()
    own = struct.pack("<IHHHH", 12, 40, 24, 1, 8) + palette
    whole = own + noise(24 * 40).tobytes()
    data = array(struct.pack("<2sIHHI", b"BM", 14 + len(whole), 0, 0, 14 + len(own)) + whole)
    np.testing.assert_array_equal(CODEC.open(data).samples(0), shown(data.tobytes()))
    written = check_lossless(CODEC, data, xmp)
    np.testing.assert_array_equal(shown(written.content), CODEC.open(array(written.content)).samples(0))


def test_a_bilevel_page_is_handed_through(xmp: Xmp) -> None:
    data = saved(Image.fromarray(noise(24, 40)).convert("1"), "BMP")
    picture = CODEC.open(data)
    assert (picture.pages[0].passed, picture.pages[0].mode) == ("bilevel", "1")
    assert picture.samples(0).shape == (24, 40, 3)
    assert picture.write([], xmp).content == data.tobytes()


def test_the_file_given_is_never_written_to(xmp: Xmp) -> None:
    data = saved(noise(24, 40, 3), "BMP").copy()
    before = data.copy()
    picture = CODEC.open(data)
    picture.write([edit(picture)], xmp)
    np.testing.assert_array_equal(data, before)


def test_colours_that_are_not_whole_bytes_of_32_bits_are_unsupported() -> None:
    data = bmp(40, 32, bytes(24 * 160), compression=3, masks=(0x3FF00000, 0xFFC00, 0x3FF))
    assert fault(CODEC, data) is FaultClass.UNSUPPORTED
    assert fault(CODEC, bmp(40, 24, b"jpeg", compression=4)) is FaultClass.UNSUPPORTED


def test_a_file_cut_short_is_truncated_wherever_it_is_cut() -> None:
    for whole in (saved(noise(24, 40, 3), "BMP"), saved(Image.fromarray(noise(24, 40, 3)).quantize(16), "BMP")):
        for stop in (20, 50, whole.size // 3, whole.size * 2 // 3, whole.size - 1):
            assert fault(CODEC, whole[:stop]) is FaultClass.TRUNCATED


@pytest.mark.parametrize("bits", [8, 24])
def test_damaged_files_decode_or_are_a_photos_fault(bits: int, xmp: Xmp) -> None:
    dice = np.random.default_rng(1839)
    whole = bmp(124, bits, noise(24 * 5 * bits).tobytes(), palette=bytes(1024) if bits == 8 else b"", icc=b"p")
    for _ in range(300):
        broken = whole.copy()
        broken[[14 + dice.integers(4), *dice.integers(10, 70, 2)]] = dice.integers(0, 256, 3)
        broken[14:18] = whole[14:18] if dice.integers(2) else [40, 0, 0, 0]
        broken[22:24] = 0  # no more rows than a test can wait for
        decodes_or_is_at_fault(CODEC, broken, lambda picture: picture.write([edit(picture)], xmp))


@pytest.mark.parametrize("masks", [(0xFF0000, 0xFF0000, 0xFF), (0xFF0000, 0, 0xFF)])
def test_colours_without_a_byte_of_their_own_are_unsupported(masks: tuple[int, ...]) -> None:
    assert fault(CODEC, bmp(40, 32, bytes(24 * 160), compression=3, masks=masks)) is FaultClass.UNSUPPORTED
