"""TIFF: which pages are worked on, which are handed through, and which get another form."""

import io
import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from codec_kit import XMP, array, edit, edited_samples, noise, saved, smooth
from numpy.typing import NDArray
from PIL import Image
from tiff_kit import read, tiff

from stages.codecs.tiff import CODEC
from stages.photo import FaultClass, PhotoFault
from stages.picture import Edit, Xmp
from stages.tiff import tags
from stages.tiff.directory import File


def reason(data: NDArray[np.uint8]) -> str:
    with pytest.raises(PhotoFault) as caught:
        CODEC.open(data)
    assert caught.value.kind is FaultClass.UNSUPPORTED
    return caught.value.message


def passed(data: NDArray[np.uint8]) -> list[str]:
    return [page.passed for page in CODEC.open(data).pages]


def mixed(*pages: tuple[NDArray[Any], dict[str, Any]]) -> NDArray[np.uint8]:
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as writer:
        for samples, options in pages:
            writer.write(samples, metadata=None, **options)
    return array(out.getvalue())


def test_pages_of_all_kinds_are_edited_side_by_side(xmp: Xmp) -> None:
    grey: dict[str, Any] = {"photometric": "minisblack", "compression": "lzw"}
    rgb: dict[str, Any] = {"photometric": "rgb", "compression": "adobe_deflate", "predictor": True}
    data = mixed((noise(24, 40, 3), rgb), (noise(30, 50, dtype=np.uint16), grey), (noise(24, 40), grey))
    picture = CODEC.open(data)
    assert [page.mode for page in picture.pages] == ["RGB", "I;16", "L"]
    mask = np.ones((16, 20), np.bool_)
    edits = [
        Edit(1, (5, 3, 25, 19), noise(16, 20, 1, dtype=np.uint16, seed=3), mask),
        Edit(0, (0, 0, 20, 16), noise(16, 20, 3, seed=4), mask),
        Edit(0, (20, 0, 40, 16), noise(16, 20, 3, seed=5), mask),
    ]
    again = CODEC.open(array(picture.write(edits, xmp).content))
    assert again.pages == picture.pages
    np.testing.assert_array_equal(again.window(0, (0, 0, 40, 16)), np.hstack([edits[1].samples, edits[2].samples]))
    np.testing.assert_array_equal(again.window(0, (0, 16, 40, 24)), picture.window(0, (0, 16, 40, 24)))
    np.testing.assert_array_equal(again.window(1, (5, 3, 25, 19)), edits[0].samples)
    np.testing.assert_array_equal(again.samples(2), picture.samples(2))


def test_thumbnails_and_masks_are_handed_through(xmp: Xmp) -> None:
    rgb: dict[str, Any] = {"photometric": "rgb"}
    data = mixed(
        (noise(24, 40, 3), rgb), (noise(6, 10, 3), {"subfiletype": 1, **rgb}), (noise(6, 10) > 99, {"subfiletype": 4})
    )
    assert passed(data) == ["", "thumbnail", "mask"]
    picture = CODEC.open(data)
    content = picture.write([edit(picture)], xmp).content
    np.testing.assert_array_equal(read(content, 1), noise(6, 10, 3))


def test_thumbnails_of_the_first_edition_are_known() -> None:
    rgb: dict[str, Any] = {"photometric": "rgb"}
    reduced = (255, 3, 1, 2, True)  # SubfileType of TIFF 5.0
    assert passed(mixed((noise(24, 40, 3), rgb), (noise(6, 10, 3), {"extratags": [reduced], **rgb}))) == [
        "",
        "thumbnail",
    ]


def test_a_file_to_which_nothing_is_said_stays_as_it_is() -> None:
    data = mixed((noise(24, 40, 3), {"photometric": "rgb", "extratags": [(700, 1, len(XMP), XMP, True)]}))
    assert CODEC.open(data).write([], lambda packet: packet or b"").content == data.tobytes()


def test_a_lone_page_that_calls_itself_a_thumbnail_is_a_page() -> None:
    assert passed(tiff(noise(24, 40, 3), photometric="rgb", subfiletype=1)) == [""]


def test_a_photo_in_a_sub_directory_is_not_looked_for() -> None:
    data = mixed(
        (noise(6, 10, 3), {"photometric": "rgb", "subfiletype": 1, "subifds": 1}),
        (noise(24, 40, 3), {"photometric": "rgb"}),
    )
    assert "SubIFD" in reason(data)


@pytest.mark.parametrize("compression", ["group3", "group4", "tiff_ccitt", None, "tiff_lzw"])
def test_bilevel_pages_are_handed_through_and_can_be_seen(compression: str | None, xmp: Xmp) -> None:
    image = Image.fromarray(noise(24, 40)).convert("1")
    data = saved(image, "TIFF", compression=compression, tiffinfo={274: 6})
    picture = CODEC.open(data)
    assert (passed(data), picture.pages[0].mode) == (["bilevel"], "1")
    upright = np.rot90(np.asarray(image.convert("L")), -1)[..., None]
    np.testing.assert_array_equal(picture.samples(0), upright)
    np.testing.assert_array_equal(picture.window(0, (2, 3, 9, 20)), upright[3:20, 2:9])
    again = CODEC.open(array(picture.write([], xmp).content))
    np.testing.assert_array_equal(again.samples(0), upright)


def test_a_real_bilevel_scan_is_handed_through(formats: Path) -> None:
    data = np.fromfile(formats / "bilevel.tif", np.uint8)
    assert passed(data) == ["bilevel"]
    with Image.open(formats / "bilevel.tif") as image:
        np.testing.assert_array_equal(CODEC.open(data).samples(0)[..., 0], np.asarray(image.convert("L")))


@pytest.mark.parametrize(
    ("samples", "options", "word"),
    [
        (np.zeros((24, 40), np.float32), {}, "floating"),
        (np.zeros((24, 40), np.int16), {}, "signed"),
        (np.zeros((24, 40), np.uint32), {}, "32 bit"),
        (noise(24, 40, 3), {"photometric": "cielab"}, "CIELab"),
        (noise(24, 40, 3), {"photometric": "ycbcr"}, "YCbCr"),
        (noise(24, 40, 3), {"photometric": "rgb", "compression": "jpeg2000"}, "JPEG 2000"),
        (noise(24, 40, 3), {"photometric": "rgb", "compression": "webp"}, "WebP"),
        (noise(24, 40), {"compression": "lerc"}, "LERC"),
        (noise(24, 40), {"compression": "lzma"}, "LZMA"),
        (noise(24, 40, dtype=np.uint16) >> 4, {"bitspersample": 12}, "12 bit"),
    ],
)
def test_what_could_not_come_out_as_it_went_in_is_unsupported(
    samples: NDArray[Any], options: dict[str, Any], word: str
) -> None:
    data = tiff(samples, **options)
    assert word in reason(data)
    beside = mixed((samples, options), (noise(24, 40, 3), {"photometric": "rgb"}))
    assert word in passed(beside)[0]
    assert passed(beside)[1] == ""
    with pytest.raises(PhotoFault) as caught:
        CODEC.open(beside).samples(0)
    assert caught.value.kind is FaultClass.UNSUPPORTED


@pytest.mark.parametrize("first", [True, False])
def test_a_palette_becomes_colours_in_the_same_file(first: bool, xmp: Xmp) -> None:
    image = Image.fromarray(smooth(24, 40)).quantize(200)
    pages = [image, Image.fromarray(noise(24, 40, 3))]
    out = io.BytesIO()
    head, tail = pages if first else reversed(pages)
    head.save(out, "TIFF", save_all=True, append_images=[tail], compression="tiff_lzw", dpi=(600, 600))
    data, place = array(out.getvalue()), 0 if first else 1
    picture = CODEC.open(data)
    assert picture.pages[place].mode == "P"
    colours = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(picture.samples(place), colours)
    mask = np.indices((16, 20)).sum(axis=0) % 2 == 0
    written = picture.write([Edit(place, (5, 3, 25, 19), noise(16, 20, 3), mask)], xmp)
    assert (written.way, written.note) == ("converted", f"page {place + 1} was a palette and is RGB in Deflate")
    expected = colours.copy()
    expected[3:19, 5:25][mask] = noise(16, 20, 3)[mask]
    np.testing.assert_array_equal(read(written.content, place), expected)
    np.testing.assert_array_equal(read(written.content, 1 - place), noise(24, 40, 3))
    with Image.open(io.BytesIO(written.content)) as again:
        again.seek(place)
        assert (again.mode, again.info["dpi"]) == ("RGB", (600, 600))
        np.testing.assert_array_equal(np.asarray(again), expected)


def test_an_unedited_palette_stays(xmp: Xmp) -> None:
    data = saved(Image.fromarray(smooth(24, 40)).quantize(200), "TIFF")
    written = CODEC.open(data).write([], xmp)
    assert written.way == "segments"
    assert CODEC.open(array(written.content)).pages[0].mode == "P"


@pytest.mark.parametrize("bits", [2, 4])
def test_grey_of_few_bits_becomes_8_bit(bits: int, xmp: Xmp) -> None:
    most = (1 << bits) - 1
    source = noise(24, 39) & np.uint8(most)
    data = tiff(source, bitspersample=bits, photometric="minisblack", rowsperstrip=5)
    picture = CODEC.open(data)
    np.testing.assert_array_equal(picture.samples(0)[..., 0], source * (255 // most))
    change = edit(picture)
    written = picture.write([change], xmp)
    assert (written.way, written.note) == ("converted", f"page 1 was grey of {bits} bit and is L in Deflate")
    np.testing.assert_array_equal(read(written.content), edited_samples(picture, change))


@pytest.mark.parametrize("form", [{"rowsperstrip": 16}, {"tile": (32, 32)}])
@pytest.mark.parametrize("colours", ["ycbcr", "rgb", "grey"])
def test_a_page_of_jpegs_is_decoded_and_written_with_deflate(colours: str, form: dict[str, Any], xmp: Xmp) -> None:
    source = smooth(50, 70)[..., 0] if colours == "grey" else smooth(50, 70)
    photometric = "minisblack" if colours == "grey" else "rgb"
    args: dict[str, Any] = {"compressionargs": {"level": 90, **({"outcolorspace": "rgb"} if colours == "rgb" else {})}}
    data = tiff(source, photometric=photometric, compression="jpeg", **form, **args)
    picture = CODEC.open(data)
    np.testing.assert_array_equal(picture.samples(0), read(data.tobytes()))
    assert np.abs(picture.samples(0).squeeze().astype(int) - source).mean() < 4
    change = edit(picture)
    written = picture.write([change], xmp)
    assert (written.way, "JPEG" in written.note) == ("converted", True)
    np.testing.assert_array_equal(read(written.content), edited_samples(picture, change))


def test_libtiffs_jpeg_pages_with_shared_tables_are_read() -> None:
    data = saved(Image.fromarray(smooth(50, 70)), "TIFF", compression="jpeg")
    with Image.open(io.BytesIO(data.tobytes())) as image:
        shown = np.asarray(image)
    assert np.abs(CODEC.open(data).samples(0).astype(int) - shown).max() <= 2


def test_a_page_inks_tell_of_is_cmyk_or_nothing() -> None:
    data = tiff(noise(24, 40, 4), photometric="separated", extratags=[(65001, 3, 1, 2, True)])
    inks = data.tobytes().replace(b"\xe9\xfd\x03\0", tags.INK_SET.to_bytes(2, "little") + b"\x03\0")
    assert CODEC.open(data).pages[0].space == "CMYK"
    assert "inks" in reason(array(inks))


def old_lzw(content: bytes) -> bytes:
    """LZW as before TIFF 6.0, codes from the lowest bit on; literals alone, so that all codes have 9 bits."""
    codes = [code for start in range(0, len(content), 200) for code in (256, *content[start : start + 200])] + [257]
    bits = (np.asarray(codes)[:, None] >> np.arange(9)) & 1
    return np.packbits(bits.ravel().astype(np.uint8), bitorder="little").tobytes()


def test_old_lzw_is_read_and_gives_way_to_the_new(xmp: Xmp) -> None:
    source = noise(24, 40, 3)
    data = tiff(source, photometric="rgb", compression="lzw", rowsperstrip=12).tobytes()
    file = File(array(data))
    places = [old_lzw(source[:12].tobytes()), old_lzw(source[12:].tobytes())]
    sizes, at = np.asarray([len(each) for each in places]), len(data)
    for tag, values in ((273, [at, at + sizes[0]]), (279, sizes)):
        entry = struct.pack("<HHII", tag, 4, 2, at + int(sizes.sum()) + (8 if tag == 279 else 0))
        where = file.directories[0].tags[tag].at
        data = data[:where] + entry + data[where + 12 :]
        places.append(struct.pack("<2I", *values))
    old = array(data + b"".join(places))
    picture = CODEC.open(old)
    np.testing.assert_array_equal(picture.samples(0), source)
    change = edit(picture, (0, 0, 20, 10))
    content = picture.write([change], xmp).content
    np.testing.assert_array_equal(read(content), edited_samples(picture, change))
    shown = cv2.imdecode(array(content), cv2.IMREAD_UNCHANGED)
    assert shown is not None
    np.testing.assert_array_equal(shown[..., ::-1], edited_samples(picture, change))
