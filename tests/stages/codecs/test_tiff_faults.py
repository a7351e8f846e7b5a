"""TIFF: files that are cut, damaged or made to harm end as a photo's fault, each of its class."""

import struct
from typing import Any

import numpy as np
import pytest
from codec_kit import array, decodes_or_is_at_fault, edit, fault, noise, saved, smooth
from numpy.typing import NDArray
from PIL import Image
from tiff_kit import tiff

from stages.codec import Limits, open_picture
from stages.codecs.tiff import CODEC
from stages.photo import FaultClass, PhotoFault
from stages.picture import Picture, Xmp
from stages.tiff.directory import File

FORMS: list[dict[str, Any]] = [
    {},
    {"compression": "packbits", "rowsperstrip": 8},
    {"compression": "lzw", "predictor": True, "rowsperstrip": 8},
    {"compression": "adobe_deflate", "tile": (16, 16)},
    {"compression": "zstd"},
    {"compression": "jpeg"},
]


def at(data: NDArray[np.uint8], tag: int) -> int:
    """Where the entry of a tag of the first page lies."""
    return File(data).directories[0].tags[tag].at


def patched(data: NDArray[np.uint8], place: int, content: bytes) -> NDArray[np.uint8]:
    changed = bytearray(data.tobytes())
    changed[place : place + len(content)] = content
    return array(bytes(changed))


def with_value(data: NDArray[np.uint8], tag: int, value: int) -> NDArray[np.uint8]:
    """A little-endian file with another single LONG for a tag."""
    return patched(data, at(data, tag), struct.pack("<HHII", tag, 4, 1, value))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("part", [0.34, 0.67, 0.99])
def test_a_file_cut_short_is_truncated(form: dict[str, Any], part: float) -> None:
    data = tiff(noise(48, 64, 3), photometric="rgb", **form)
    assert fault(CODEC, data[: int(data.size * part)]) is FaultClass.TRUNCATED


@pytest.mark.parametrize("size", [4, 7, 8, 9, 20])
def test_a_file_cut_in_its_header_is_truncated(size: int) -> None:
    assert fault(CODEC, tiff(noise(24, 40, 3))[:size]) is FaultClass.TRUNCATED


def test_a_file_cut_between_its_pages_is_truncated() -> None:
    data = tiff(noise(24, 40, 3), noise(24, 40, 3), photometric="rgb")
    second = File(data).directories[1].at
    assert fault(CODEC, data[:second]) is FaultClass.TRUNCATED


@pytest.mark.parametrize("tag", [273, 279])
def test_a_missing_strip_is_truncated_and_never_black(tag: int) -> None:
    data = tiff(noise(24, 40, 3), photometric="rgb", compression="lzw")
    assert fault(CODEC, with_value(data, tag, 0)) is FaultClass.TRUNCATED


@pytest.mark.parametrize("compression", ["lzw", "adobe_deflate", "zstd", "packbits"])
def test_a_strip_that_holds_too_little_is_a_fault(compression: str) -> None:
    data = tiff(noise(24, 40, 3), photometric="rgb", compression=compression)
    size = int(File(data).numbers(File(data).directories[0], 279)[0])
    assert fault(CODEC, with_value(data, 279, size // 2)) in {FaultClass.TRUNCATED, FaultClass.CORRUPT}


def test_uncompressed_strips_without_sizes_are_read() -> None:
    data = tiff(noise(24, 40, 3), photometric="rgb")
    np.testing.assert_array_equal(CODEC.open(with_value(data, 279, 0)).samples(0), noise(24, 40, 3))


@pytest.mark.parametrize("compression", ["adobe_deflate", "zstd", "packbits"])
def test_a_strip_that_inflates_to_more_than_the_page_is_corrupt(compression: str) -> None:
    data = tiff(np.zeros((480, 40, 3), np.uint8), photometric="rgb", compression=compression, rowsperstrip=480)
    small = with_value(with_value(data, 257, 4), 278, 4)
    assert fault(CODEC, small) is FaultClass.CORRUPT


def test_directories_in_a_circle_are_corrupt() -> None:
    data = tiff(noise(24, 40, 3), noise(24, 40, 3), photometric="rgb")
    last = File(data).directories[1].next_at
    assert fault(CODEC, patched(data, last, struct.pack("<I", File(data).directories[0].at))) is FaultClass.CORRUPT


def test_a_file_of_absurdly_many_pages_is_too_large() -> None:
    page = struct.pack("<HHHII", 1, 256, 3, 1, 1)
    size = len(page) + 4
    chain = b"".join(page + struct.pack("<I", 8 + size * (index + 1)) for index in range(10_001))
    assert fault(CODEC, array(b"II*\0\x08\0\0\0" + chain)) is FaultClass.TOO_LARGE


@pytest.mark.parametrize(
    ("tag", "value"),
    [(256, 0), (257, 0), (256, 2**32 - 1), (257, 2**32 - 1), (278, 1), (277, 60_000), (258, 60_000)],
)
def test_sizes_that_cannot_be_true_are_refused_without_decoding(tag: int, value: int) -> None:
    data = tiff(noise(24, 40, 3), photometric="rgb", compression="lzw", rowsperstrip=24)
    with pytest.raises(PhotoFault) as caught:
        open_picture(with_value(data, tag, value), "scan.tif", Limits(10**9, 10**9)).samples(0)
    refused = {FaultClass.CORRUPT, FaultClass.TRUNCATED, FaultClass.UNSUPPORTED, FaultClass.TOO_LARGE}
    assert caught.value.kind in refused


def test_tiles_far_larger_than_their_page_are_corrupt() -> None:
    data = tiff(noise(24, 40, 3), photometric="rgb", tile=(16, 16), compression="lzw")
    assert fault(CODEC, with_value(with_value(data, 322, 2**30), 323, 2**30)) is FaultClass.CORRUPT


def test_a_jpeg_larger_than_its_strip_is_corrupt() -> None:
    data = tiff(smooth(48, 64), photometric="rgb", compression="jpeg", rowsperstrip=48)
    frame = data.tobytes().index(b"\xff\xc0")
    assert fault(CODEC, patched(data, frame + 5, b"\xff\xff\xff\xff")) is FaultClass.CORRUPT


def test_a_tag_that_points_out_of_the_file_costs_nothing_unless_it_is_needed() -> None:
    long = b"a description that is stored outside of its entry"
    data = tiff(noise(24, 40, 3), photometric="rgb", description=long.decode(), iccprofile=b"profile" * 9)
    broken = patched(data, at(data, 270) + 8, struct.pack("<I", 2**31))
    np.testing.assert_array_equal(CODEC.open(broken).samples(0), noise(24, 40, 3))
    assert fault(CODEC, patched(data, at(data, 34675) + 8, struct.pack("<I", 2**31))) is FaultClass.TRUNCATED


def test_a_wrong_orientation_is_none() -> None:
    data = saved(Image.fromarray(noise(24, 40, 3)), "TIFF", tiffinfo={274: 6})
    assert CODEC.open(with_value(data, 274, 99)).pages[0].orientation == 1


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("order", ["<", ">"])
def test_damaged_files_come_out_or_are_a_photos_fault(form: dict[str, Any], order: str, xmp: Xmp) -> None:
    whole = tiff(smooth(32, 48), photometric="rgb", order=order, iccprofile=b"profile" * 9, **form)
    heads = np.concatenate([np.arange(8), np.arange(*span_of_directories(whole))])
    dice = np.random.default_rng(1839)
    for turn in range(200):
        broken = whole.copy()
        places = dice.choice(heads, 2) if turn % 2 else dice.integers(0, whole.size, 3)
        broken[places] = dice.integers(0, 256, places.size)
        decodes_or_is_at_fault(CODEC, broken, lambda picture: everything(picture, xmp))


def span_of_directories(data: NDArray[np.uint8]) -> tuple[int, int]:
    first = File(data).directories[0]
    return first.at, first.next_at + 4


def everything(picture: Picture, xmp: Xmp) -> None:
    if picture.pages[0].width * picture.pages[0].height > 10**6:
        return
    picture.samples(0)
    window = (0, 0, min(5, picture.pages[0].width), min(5, picture.pages[0].height))
    picture.write([edit(picture, window)] if not picture.pages[0].passed else [], xmp)
