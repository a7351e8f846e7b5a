"""TIFF: every byte that no edit is about stays where it was, and what is new is where readers look for it."""

import io
import struct
from typing import Any

import numpy as np
import pytest
import tifffile
from codec_kit import XMP, array, check_lossless, edit, noise
from numpy.typing import NDArray
from PIL import Image
from tiff_kit import read, tag_order, tag_values, tiff

from stages.codecs.tiff import CODEC
from stages.photo import FaultClass, PhotoFault
from stages.picture import Drawing, Edit, Written, Xmp
from stages.tiff.directory import File, Flavour
from stages.tiff.surgery import Claims, Surgery

IPTC, PHOTOSHOP, ICC, PACKET = 33723, 34377, 34675, 700
PLACES = {273, 279, 324, 325, PACKET}


def scan(compression: str | None = "lzw", **options: Any) -> NDArray[np.uint8]:
    """A file with a profile, IPTC, Photoshop's block, a resolution and a description."""
    extra = [(IPTC, 7, 30, b"\x1c\x02\x05\0\x05title" * 3, True), (PHOTOSHOP, 7, 12, b"8BIM\x04\x04\0\0\0\0\0\0", True)]
    form = {"photometric": "rgb", "iccprofile": b"profile" * 999, "resolution": (600, 600), "description": "box 7"}
    return tiff(noise(24, 40, 3), compression=compression, rowsperstrip=4, extratags=extra, **form, **options)


def other(picture_data: NDArray[np.uint8], xmp: Xmp, seed: int = 1) -> Written:
    """The file with noise in a window of two strips of four rows."""
    mask = np.ones((6, 20), np.bool_)
    return CODEC.open(picture_data).write([Edit(0, (5, 5, 25, 11), noise(6, 20, 3, seed=seed), mask)], xmp)


def strips(content: bytes, page: int = 0) -> list[tuple[int, int]]:
    """Where the segments of a page lie: offset and size."""
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        each = file.pages[page]
        return list(zip(each.dataoffsets, each.databytecounts, strict=True))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("compression", [None, "lzw", "adobe_deflate"])
def test_all_other_tags_keep_type_count_and_bytes(compression: str | None, bigtiff: bool, order: str, xmp: Xmp) -> None:
    data = scan(compression, bigtiff=bigtiff, order=order)
    before, after = tag_values(data.tobytes()), tag_values(check_lossless(CODEC, data, xmp).content)
    assert {tag: value for tag, value in after.items() if tag not in PLACES} == {
        tag: value for tag, value in before.items() if tag not in PLACES
    }
    assert {IPTC, PHOTOSHOP, ICC, 270, 282, 296} <= before.keys()
    assert PACKET in after


def test_the_old_bytes_stay_but_for_the_edited_strips_and_two_pointers(xmp: Xmp) -> None:
    data = scan(None)
    result = np.frombuffer(other(data, xmp).content, np.uint8)[: data.size]
    changed = set(np.flatnonzero(result != data).tolist())
    inside = {at + i for at, size in strips(data.tobytes())[1:3] for i in range(size)}
    assert changed - inside <= set(range(4, 8))  # where the header says where the first directory is
    assert changed & inside


def test_untouched_strips_stay_where_they_were(xmp: Xmp) -> None:
    data = tiff(noise(24, 40, 3) // 64, photometric="rgb", compression="lzw", rowsperstrip=4)
    content = other(data, xmp).content
    before, after = strips(data.tobytes()), strips(content)
    assert [old == new for old, new in zip(before, after, strict=True)] == [True, False, False, True, True, True]
    for at, size in [before[0], *before[3:]]:
        assert content[at : at + size] == data.tobytes()[at : at + size]


def test_a_strip_that_became_smaller_takes_its_old_place(xmp: Xmp) -> None:
    data = scan("lzw")
    flat = Edit(0, (5, 5, 25, 11), np.zeros((6, 20, 3), np.uint8), np.ones((6, 20), np.bool_))
    written = CODEC.open(data).write([flat], xmp)
    before, after = strips(data.tobytes()), strips(written.content)
    assert [at for at, _ in before] == [at for at, _ in after]
    assert after[1][1] < before[1][1]


def test_strips_that_share_their_bytes_part_when_one_is_edited(xmp: Xmp) -> None:
    data = tiff(np.zeros((24, 40, 3), np.uint8), photometric="rgb", rowsperstrip=4)
    content = bytearray(data.tobytes())
    places = strips(bytes(content))
    packed = struct.pack("<6I", *[at for at, _ in places])
    place = content.index(packed)
    content[place : place + 24] = struct.pack("<6I", *[places[0][0]] * 6)
    written = check_lossless(CODEC, array(bytes(content)), xmp)
    assert strips(written.content)[5] == places[0]
    assert read(written.content)[20:].max() == 0


@pytest.mark.parametrize("kind", ["SHORT", "one strip"])
def test_offsets_and_sizes_of_every_type_are_followed(kind: str, xmp: Xmp) -> None:
    if kind == "SHORT":
        data = with_short_places(tiff(noise(24, 40, 3) // 2, photometric="rgb", compression="lzw", rowsperstrip=8))
    else:
        data = tiff(noise(24, 40, 3) // 2, photometric="rgb", compression="lzw", rowsperstrip=24)
    for seed in range(3):
        written = other(data, xmp, seed)
        np.testing.assert_array_equal(read(written.content)[5:11, 5:25], noise(6, 20, 3, seed=seed))
        np.testing.assert_array_equal(read(written.content)[11:], read(data.tobytes())[11:])


def test_short_sizes_widen_when_a_strip_outgrows_them(xmp: Xmp) -> None:
    data = with_short_places(tiff(np.zeros((300, 400, 3), np.uint8), photometric="rgb", compression="lzw"))
    assert {tag_values(data.tobytes())[tag][0] for tag in (273, 279)} == {3}
    mask = np.ones((280, 390), np.bool_)
    written = CODEC.open(data).write([Edit(0, (5, 5, 395, 285), noise(280, 390, 3), mask)], xmp)
    assert {tag_values(written.content)[tag][0] for tag in (273, 279)} == {4}
    np.testing.assert_array_equal(read(written.content)[5:285, 5:395], noise(280, 390, 3))


def with_short_places(data: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A little-endian file whose StripOffsets and StripByteCounts are SHORT, their arrays at the file's end."""
    content = bytearray(data.tobytes())
    places = strips(bytes(content))
    for tag, values in ((273, [at for at, _ in places]), (279, [size for _, size in places])):
        entry = File(data).directories[0].tags[tag].at
        packed = struct.pack(f"<{len(values)}H", *values)
        value = packed.ljust(4, b"\0") if len(packed) <= 4 else struct.pack("<I", len(content))
        struct.pack_into("<HHI4s", content, entry, tag, 3, len(values), value)
        content += packed if len(packed) > 4 else b""
    return array(bytes(content))


def test_a_new_packet_goes_into_the_first_directory_in_the_order_of_tags(xmp: Xmp) -> None:
    data = tiff(noise(24, 40, 3), noise(24, 40, 3, seed=2), photometric="rgb", compression="lzw")
    picture = CODEC.open(data)
    change = edit(picture)
    second = Edit(1, change.window, change.samples, change.mask)
    content = picture.write([second], xmp).content
    assert tag_order(content) == sorted(tag_order(content))
    assert (PACKET in tag_order(content), PACKET in tag_order(content, 1)) == (True, False)
    assert tag_values(content)[PACKET][2] == xmp(None)
    np.testing.assert_array_equal(read(content), noise(24, 40, 3))


@pytest.mark.parametrize("room", [len(XMP), 4000])
def test_an_old_packet_is_replaced_and_handed_over(room: int) -> None:
    old = XMP + b" " * (room - len(XMP))
    data = tiff(noise(24, 40, 3), photometric="rgb", extratags=[(PACKET, 1, room, old, True)])
    given: list[bytes | None] = []

    def record(packet: bytes | None) -> bytes:
        given.append(packet)
        return XMP + b"<!-- edited -->"

    content = CODEC.open(data).write([edit(CODEC.open(data))], record).content
    assert given == [old]
    assert tag_values(content)[PACKET][2] == XMP + b"<!-- edited -->"
    assert (len(content) == data.size) is (room == 4000)


def test_a_packet_that_cannot_be_read_is_left_and_noted(xmp: Xmp) -> None:
    data = tiff(noise(24, 40, 3), photometric="rgb", extratags=[(PACKET, 1, 9, b"<damaged>", True)])
    written = CODEC.open(data).write([], xmp)
    assert written.content == data.tobytes()
    assert "left as it is" in written.note


def test_without_an_edit_only_the_record_is_new(xmp: Xmp) -> None:
    data = scan()
    picture = CODEC.open(data)
    nothing = Edit(0, (0, 0, 5, 5), noise(5, 5, 3), np.zeros((5, 5), np.bool_))
    written = picture.write([nothing], xmp)
    assert written == picture.write([], xmp)
    assert written.content[8 : data.size] == data.tobytes()[8:]
    assert tag_values(written.content)[PACKET][2] == xmp(None)


def test_writing_twice_grows_the_file_once(xmp: Xmp) -> None:
    data = scan(None)
    once = array(other(data, xmp).content)
    twice = other(once, xmp)
    assert len(twice.content) == once.size


def test_other_directories_stay(xmp: Xmp) -> None:
    exif = Image.Exif()
    exif[271] = "a maker with a long name"
    exif.get_ifd(0x8769)[0x9003] = "1927:08:01 12:00:00"
    exif.get_ifd(0x8825)[2] = (52.0, 31.0, 12.5)
    assert CODEC.create is not None
    data = CODEC.create(Drawing(noise(24, 40, 3), "RGB", alpha=False, exif=exif.tobytes()[6:]))
    written = check_lossless(CODEC, array(data), xmp)
    with Image.open(io.BytesIO(written.content)) as image:
        found = image.getexif()
        assert found.get_ifd(0x8769)[0x9003] == "1927:08:01 12:00:00"
        assert tuple(found.get_ifd(0x8825)[2]) == (52.0, 31.0, 12.5)


def test_sub_directories_stay(xmp: Xmp) -> None:
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as writer:
        writer.write(noise(24, 40, 3), photometric="rgb", subifds=1, metadata=None, compression="lzw")
        writer.write(noise(12, 20, 3), photometric="rgb", subfiletype=1, metadata=None)
        writer.write(noise(24, 40, 3, seed=9), photometric="rgb", metadata=None)
    written = check_lossless(CODEC, array(out.getvalue()), xmp)
    with tifffile.TiffFile(io.BytesIO(written.content)) as file:
        first = file.pages[0]
        assert isinstance(first, tifffile.TiffPage)
        assert first.pages is not None
        np.testing.assert_array_equal(first.pages[0].asarray(), noise(12, 20, 3))
        assert len(file.pages) == 2
    np.testing.assert_array_equal(read(written.content, 1), noise(24, 40, 3, seed=9))


def test_what_is_new_lies_on_word_boundaries(xmp: Xmp) -> None:
    data = array(scan("lzw").tobytes() + b"\0" * (1 - scan("lzw").size % 2))
    assert data.size % 2
    content = other(data, xmp).content
    places = strips(content)[1:3] + [(struct.unpack_from("<I", content, 4)[0], 0)]
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        first = file.pages[0]
        assert isinstance(first, tifffile.TiffPage)
        places.append((first.tags[PACKET].valueoffset, 0))
    assert all(at % 2 == 0 for at, _ in places)


def test_a_classic_file_that_would_pass_4_gib_is_unwritable() -> None:
    whole = np.broadcast_to(np.zeros(1, np.uint8), 2**32 - 100)
    surgery = Surgery(whole, Flavour("<"), Claims([]))
    with pytest.raises(PhotoFault) as caught:
        surgery.append(bytes(200))
    assert caught.value.kind is FaultClass.UNWRITABLE
    assert Surgery(whole, Flavour("<", big=True), Claims([])).append(bytes(200)) == 2**32 - 100
