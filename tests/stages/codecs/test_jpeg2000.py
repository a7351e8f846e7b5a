"""JPEG 2000: samples without loss, boxes as they were, and what is wrong with broken files."""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import imagecodecs
import numpy as np
import pytest
from codec_kit import (
    XMP,
    array,
    check_lossless,
    decodes_or_is_at_fault,
    edit,
    edited_samples,
    fault,
    noise,
    saved,
    smooth,
)
from numpy.typing import NDArray
from PIL import Image

from stages.codec import sniff
from stages.codecs.jpeg2000 import CODEC
from stages.jpeg2000.boxes import XMP as XMP_BOX
from stages.jpeg2000.boxes import boxes_in, framed
from stages.jpeg2000.codestream import Stream, decoded, encoded_once, narrowed, stream_of, widened
from stages.photo import FaultClass, PhotoFault
from stages.picture import Picture, Samples, Xmp

EXIF_BOX = b"JpgTiffExif->JP2"
PLAIN = Stream(96, 64, 3, 8, reversible=True, comments=())
Row = tuple[bytes, bytes]


def raw(samples: Samples, bits: int = 8, level: int = 0, reversible: bool = True) -> NDArray[np.uint8]:
    """A codestream without boxes."""
    raster = samples[..., 0] if samples.ndim == 3 and samples.shape[2] == 1 else samples
    options: dict[str, Any] = {"codecformat": "j2k", "bitspersample": bits, "reversible": reversible}
    return array(bytes(imagecodecs.jpeg2k_encode(raster, level=level, **options)))


def rows_of(content: bytes) -> list[Row]:
    """Kind and whole of every box."""
    data = array(content)
    return [(box.kind, content[box.at : box.end]) for box in boxes_in(data, 0, data.size)]


def jp2(stream: NDArray[np.uint8], *extra: bytes, colour: bytes | None = None, after: bytes = b"") -> NDArray[np.uint8]:
    """A JP2 file around a codestream, with further boxes in its header or (uuid, xml) beside it."""
    facts = stream_of(stream)
    number = 17 if facts.components < 3 else 16
    colour = framed(b"colr", b"\x01\0\0" + number.to_bytes(4)) if colour is None else colour
    size = struct.pack(">IIHBBBB", facts.height, facts.width, facts.components, facts.bits - 1, 7, 0, 0)
    inner = b"".join(
        [framed(b"ihdr", size), colour, *(box for box in extra if box[4:8] in {b"cdef", b"res ", b"pclr"})]
    )
    outer = b"".join(box for box in extra if box[4:8] not in {b"cdef", b"res ", b"pclr"})
    head = framed(b"jP  ", b"\r\n\x87\n") + framed(b"ftyp", b"jp2 \0\0\0\0jp2 ") + framed(b"jp2h", inner)
    return array(head + outer + framed(b"jp2c", stream.tobytes()) + after)


def icc(space: bytes) -> bytes:
    profile = b"\0" * 16 + space + b"\0" * 16 + b"acsp" + b"\0" * 90
    return framed(b"colr", b"\x02\0\0" + profile)


def message(data: NDArray[np.uint8]) -> str:
    with pytest.raises(PhotoFault) as caught:
        CODEC.open(data)
    assert caught.value.kind is FaultClass.UNSUPPORTED
    return caught.value.message


@pytest.mark.parametrize("boxed", [True, False])
@pytest.mark.parametrize("bits", [8, 9, 12, 16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_depth_and_channels_stay_and_no_sample_outside_the_edit_changes(
    channels: int, bits: int, boxed: bool, xmp: Xmp
) -> None:
    dtype = np.uint8 if bits == 8 else np.uint16
    source = noise(24, 40, channels, dtype=dtype) >> dtype(8 * source_size(bits) - bits)
    data = jp2(raw(source, bits)) if boxed else raw(source, bits)
    picture = CODEC.open(data)
    page = picture.pages[0]
    assert (page.space, page.alpha) == ("L" if channels < 3 else "RGB", channels in {2, 4})
    assert page.depth == bits
    written = check_lossless(CODEC, data, xmp)
    assert (written.way, written.format) == ("lossless", "JPEG2000")
    assert written.note == ("" if boxed else "a raw codestream holds no XMP")
    assert CODEC.open(array(written.content)).pages == picture.pages
    found = np.asarray(imagecodecs.jpeg2k_decode(written.content)).reshape(24, 40, channels)
    np.testing.assert_array_equal(found, narrowed(edited_samples(picture, edit(picture)), bits))


def source_size(bits: int) -> int:
    return 1 if bits <= 8 else 2


@pytest.mark.parametrize("bits", range(1, 17))
def test_samples_of_any_depth_go_over_the_whole_range_and_back(bits: int) -> None:
    every = np.arange(1 << bits, dtype=np.uint8 if bits <= 8 else np.uint16)
    wide = widened(every, bits)
    assert (wide[0], wide[-1]) == (0, 255 if bits <= 8 else 65535)
    np.testing.assert_array_equal(narrowed(wide, bits), every)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_pillow_and_opencv_read_what_was_written(mode: str, xmp: Xmp, tmp_path: Path) -> None:
    data = saved(Image.fromarray(noise(24, 40, 3)).convert(mode), "JPEG2000")
    written = check_lossless(CODEC, data, xmp)
    expected = CODEC.open(array(written.content)).samples(0)
    path = tmp_path / "photo.jp2"
    path.write_bytes(written.content)
    with Image.open(path) as image:
        assert image.mode == mode
        np.testing.assert_array_equal(np.asarray(image).reshape(24, 40, -1), expected)
    shown = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if shown is not None and mode == "RGB":
        np.testing.assert_array_equal(shown[..., ::-1], expected)


def test_all_other_boxes_stay_and_the_packet_comes_before_the_codestream(xmp: Xmp) -> None:
    resolution = framed(b"res ", framed(b"resc", struct.pack(">HHHHbb", 600, 1, 600, 1, 2, 2)))
    exif = framed(b"uuid", EXIF_BOX + b"II*\0\x08\0\0\0\0\0")
    boxes = [resolution, framed(b"xml ", b"<gml/>"), exif]
    data = jp2(raw(noise(24, 40, 3)), *boxes, colour=icc(b"RGB "), after=framed(b"asoc", b"behind"))
    written = check_lossless(CODEC, data, xmp)
    before, after = rows_of(data.tobytes()), rows_of(written.content)
    assert [kind for kind, _ in after] == [b"jP  ", b"ftyp", b"jp2h", b"xml ", b"uuid", b"uuid", b"jp2c", b"asoc"]
    assert after[:5] == before[:5]
    assert after[5][1][8:] == XMP_BOX + xmp(None)
    assert after[7] == before[6]


def test_an_old_packet_is_replaced_where_it_is_and_handed_over() -> None:
    old = framed(b"uuid", XMP_BOX + XMP)
    data = jp2(raw(noise(24, 40, 3)), after=old)
    given: list[bytes | None] = []

    def record(packet: bytes | None) -> bytes:
        given.append(packet)
        return b"new"

    written = CODEC.open(data).write([], record)
    assert given == [XMP]
    assert rows_of(written.content) == [*rows_of(data.tobytes())[:-1], (b"uuid", framed(b"uuid", XMP_BOX + b"new"))]


def test_a_packet_that_cannot_be_read_is_left_and_noted(xmp: Xmp) -> None:
    data = jp2(raw(noise(24, 40, 3)), after=framed(b"uuid", XMP_BOX + b"<damaged>"))
    written = CODEC.open(data).write([], xmp)
    assert written.content == data.tobytes()
    assert "left as it is" in written.note


def test_without_an_edit_the_codestream_stays(xmp: Xmp) -> None:
    data = jp2(raw(smooth(), level=35, reversible=False))
    written = CODEC.open(data).write([], xmp)
    assert rows_of(written.content)[-1] == rows_of(data.tobytes())[-1]
    assert CODEC.open(raw(noise(8, 8, 3))).write([], xmp).content == raw(noise(8, 8, 3)).tobytes()


def test_a_codestream_up_to_the_files_end_is_found(xmp: Xmp) -> None:
    data = jp2(raw(noise(24, 40, 3))).tobytes()
    start = data.index(b"jp2c") - 4
    check_lossless(CODEC, array(data[:start] + b"\0\0\0\0" + data[start + 4 :]), xmp)


def test_comments_in_the_codestream_stay(xmp: Xmp) -> None:
    stream = raw(noise(24, 40, 3)).tobytes()
    place = stream.index(b"\xff\x90")
    comment = b"\xff\x64\0\x0a\0\x01box 7\0"[:12]
    data = array(stream[:place] + comment + stream[place:])
    before = stream_of(data).comments
    assert before[-1] == comment
    assert stream_of(array(check_lossless(CODEC, data, xmp).content)).comments == before


def test_a_lossy_file_keeps_its_decoded_samples_and_tells_of_its_growth(xmp: Xmp) -> None:
    data = jp2(raw(smooth(), level=35, reversible=False))
    written = check_lossless(CODEC, data, xmp)
    assert written.note.startswith("lossy became lossless: ")
    assert stream_of(array(written.content)[rows_start(written.content) :]).reversible


def rows_start(content: bytes) -> int:
    return next(box.start for box in boxes_in(array(content), 0, len(content)) if box.kind == b"jp2c")


def test_colours_that_outgrow_the_reversible_transform_are_kept_without_it(xmp: Xmp) -> None:
    blocks = np.random.default_rng(57).integers(0, 2, (16, 24, 3)).astype(np.uint8) * np.uint8(255)
    data = jp2(array(encoded_once(np.kron(blocks, np.ones((4, 4, 1), np.uint8)), PLAIN, transform=False)))
    before = CODEC.open(data).samples(0)
    lossy = decoded(array(encoded_once(before, PLAIN, transform=True)), PLAIN)
    assert not np.array_equal(lossy, before)
    check_lossless(CODEC, data, xmp)


@pytest.mark.parametrize("tiles", [(16, 16), (64, 48)])
def test_tiled_files_are_read(tiles: tuple[int, int], xmp: Xmp) -> None:
    data = saved(Image.fromarray(noise(70, 90, 3)), "JPEG2000", tile_size=tiles, no_jp2=True)
    np.testing.assert_array_equal(CODEC.open(data).samples(0), noise(70, 90, 3))
    check_lossless(CODEC, data, xmp)


def test_a_profile_is_the_pages() -> None:
    page = CODEC.open(jp2(raw(noise(24, 40, 3)), colour=icc(b"RGB "))).pages[0]
    assert page.icc == icc(b"RGB ")[11:]
    assert CODEC.open(jp2(raw(noise(24, 40, 1)), colour=icc(b"GRAY"))).pages[0].space == "L"


def test_bilevel_pictures_are_handed_through() -> None:
    source = noise(24, 40, 1) & np.uint8(1)
    picture = CODEC.open(raw(source, 1))
    assert (picture.pages[0].passed, picture.pages[0].mode) == ("bilevel", "1")
    np.testing.assert_array_equal(picture.samples(0), source * 255)


@pytest.mark.parametrize(("number", "word"), [(18, "sYCC"), (12, "CMYK"), (14, "CIELab"), (99, "colour space 99")])
def test_other_colours_are_unsupported(number: int, word: str) -> None:
    colour = framed(b"colr", b"\x01\0\0" + number.to_bytes(4))
    assert word in message(jp2(raw(noise(24, 40, 3)), colour=colour))


def test_what_could_not_come_out_as_it_went_in_is_unsupported() -> None:
    stream = raw(noise(24, 40, 3))
    assert "profile" in message(jp2(stream, colour=icc(b"CMYK")))
    assert "palette" in message(jp2(stream, framed(b"pclr", b"")))
    assert "several" in message(jp2(stream, after=framed(b"jp2c", stream.tobytes())))
    assert "index" in message(jp2(stream, after=framed(b"cidx", b"")))
    swapped = struct.pack(">H9H", 3, 0, 0, 3, 1, 0, 2, 2, 0, 1)
    assert "order" in message(jp2(stream, framed(b"cdef", swapped)))
    subsampled = bytearray(stream.tobytes())
    subsampled[46:48] = b"\x02\x02"
    assert "unusual" in message(array(bytes(subsampled)))
    assert "another kind" in message(array(jp2(stream).tobytes().replace(b"ftypjp2 ", b"ftypmjp2")))


def test_alpha_is_what_the_channel_definitions_call_so() -> None:
    stream = raw(noise(24, 40, 4))
    named = struct.pack(">H12H", 4, 0, 0, 1, 1, 0, 2, 2, 0, 3, 3, 1, 0)
    assert CODEC.open(jp2(stream, framed(b"cdef", named))).pages[0].alpha
    depth = named[:-4] + struct.pack(">HH", 0xFFFF, 0)
    assert "order" in message(jp2(stream, framed(b"cdef", depth)))


@pytest.mark.parametrize("make", [raw, lambda samples: jp2(raw(samples))], ids=["raw", "boxed"])
@pytest.mark.parametrize("cut", [0.02, 0.34, 0.67, 0.99])
def test_a_file_cut_short_is_truncated(make: Callable[[Samples], NDArray[np.uint8]], cut: float) -> None:
    data = make(noise(96, 128, 3))
    assert fault(CODEC, data[: max(50, int(data.size * cut))]) is FaultClass.TRUNCATED
    assert fault(CODEC, data[:-1]) is FaultClass.TRUNCATED
    assert fault(CODEC, data[:-2]) is FaultClass.TRUNCATED


def test_a_file_that_lacks_a_tile_is_corrupt() -> None:
    data = saved(Image.fromarray(noise(64, 64, 3)), "JPEG2000", tile_size=(32, 32), no_jp2=True).tobytes()
    last = data.rindex(b"\xff\x90\0\x0a")
    assert fault(CODEC, array(data[:last] + b"\xff\xd9")) is FaultClass.CORRUPT


@pytest.mark.parametrize("boxed", [True, False])
def test_damaged_files_come_out_or_are_a_photos_fault(boxed: bool, xmp: Xmp) -> None:
    whole = jp2(raw(smooth(32, 48)), colour=icc(b"RGB ")) if boxed else raw(smooth(32, 48))
    dice = np.random.default_rng(1839)
    for turn in range(200):
        broken = whole.copy()
        places = dice.integers(0, 320 if turn % 2 else whole.size, 3)
        broken[places] = dice.integers(0, 256, 3)
        decodes_or_is_at_fault(CODEC, broken, lambda picture: everything(picture, xmp))


def everything(picture: Picture, xmp: Xmp) -> None:
    if picture.pages[0].width * picture.pages[0].height < 10**6:
        picture.samples(0)
        picture.write([], xmp)


def test_both_kinds_are_known_by_their_first_bytes() -> None:
    assert sniff(raw(noise(8, 8, 3))) is CODEC
    assert sniff(jp2(raw(noise(8, 8, 3)))) is CODEC


def test_a_real_file_of_16_bit_keeps_all_of_them(formats: Path, xmp: Xmp) -> None:
    data = np.fromfile(formats / "rgb16.jp2", np.uint8)
    picture = CODEC.open(data)
    assert (picture.pages[0].mode, picture.pages[0].depth) == ("RGB;16", 16)
    np.testing.assert_array_equal(picture.samples(0), imagecodecs.jpeg2k_decode(data.tobytes()))
    check_lossless(CODEC, data, xmp)


def test_what_stands_behind_the_last_box_stays(xmp: Xmp) -> None:
    data = jp2(raw(noise(24, 40, 3), 8), after=b"seven b")
    assert check_lossless(CODEC, data, xmp).content.endswith(b"seven b")
