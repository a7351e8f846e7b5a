"""TIFF: samples in every form of storage, turned upright, edited and read back by other libraries."""

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from codec_kit import WINDOW, XMP, array, check_lossless, edit, edited_samples, noise, saved
from PIL import Image, ImageOps
from tiff_kit import read, tiff, turned_bits

from stages.codecs.tiff import CODEC
from stages.picture import Drawing, Edit, Samples, Xmp
from stages.tiff.directory import File
from stages.turn import stored

DEEP = np.uint16
SHAPES = {"L": (24, 40), "RGB": (24, 40, 3), "CMYK": (24, 40, 4)}
PHOTOMETRICS = {"L": "minisblack", "RGB": "rgb", "CMYK": "separated"}


def deep(*shape: int) -> Samples:
    return noise(*shape, dtype=DEEP)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("tiles", [{"rowsperstrip": 7}, {"tile": (16, 16)}], ids=["strips", "tiles"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize(
    ("compression", "predictor"),
    [
        (None, False),
        ("packbits", False),
        ("lzw", False),
        ("lzw", True),
        ("adobe_deflate", False),
        ("adobe_deflate", True),
        ("deflate", True),
        ("zstd", True),
    ],
)
@pytest.mark.parametrize("dtype", [np.uint8, DEEP])
def test_every_form_of_storage_keeps_all_samples_but_the_edited(
    order: str,
    tiles: dict[str, int],
    planar: str,
    compression: str | None,
    predictor: bool,
    dtype: type[np.uint8] | type[np.uint16],
    xmp: Xmp,
) -> None:
    source = noise(24, 40, 3, dtype=dtype) // dtype(3)
    kept = np.ascontiguousarray(np.moveaxis(source, 2, 0)) if planar == "separate" else source
    form: dict[str, Any] = {"compression": compression, "predictor": predictor, "planarconfig": planar, **tiles}
    data = tiff(kept, order=order, photometric="rgb", **form)
    picture = CODEC.open(data)
    np.testing.assert_array_equal(picture.samples(0), source)
    written = check_lossless(CODEC, data, xmp)
    assert (written.way, written.format, written.note) == ("segments", "TIFF", "")
    assert CODEC.open(array(written.content)).pages == picture.pages
    np.testing.assert_array_equal(read(written.content), edited_samples(picture, edit(picture)))


@pytest.mark.parametrize("space", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("dtype", [np.uint8, DEEP])
def test_depth_and_colours_stay(space: str, dtype: type[np.uint8] | type[np.uint16], xmp: Xmp) -> None:
    source = noise(*SHAPES[space], dtype=dtype)
    data = tiff(source, photometric=PHOTOMETRICS[space], compression="lzw", rowsperstrip=5)
    page = CODEC.open(data).pages[0]
    assert (page.space, page.alpha, page.depth) == (space, False, 8 * source.itemsize)
    np.testing.assert_array_equal(CODEC.open(data).samples(0).squeeze(), source)
    check_lossless(CODEC, data, xmp)


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "packbits"])
@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "CMYK"])
def test_pillow_reads_what_was_written_and_its_files_are_understood(
    compression: str | None, mode: str, xmp: Xmp
) -> None:
    image = Image.fromarray(noise(24, 40, 3)).convert(mode)
    data = saved(image, "TIFF", compression=compression)
    assert CODEC.open(data).pages[0].mode == mode
    written = check_lossless(CODEC, data, xmp)
    with Image.open(io.BytesIO(written.content)) as again:
        assert again.mode == mode
        shown = np.asarray(again).reshape(24, 40, -1)
    np.testing.assert_array_equal(shown, CODEC.open(array(written.content)).samples(0))


@pytest.mark.parametrize("dtype", [np.uint8, DEEP])
@pytest.mark.parametrize("compression", [None, "lzw", "adobe_deflate"])
def test_libtiff_reads_what_was_written(
    compression: str | None, dtype: type[np.uint8] | type[np.uint16], xmp: Xmp
) -> None:
    data = tiff(noise(24, 40, 3, dtype=dtype), photometric="rgb", compression=compression, rowsperstrip=4)
    written = check_lossless(CODEC, data, xmp)
    again = cv2.imdecode(array(written.content), cv2.IMREAD_UNCHANGED)
    assert again is not None
    np.testing.assert_array_equal(again[..., ::-1], CODEC.open(array(written.content)).samples(0))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_shown_upright_and_stored_as_it_was(orientation: int, xmp: Xmp) -> None:
    image = Image.fromarray(noise(32, 40, 3))
    data = saved(image, "TIFF", compression="tiff_lzw", tiffinfo={274: orientation})
    exif = image.getexif()
    exif[274] = orientation
    picture = CODEC.open(data)
    np.testing.assert_array_equal(picture.samples(0), np.asarray(ImageOps.exif_transpose(image)))
    change = edit(picture)
    written = check_lossless(CODEC, data, xmp)
    with tifffile.TiffFile(io.BytesIO(written.content)) as file:
        first = file.pages[0]
        assert isinstance(first, tifffile.TiffPage)
        assert first.tags.valueof(274) == orientation
    np.testing.assert_array_equal(read(written.content), stored(edited_samples(picture, change), orientation))


def test_only_what_the_mask_covers_counts(xmp: Xmp) -> None:
    data = tiff(noise(24, 40, 3), photometric="rgb", compression="lzw", rowsperstrip=7)
    picture = CODEC.open(data)
    mask = np.zeros((16, 20), np.bool_)
    mask[3:5, 7:9] = True
    change = Edit(0, WINDOW, np.full((16, 20, 3), 9, np.uint8), mask)
    again = CODEC.open(array(picture.write([change], xmp).content)).samples(0)
    expected = np.array(picture.samples(0))
    expected[6:8, 12:14] = 9
    np.testing.assert_array_equal(again, expected)


def test_white_is_zero_is_shown_with_black_at_zero_and_goes_back(xmp: Xmp) -> None:
    source = noise(24, 40)
    data = tiff(source, photometric="miniswhite", compression="lzw")
    np.testing.assert_array_equal(CODEC.open(data).samples(0)[..., 0], 255 - source)
    written = check_lossless(CODEC, data, xmp)
    np.testing.assert_array_equal(255 - read(written.content), CODEC.open(array(written.content)).samples(0))


@pytest.mark.parametrize("compression", [None, "lzw"])
def test_reversed_bits_are_turned_and_turned_back(compression: str | None, xmp: Xmp) -> None:
    source = deep(24, 40)
    extra = [(65001, 3, 1, 2, True)]
    plain = tiff(source, photometric="minisblack", compression=compression, extratags=extra)
    data = array(reversed_file(plain.tobytes()))
    np.testing.assert_array_equal(CODEC.open(data).samples(0)[..., 0], source)
    written = check_lossless(CODEC, data, xmp)
    np.testing.assert_array_equal(read(written.content), CODEC.open(array(written.content)).samples(0))


def reversed_file(content: bytes) -> bytes:
    """A file of one strip with its private tag 65001 made FillOrder, and the strip's bits turned over."""
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        first = file.pages[0]
        assert isinstance(first, tifffile.TiffPage)
        at, size = first.dataoffsets[0], first.databytecounts[0]
    content = content[:at] + turned_bits(content[at : at + size]) + content[at + size :]
    return content.replace(b"\xe9\xfd\x03\0\x01\0\0\0", b"\x0a\x01\x03\0\x01\0\0\0")


@pytest.mark.parametrize(("extra", "alpha"), [("unassalpha", True), ("assocalpha", True), ("unspecified", False)])
def test_alpha_is_shown_and_other_channels_stay_unseen(extra: str, alpha: bool, xmp: Xmp) -> None:
    source = noise(24, 40, 4)
    data = tiff(source, photometric="rgb", extrasamples=[extra], compression="lzw")
    picture = CODEC.open(data)
    assert picture.pages[0].alpha is alpha
    np.testing.assert_array_equal(picture.samples(0), source[..., : 3 + alpha])
    written = check_lossless(CODEC, data, xmp)
    np.testing.assert_array_equal(read(written.content)[..., 3], source[..., 3])


@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_many_channels_beside_the_colours_stay(planar: str, xmp: Xmp) -> None:
    source = noise(24, 40, 6)
    kept = np.ascontiguousarray(np.moveaxis(source, 2, 0)) if planar == "separate" else source
    data = tiff(kept, photometric="rgb", planarconfig=planar, extrasamples=[1, 0, 0], compression="lzw")
    assert CODEC.open(data).pages[0].mode == "RGB"
    written = check_lossless(CODEC, data, xmp)
    np.testing.assert_array_equal(read(written.content)[..., 3:], source[..., 3:])


def test_windows_of_large_pages_are_read_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stages.codecs.whole.KEPT", 100)
    data = saved(Image.fromarray(noise(24, 40, 3)), "TIFF", compression="tiff_lzw", tiffinfo={274: 6})
    whole = CODEC.open(data).samples(0)
    np.testing.assert_array_equal(CODEC.open(data).window(0, (3, 5, 20, 31)), whole[5:31, 3:20])


def test_bigtiff_stays_bigtiff(xmp: Xmp) -> None:
    data = tiff(deep(24, 40, 3), deep(24, 40, 3), bigtiff=True, photometric="rgb", compression="lzw", order=">")
    written = check_lossless(CODEC, data, xmp)
    with tifffile.TiffFile(io.BytesIO(written.content)) as file:
        assert file.is_bigtiff
        assert len(file.pages) == 2
    np.testing.assert_array_equal(read(written.content, 1), read(data.tobytes(), 1))


@pytest.mark.parametrize("name", ["cmyk.tif", "orientation_6.tif", "rgb16.tif", "three_pages.tif"])
def test_real_files_come_out_with_all_other_samples(name: str, formats: Path, xmp: Xmp) -> None:
    data = np.fromfile(formats / name, np.uint8)
    picture = CODEC.open(data)
    written = check_lossless(CODEC, data, xmp)
    again = CODEC.open(array(written.content))
    assert again.pages == picture.pages
    for page in range(1, len(picture.pages)):
        np.testing.assert_array_equal(again.samples(page), picture.samples(page))


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, DEEP])
@pytest.mark.parametrize(("space", "colours"), [("L", 1), ("RGB", 3), ("CMYK", 4)])
def test_a_new_file_holds_what_the_drawing_says(
    space: str, colours: int, dtype: type[np.uint8] | type[np.uint16], alpha: bool
) -> None:
    source = noise(24, 40, colours + alpha, dtype=dtype)
    match space:
        case "L":
            drawing = Drawing(source, "L", alpha, b"profile", None, XMP, (300.0, 299.5))
        case "RGB":
            drawing = Drawing(source, "RGB", alpha, b"profile", None, XMP, (300.0, 299.5))
        case _:
            drawing = Drawing(source, "CMYK", alpha, b"profile", None, XMP, (300.0, 299.5))
    assert CODEC.create is not None
    content = CODEC.create(drawing)
    page = CODEC.open(array(content)).pages[0]
    assert (page.space, page.alpha, page.depth, page.icc) == (space, alpha, 8 * source.itemsize, b"profile")
    np.testing.assert_array_equal(CODEC.open(array(content)).samples(0), source)
    np.testing.assert_array_equal(read(content), source)
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        first = file.pages[0]
        assert isinstance(first, tifffile.TiffPage)
        assert first.tags.valueof(700) == XMP
        assert first.get_resolution("inch") == (300.0, 299.5)


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_new_file_keeps_the_exif_block_and_is_upright(order: str) -> None:
    exif = Image.Exif()
    exif.endian = order
    exif[274], exif[271] = 6, "a maker with a long name"
    exif.get_ifd(0x8769)[0x9003] = "1927:08:01 12:00:00"
    exif.get_ifd(0x8825)[1] = "N"
    block = exif.tobytes()[6:]
    assert CODEC.create is not None
    content = CODEC.create(Drawing(noise(24, 40, 3), "RGB", alpha=False, exif=block))
    with Image.open(io.BytesIO(content)) as image:
        found = image.getexif()
        assert (found[274], found[271]) == (1, exif[271])
        assert found.get_ifd(0x8769)[0x9003] == "1927:08:01 12:00:00"
        assert found.get_ifd(0x8825)[1] == "N"
    assert len(File(array(content)).directories) == 1


def test_a_damaged_exif_block_is_left_out_of_a_new_file() -> None:
    assert CODEC.create is not None
    for block in (b"", b"II", b"this is no TIFF header", b"II*\0\xff\xff\xff\0"):
        content = CODEC.create(Drawing(noise(24, 40, 3), "RGB", alpha=False, exif=block))
        np.testing.assert_array_equal(read(content), noise(24, 40, 3))
