"""HEIC: the tiles under the faces are encoded again, every other item and property stays."""

import importlib.util
import io
import struct
from pathlib import Path

import numpy as np
import pytest
from codec_kit import XMP, array, decodes_or_is_at_fault, edit, edited_samples, fault, smooth
from numpy.typing import NDArray
from PIL import Image

from stages.codecs.heic import CODEC
from stages.codecs.heif_meta import meta_of
from stages.codecs.heif_picture import meet
from stages.photo import FaultClass, PhotoFault
from stages.picture import Edit, Picture, Samples, Window, Xmp
from stages.turn import upright

INSTALLED = importlib.util.find_spec("pillow_heif") is not None
needs_extra = pytest.mark.skipif(not INSTALLED, reason="the extra heic is not installed")


def heic(samples: Samples, **options: object) -> NDArray[np.uint8]:
    import pillow_heif

    height, width, *channels = samples.shape
    mode = {(): "L", (3,): "RGB", (4,): "RGBA"}[tuple(channels)] + (";16" if samples.dtype == np.uint16 else "")
    out = io.BytesIO()
    settings = {"quality": 80, "enc_params": {"preset": "ultrafast"}} | options
    pillow_heif.encode(mode, (width, height), samples.tobytes(), out, **settings)
    return array(out.getvalue())


def shown(content: bytes) -> Samples:
    """What the library shows, upright."""
    import pillow_heif

    found = np.asarray(pillow_heif.open_heif(io.BytesIO(content)))
    return found if found.ndim == 3 else found[..., None]


def brighter(picture: Picture, window: Window = (8, 16, 40, 56)) -> Edit:
    """A soft change that a codec with loss can follow."""
    change = edit(picture, window)
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


def exif_of(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[271] = "Apple"
    exif[274] = orientation
    return exif.tobytes()


@needs_extra
@pytest.mark.parametrize("size", [(96, 128), (95, 127)])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
def test_the_picture_is_encoded_again_with_its_own_subsampling(
    subsampling: str, size: tuple[int, int], xmp: Xmp
) -> None:
    data = heic(smooth(*size), subsampling=subsampling)
    picture = CODEC.open(data)
    np.testing.assert_array_equal(picture.samples(0), shown(data.tobytes()))
    change = brighter(picture)
    written = picture.write([change], xmp)
    assert (written.way, written.format, written.note) == ("recoded", "HEIC", "")
    assert CODEC.open(data).write([change], xmp) == written
    again = CODEC.open(array(written.content))
    assert again.pages == picture.pages
    close(shown(written.content), edited_samples(picture, change))
    config = [meta_of(memoryview(each)).property_of(1, b"hvcC") for each in (data.tobytes(), written.content)]
    assert config[0] is not None
    assert config[1] is not None
    assert config[0][16] == config[1][16]


@needs_extra
@pytest.mark.parametrize("tile", [None, 64])
@pytest.mark.parametrize("value", range(1, 9))
def test_every_orientation_is_shown_upright_and_stored_as_it_was(value: int, tile: int | None, xmp: Xmp) -> None:
    source = smooth(100, 140)
    data = heic(source, exif=exif_of(value), **({"tile_size": tile} if tile else {}))
    picture = CODEC.open(data)
    assert picture.pages[0].orientation == value
    close(picture.samples(0), upright(source, value))
    np.testing.assert_array_equal(picture.samples(0), shown(data.tobytes()))
    change = brighter(picture)
    written = picture.write([change], xmp)
    assert CODEC.open(array(written.content)).pages == picture.pages
    close(shown(written.content), edited_samples(picture, change))
    assert item_contents(written.content, b"Exif") == item_contents(data.tobytes(), b"Exif")


@needs_extra
def test_only_the_tiles_under_an_edit_change(xmp: Xmp) -> None:
    data = heic(smooth(200, 300), tile_size=64)
    picture = CODEC.open(data)
    change = brighter(picture, (70, 70, 120, 150))
    written = picture.write([change], xmp)
    assert (written.way, written.note) == ("recoded", "2 of 20 tiles are encoded again")
    result = shown(written.content)
    expected = edited_samples(picture, change)
    close(result, expected)
    untouched = np.ones((200, 300), np.bool_)
    untouched[60:196, 60:132] = False
    np.testing.assert_array_equal(result[untouched], expected[untouched])
    before, after = item_contents(data.tobytes(), b"hvc1"), item_contents(written.content, b"hvc1")
    assert sum(old != new for old, new in zip(before, after, strict=True)) == 2


@needs_extra
@pytest.mark.parametrize("full", [0, 1])
@pytest.mark.parametrize("matrix", [1, 6, 9])
def test_new_tiles_use_the_colour_matrix_of_the_old_ones(matrix: int, full: int, xmp: Xmp) -> None:
    points = {
        "color_primaries": 12, "transfer_characteristics": 13, "matrix_coefficients": matrix, "full_range_flag": full
    }  # fmt: skip
    picture = CODEC.open(heic(smooth(200, 300), tile_size=64, quality=90, **points))
    change = brighter(picture, (70, 70, 120, 150))
    written = picture.write([change], xmp)
    assert written.note.startswith("2 of 20")
    x0, y0, x1, y1 = change.window
    close(shown(written.content)[y0:y1, x0:x1], change.samples)
    meta = meta_of(memoryview(written.content))
    tiles = meta.targets(b"dimg", meta.primary)
    assert {meta.property_of(tile, b"colr") for tile in tiles} == {
        b"nclx" + struct.pack(">HHHB", 12, 13, matrix, full << 7)
    }


@needs_extra
def test_all_tiles_are_encoded_again_where_new_ones_do_not_fit(xmp: Xmp) -> None:
    unknown = heic(smooth(200, 300), tile_size=64, quality=90, matrix_coefficients=6, full_range_flag=0)
    picture = CODEC.open(array(unknown.tobytes().replace(b"colrnclx", b"freenclx")))
    change = brighter(picture, (70, 70, 120, 150))
    written = picture.write([change], xmp)
    assert written.note == "20 of 20 tiles are encoded again"
    close(shown(written.content), edited_samples(picture, change))


@needs_extra
@pytest.mark.parametrize("packet", [None, XMP])
def test_exif_and_profile_stay_byte_for_byte_and_the_packet_is_renewed(packet: bytes | None, xmp: Xmp) -> None:
    data = heic(smooth(), exif=exif_of(6), xmp=packet, icc_profile=b"p" * 600, icc_profile_type="prof")
    picture = CODEC.open(data)
    written = picture.write([brighter(picture)], xmp)
    assert item_contents(written.content, b"Exif") == item_contents(data.tobytes(), b"Exif")
    assert item_contents(written.content, b"mime") == [xmp(packet)]
    assert picture.pages[0].icc == CODEC.open(array(written.content)).pages[0].icc == b"p" * 600


@needs_extra
def test_transparency_keeps_its_samples_and_grey_stays_grey(xmp: Xmp) -> None:
    alpha = (np.indices((96, 128)).sum(axis=0) % 256).astype(np.uint8)[..., None]
    for source, mode in ((np.concatenate([smooth(), alpha], axis=2), "RGBA"), (smooth()[..., 0], "L")):
        picture = CODEC.open(heic(source))
        assert picture.pages[0].mode == mode
        change = brighter(picture)
        again = CODEC.open(array(picture.write([change], xmp).content))
        assert again.pages == picture.pages
        close(again.samples(0), edited_samples(picture, change))
        if mode == "RGBA":
            np.testing.assert_array_equal(again.samples(0)[..., 3], picture.samples(0)[..., 3])


@needs_extra
def test_without_an_edit_the_picture_keeps_its_bytes(xmp: Xmp) -> None:
    data = heic(smooth())
    written = CODEC.open(data).write([], xmp)
    assert written.way == "lossless"
    assert item_contents(written.content, b"hvc1") == item_contents(data.tobytes(), b"hvc1")


@needs_extra
def test_deep_pictures_are_unsupported() -> None:
    assert fault(CODEC, heic(smooth().astype(np.uint16) * np.uint16(256), bit_depth=10)) is FaultClass.UNSUPPORTED


@needs_extra
def test_pillow_learns_no_new_format() -> None:
    data = heic(smooth())
    before = dict(Image.registered_extensions())  # imageio, which scikit-image imports, may have taught it HEIF
    CODEC.open(data).samples(0)
    assert Image.registered_extensions() == before


@needs_extra
def test_a_file_cut_short_is_truncated_wherever_it_is_cut() -> None:
    whole = heic(smooth(), xmp=XMP)
    for stop in (40, 200, whole.size // 3, whole.size * 2 // 3, whole.size - 1):
        assert fault(CODEC, whole[:stop]) is FaultClass.TRUNCATED


@needs_extra
def test_damaged_files_decode_or_are_a_photos_fault(xmp: Xmp) -> None:
    dice = np.random.default_rng(1839)
    whole = heic(smooth(64, 96), xmp=XMP, tile_size=64)
    for _ in range(200):
        broken = whole.copy()
        broken[dice.integers(32, 900, 2)] = dice.integers(0, 256, 2)
        decodes_or_is_at_fault(CODEC, broken, lambda picture: picture.write([], xmp))
        decodes_or_is_at_fault(CODEC, broken, lambda picture: picture.samples(0).shape)


def test_without_the_extra_it_is_unsupported(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: str) -> None:
        return None

    monkeypatch.setattr(importlib.util, "find_spec", missing)
    with pytest.raises(PhotoFault, match=r"daguerre\[heic\]") as caught:
        CODEC.open(array(struct.pack(">I", 24) + b"ftypheic"))
    assert caught.value.kind is FaultClass.UNSUPPORTED


@needs_extra
def test_the_real_file_comes_out_close_to_what_it_was(formats: Path, xmp: Xmp) -> None:
    content = (formats / "photo.heic").read_bytes()
    picture = CODEC.open(array(content))
    np.testing.assert_array_equal(picture.samples(0), shown(content))
    change = brighter(picture)
    close(shown(picture.write([change], xmp).content), edited_samples(picture, change))


def test_windows_that_share_an_edge_do_not_meet() -> None:
    tile = (64, 64, 128, 128)
    beside = [(0, 64, 64, 128), (128, 64, 192, 128), (64, 0, 128, 64), (64, 128, 128, 192)]
    assert not any(meet(tile, window) or meet(window, tile) for window in beside)
    corners = [(0, 0, 65, 65), (127, 127, 192, 192), (127, 0, 192, 65), (0, 127, 65, 192)]
    assert all(meet(tile, window) and meet(window, tile) for window in corners)
