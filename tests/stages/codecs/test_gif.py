"""GIF: one frame becomes a PNG with what the GIF said beside its pixels."""

import io

import numpy as np
import pytest
from codec_kit import WINDOW, XMP, array, decodes_or_is_at_fault, edit, edited_samples, fault, noise, saved
from numpy.typing import NDArray
from PIL import Image

from stages.codecs.gif import CODEC
from stages.codecs.png import CODEC as PNG
from stages.photo import FaultClass
from stages.picture import Edit, Xmp

TRAILER = b"\x01" + bytes(range(255, -1, -1)) + b"\0"


def gif(**options: object) -> NDArray[np.uint8]:
    return saved(Image.fromarray(noise(24, 40, 3)).quantize(64), "GIF", **options)


def extended(data: NDArray[np.uint8], *blocks: bytes) -> NDArray[np.uint8]:
    """The file with blocks before its trailer."""
    return array(data.tobytes()[:-1] + b"".join(blocks) + b";")


@pytest.mark.parametrize("transparent", [False, True])
def test_a_frame_becomes_a_png_with_the_same_samples(transparent: bool, xmp: Xmp) -> None:
    data = gif(**({"transparency": 5} if transparent else {}))
    picture = CODEC.open(data)
    mode = "RGBA" if transparent else "RGB"
    np.testing.assert_array_equal(picture.samples(0), np.asarray(Image.open(io.BytesIO(data.tobytes())).convert(mode)))
    change = edit(picture)
    written = picture.write([change], xmp)
    assert (written.way, written.format, CODEC.becomes) == ("converted", "PNG", "PNG")
    result = PNG.open(array(written.content))
    assert result.pages[0].mode == mode
    np.testing.assert_array_equal(result.samples(0), edited_samples(picture, change))
    assert picture.write([change], xmp) == written


def test_comment_profile_and_packet_go_along(xmp: Xmp) -> None:
    packet = b"!\xff\x0bXMP DataXMP" + XMP + TRAILER
    profile = b"!\xff\x0bICCRGBG1012" + b"\xff" + b"p" * 255 + b"\x03ppp\0"
    data = extended(gif(comment=b"box 7"), packet, profile)
    picture = CODEC.open(data)
    assert picture.pages[0].icc == b"p" * 258
    written = picture.write([edit(picture)], xmp)
    image = Image.open(io.BytesIO(written.content))
    image.load()
    assert image.info["xmp"] == xmp(XMP)
    assert image.info["Comment"] == "box 7"
    assert image.info["icc_profile"] == b"p" * 258


def test_a_packet_that_cannot_be_read_goes_along_and_is_noted(xmp: Xmp) -> None:
    data = extended(gif(), b"!\xff\x0bXMP DataXMP" + b"<broken" + TRAILER)
    written = CODEC.open(data).write([], xmp)
    assert Image.open(io.BytesIO(written.content)).info["xmp"] == b"<broken"
    assert "without the record" in written.note


def test_without_an_edit_it_is_a_png_all_the_same(xmp: Xmp) -> None:
    picture = CODEC.open(gif())
    nothing = Edit(0, WINDOW, picture.window(0, WINDOW), np.zeros((16, 20), np.bool_))
    written = picture.write([nothing], xmp)
    np.testing.assert_array_equal(PNG.open(array(written.content)).samples(0), picture.samples(0))


def test_an_animation_is_unsupported() -> None:
    frames = [Image.fromarray(noise(24, 40, 3, seed=seed)).quantize(9) for seed in (1, 2)]
    data = saved(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert fault(CODEC, data) is FaultClass.UNSUPPORTED


def test_a_file_cut_short_is_truncated_wherever_it_is_cut() -> None:
    whole = gif(comment=b"box 7")
    for stop in (8, 100, whole.size // 3, whole.size * 2 // 3, whole.size - 2, whole.size - 1):
        assert fault(CODEC, whole[:stop]) is FaultClass.TRUNCATED


def test_image_data_that_end_early_are_a_fault() -> None:
    whole = gif().tobytes()
    place = whole.index(b",", 13 + 3 * 64)
    start = place + 11
    assert whole[start] > 100
    short = whole[:start] + bytes([100]) + whole[start + 1 : start + 101] + b"\0;"
    assert fault(CODEC, array(short)) in {FaultClass.TRUNCATED, FaultClass.CORRUPT}


def test_damaged_files_decode_or_are_a_photos_fault(xmp: Xmp) -> None:
    dice = np.random.default_rng(1839)
    whole = gif(comment=b"box 7")
    for _ in range(300):
        broken = whole.copy()
        broken[dice.integers(10, whole.size, 3)] = dice.integers(0, 256, 3)
        decodes_or_is_at_fault(CODEC, broken, lambda picture: picture.write([edit(picture)], xmp))


def test_only_what_stands_before_the_frame_makes_it_transparent() -> None:
    control = b"!\xf9\x04\x01\0\0\x05\0"
    assert not CODEC.open(extended(gif(), control)).pages[0].alpha


def test_the_first_packet_counts(xmp: Xmp) -> None:
    packets = [b"!\xff\x0bXMP DataXMP" + packet + TRAILER for packet in (XMP, XMP.replace(b"box 7", b"box 8"))]
    content = CODEC.open(extended(gif(), *packets)).write([], xmp).content
    assert Image.open(io.BytesIO(content)).info["xmp"] == xmp(XMP)


def test_a_frame_larger_than_its_canvas_is_a_fault() -> None:
    data = gif().copy()
    assert data[6:10].tolist() == [40, 0, 24, 0]
    data[6] = 30
    assert fault(CODEC, data) is FaultClass.CORRUPT
