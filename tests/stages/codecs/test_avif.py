"""AVIF: the picture is encoded again, every other item and property stays."""

import io
import struct
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from codec_kit import XMP, array, decodes_or_is_at_fault, edit, edited_samples, fault, saved, smooth
from numpy.typing import NDArray
from PIL import Image

from stages.codecs import heic
from stages.codecs.avif import CODEC
from stages.codecs.bmff import made
from stages.codecs.heif_meta import meta_of
from stages.photo import FaultClass
from stages.picture import Edit, Picture, Samples, Xmp
from stages.turn import upright


def avif(samples: Samples, **options: object) -> NDArray[np.uint8]:
    return saved(samples, "AVIF", **({"quality": 80, "max_threads": 1} | options))


def brighter(picture: Picture) -> Edit:
    """A soft change that a codec with loss can follow."""
    change = edit(picture, (8, 16, 40, 56))
    old = picture.window(0, change.window)
    colours = picture.pages[0].channels - picture.pages[0].alpha
    new = old.copy()
    new[..., :colours] = np.clip(old[..., :colours].astype(int) + 25, 0, 255)
    return Edit(0, change.window, new, np.ones(new.shape[:2], np.bool_))


def item_contents(content: bytes, kind: bytes) -> list[bytes]:
    data = memoryview(content)
    meta = meta_of(data)
    return [meta.content(data, item) for item, facts in meta.items.items() if facts.kind == kind]


def close(found: Samples, expected: Samples) -> None:
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).mean() < 2


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_the_picture_is_encoded_again_with_its_own_subsampling(subsampling: str, xmp: Xmp) -> None:
    data = avif(smooth(), subsampling=subsampling)
    picture = CODEC.open(data)
    change = brighter(picture)
    written = picture.write([change], xmp)
    assert (written.way, written.format) == ("recoded", "AVIF")
    assert CODEC.open(data).write([change], xmp) == written
    again = CODEC.open(array(written.content))
    assert again.pages == picture.pages
    close(again.samples(0), edited_samples(picture, change))
    np.testing.assert_array_equal(imagecodecs.avif_decode(written.content), again.samples(0))
    config = [meta_of(memoryview(each)).property_of(1, b"av1C") for each in (data.tobytes(), written.content)]
    assert config[0] is not None
    assert config[1] is not None
    assert config[0][2] & 0x1C == config[1][2] & 0x1C


@pytest.mark.parametrize("value", range(1, 9))
def test_every_orientation_is_shown_upright_and_stored_as_it_was(value: int, xmp: Xmp) -> None:
    exif = Image.Exif()
    exif[274] = value
    data = avif(smooth(), exif=exif)
    opened = Image.open(io.BytesIO(data.tobytes()))
    shown = upright(np.asarray(opened), opened.getexif().get(274, 1))
    picture = CODEC.open(data)
    assert picture.pages[0].orientation == value
    np.testing.assert_array_equal(picture.samples(0), shown)
    change = brighter(picture)
    written = picture.write([change], xmp)
    close(CODEC.open(array(written.content)).samples(0), edited_samples(picture, change))
    assert Image.open(io.BytesIO(written.content)).getexif().get(274, 1) == value


@pytest.mark.parametrize("packet", [b"", XMP])
def test_exif_and_profile_stay_byte_for_byte_and_the_packet_is_renewed(packet: bytes, xmp: Xmp) -> None:
    exif = Image.Exif()
    exif[271] = "Kodak"
    exif[274] = 6
    data = avif(smooth(), exif=exif, xmp=packet, icc_profile=b"p" * 600)
    picture = CODEC.open(data)
    written = picture.write([brighter(picture)], xmp)
    assert item_contents(written.content, b"Exif") == item_contents(data.tobytes(), b"Exif")
    assert item_contents(written.content, b"mime") == [xmp(packet or None)]
    again = Image.open(io.BytesIO(written.content))
    assert again.info["icc_profile"] == picture.pages[0].icc == b"p" * 600
    assert again.info["xmp"] == xmp(packet or None)
    assert again.getexif()[271] == "Kodak"


def test_the_primaries_stay_those_of_the_file(xmp: Xmp) -> None:
    content = avif(smooth()).tobytes()
    wide = content.replace(b"colrnclx\0\1\0\r", b"colrnclx\0\x0c\0\r")
    assert wide != content
    picture = CODEC.open(array(wide))
    assert b"colrnclx\0\x0c\0\r" in picture.write([brighter(picture)], xmp).content


def test_transparency_keeps_its_very_bytes(xmp: Xmp) -> None:
    alpha = (np.indices((96, 128)).sum(axis=0) % 256).astype(np.uint8)[..., None]
    data = avif(np.concatenate([smooth(), alpha], axis=2))
    picture = CODEC.open(data)
    assert picture.pages[0].mode == "RGBA"
    change = brighter(picture)
    written = picture.write([change], xmp)
    result = CODEC.open(array(written.content)).samples(0)
    np.testing.assert_array_equal(result[..., 3], picture.samples(0)[..., 3])
    close(result, edited_samples(picture, change))
    assert item_contents(data.tobytes(), b"av01")[1] in written.content


def test_grey_stays_grey(xmp: Xmp) -> None:
    picture = CODEC.open(avif(smooth()[..., 0]))
    assert (picture.pages[0].space, picture.pages[0].channels) == ("L", 1)
    change = brighter(picture)
    again = CODEC.open(array(picture.write([change], xmp).content))
    assert again.pages == picture.pages
    close(again.samples(0), edited_samples(picture, change))


def test_without_an_edit_the_picture_keeps_its_bytes(xmp: Xmp) -> None:
    data = avif(smooth())
    picture = CODEC.open(data)
    change = brighter(picture)
    nothing = Edit(0, change.window, change.samples, np.zeros_like(change.mask))
    for edits in ([], [nothing]):
        written = picture.write(edits, xmp)
        assert written.way == "lossless"
        assert item_contents(written.content, b"av01") == item_contents(data.tobytes(), b"av01")


def test_the_replaced_picture_is_gone_and_other_boxes_stay(xmp: Xmp) -> None:
    data = array(avif(smooth()).tobytes() + made(b"free", b"nobody knows") + struct.pack(">I4s", 0, b"free") + b"end")
    picture = CODEC.open(data)
    written = picture.write([brighter(picture)], xmp)
    assert item_contents(data.tobytes(), b"av01")[0] not in written.content
    assert made(b"free", b"nobody knows") in written.content
    assert written.content.endswith(made(b"free", b"end"))


def test_a_packet_that_cannot_be_read_is_left_and_noted(xmp: Xmp) -> None:
    picture = CODEC.open(avif(smooth(), xmp=b"<broken"))
    written = picture.write([brighter(picture)], xmp)
    assert item_contents(written.content, b"mime") == [b"<broken"]
    assert "without the record" in written.note


def test_animations_and_deep_pictures_are_unsupported() -> None:
    frames = [Image.fromarray(np.roll(smooth(), shift, axis=0)) for shift in (0, 9)]
    assert fault(CODEC, saved(frames[0], "AVIF", save_all=True, append_images=frames[1:])) is FaultClass.UNSUPPORTED
    deep = imagecodecs.avif_encode((smooth().astype(np.uint16) << 2), bitspersample=10)
    assert fault(CODEC, array(bytes(deep))) is FaultClass.UNSUPPORTED


def test_a_grid_is_encoded_again_tile_by_tile(xmp: Xmp) -> None:
    picture = CODEC.open(grid())
    assert (picture.pages[0].width, picture.pages[0].height) == (250, 120)
    change = brighter(picture)
    written = picture.write([change], xmp)
    assert written.note == "2 of 2 tiles are encoded again"
    close(CODEC.open(array(written.content)).samples(0), edited_samples(picture, change))
    assert imagecodecs.avif_decode(written.content).shape == (120, 250, 3)


def grid() -> NDArray[np.uint8]:
    """Two tiles of 128 x 128 side by side, of which 250 x 120 are shown."""
    tiles = [avif(np.roll(smooth(128, 128), shift, axis=1)).tobytes() for shift in (0, 30)]
    metas = [meta_of(memoryview(each)) for each in tiles]
    payloads = [meta.content(memoryview(tile), 1) for meta, tile in zip(metas, tiles, strict=True)]
    derived = bytes([0, 0, 0, 1]) + struct.pack(">HH", 250, 120)
    first = metas[0].properties_of(1)
    shown = made(b"ispe", struct.pack(">III", 0, 250, 120))
    kinds = [b"grid", b"av01", b"av01"]
    entries = [
        made(b"infe", b"\2\0\0\0" + struct.pack(">HH", at, 0) + kind + b"\0") for at, kind in enumerate(kinds, 1)
    ]
    links = made(b"iref", bytes(4), made(b"dimg", struct.pack(">HHHH", 1, 2, 2, 3)))
    own = bytes([len(first) + 1, *range(2, len(first) + 1)])
    others = bytes(range(1, len(first) + 1))
    associations = b"".join(
        struct.pack(">HB", at, len(each)) + each for at, each in [(1, own), (2, others), (3, others)]
    )
    properties = made(b"ipco", *first, shown) + made(b"ipma", bytes(4), struct.pack(">I", 3), associations)
    handler = made(b"hdlr", bytes(8) + b"pict" + bytes(13))

    def meta_box(start: int) -> bytes:
        places: list[bytes] = [struct.pack(">HHHHII", 1, 1, 0, 1, 0, len(derived))]
        for item, payload in enumerate(payloads, 2):
            places.append(struct.pack(">HHHHII", item, 0, 0, 1, start, len(payload)))
            start += len(payload)
        iloc = made(b"iloc", b"\1\0\0\0\x44\0\0\3", *places)
        items = made(b"iinf", bytes(4) + b"\0\3", *entries)
        primary = made(b"pitm", bytes(4) + b"\0\1")
        return made(
            b"meta", bytes(4), handler, primary, iloc, items, links, made(b"iprp", properties), made(b"idat", derived)
        )

    head = made(b"ftyp", b"avif" + bytes(4) + b"avifmif1miaf")
    size = len(meta_box(0))
    return array(head + meta_box(len(head) + size + 8) + made(b"mdat", *payloads))


def test_avif_and_heic_are_told_apart_by_their_brands() -> None:
    def head(major: bytes, *others: bytes) -> bytes:
        return made(b"ftyp", major, bytes(4), *others).ljust(64, b"\0")

    assert CODEC.sniff(head(b"avif", b"mif1"))
    assert CODEC.sniff(head(b"mif1", b"miaf", b"avif"))
    assert not CODEC.sniff(head(b"mif1", b"heic"))
    assert heic.CODEC.sniff(head(b"mif1", b"heic"))
    assert heic.CODEC.sniff(head(b"heic", b"mif1"))
    assert not heic.CODEC.sniff(head(b"mif1", b"miaf", b"avif"))
    assert not heic.CODEC.sniff(head(b"isom", b"mp42"))


def test_a_file_cut_short_is_truncated_wherever_it_is_cut() -> None:
    whole = avif(smooth(), xmp=XMP)
    for stop in (40, 200, whole.size // 3, whole.size * 2 // 3, whole.size - 1):
        assert fault(CODEC, whole[:stop]) is FaultClass.TRUNCATED


def test_damaged_files_decode_or_are_a_photos_fault(xmp: Xmp) -> None:
    dice = np.random.default_rng(1839)
    whole = avif(smooth(32, 48), xmp=XMP, icc_profile=b"p")
    for _ in range(200):
        broken = whole.copy()
        broken[dice.integers(32, 700, 2)] = dice.integers(0, 256, 2)
        decodes_or_is_at_fault(CODEC, broken, lambda picture: picture.write([], xmp))
        decodes_or_is_at_fault(CODEC, broken, lambda picture: picture.samples(0).shape)


def test_the_real_file_comes_out_close_to_what_it_was(formats: Path, xmp: Xmp) -> None:
    picture = CODEC.open(array((formats / "photo.avif").read_bytes()))
    np.testing.assert_array_equal(picture.samples(0), np.asarray(Image.open(formats / "photo.avif").convert("RGB")))
    change = brighter(picture)
    close(CODEC.open(array(picture.write([change], xmp).content)).samples(0), edited_samples(picture, change))
