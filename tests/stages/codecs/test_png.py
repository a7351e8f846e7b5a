"""PNG: what is kept, what is expanded, and what is wrong with broken files."""

import io
import struct
import zlib
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import pytest
from codec_kit import WINDOW, XMP, array, check_lossless, decodes_or_is_at_fault, edit, fault, noise, saved, smooth
from numpy.typing import NDArray
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from stages.codecs import png_image
from stages.codecs.png import CODEC
from stages.codecs.png_chunks import SIGNATURE, chunks_of, made, packet_of
from stages.photo import FaultClass, PhotoFault
from stages.picture import Drawing, Edit, Samples, Xmp

ICC = b"profile" * 1000
DEEP = np.uint16


def chunk_list(content: bytes) -> list[tuple[bytes, bytes]]:
    """Kind and content of every chunk, image data as one."""
    data = memoryview(content)
    return [(chunk.kind, bytes(data[chunk.start : chunk.stop])) for chunk in chunks_of(data)]


def png(samples: Samples, *extra: bytes) -> NDArray[np.uint8]:
    """A file with chunks of one's own before the image data."""
    first, *rest = chunk_list(bytes(imagecodecs.png_encode(samples)))
    return array(b"".join([SIGNATURE, first[1], *extra, *(content for _, content in rest)]))


def raw(width: int, height: int, depth: int, kind: int, rows: bytes, *extra: bytes) -> NDArray[np.uint8]:
    """A file of packed, unfiltered rows, each with its zero in front."""
    header = made(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0))
    return array(SIGNATURE + header + b"".join(extra) + made(b"IDAT", zlib.compress(rows)) + made(b"IEND", b""))


def orientation(value: int) -> bytes:
    exif = Image.Exif()
    exif[274] = value
    exif[271] = "Kodak"
    return made(b"eXIf", exif.tobytes()[6:])


@pytest.mark.parametrize(
    ("shape", "dtype", "mode"),
    [
        ((24, 40), np.uint8, "L"),
        ((24, 40, 2), np.uint8, "LA"),
        ((24, 40, 3), np.uint8, "RGB"),
        ((24, 40, 4), np.uint8, "RGBA"),
        ((24, 40), DEEP, "I;16"),
        ((24, 40, 2), DEEP, "LA;16"),
        ((24, 40, 3), DEEP, "RGB;16"),
        ((24, 40, 4), DEEP, "RGBA;16"),
    ],
)
def test_depth_and_channels_stay_and_no_sample_outside_the_edit_changes(
    shape: tuple[int, ...], dtype: type[np.uint8] | type[np.uint16], mode: str, xmp: Xmp
) -> None:
    source = noise(*shape, dtype=dtype)
    data = png(source)
    picture = CODEC.open(data)
    assert picture.pages[0].mode == mode
    assert picture.pages[0].depth == 8 * np.dtype(dtype).itemsize
    np.testing.assert_array_equal(picture.samples(0).squeeze(), source)
    written = check_lossless(CODEC, data, xmp)
    assert (written.way, written.format, written.note) == ("lossless", "PNG", "")
    assert CODEC.open(array(written.content)).pages == picture.pages
    independent = cv2.imdecode(array(written.content), cv2.IMREAD_UNCHANGED)
    assert independent is not None
    if len(shape) == 2 or shape[2] == 3:
        order = slice(None, None, -1) if len(shape) == 3 else slice(None)
        expected = CODEC.open(array(written.content)).samples(0).squeeze()
        np.testing.assert_array_equal(independent[..., order] if len(shape) == 3 else independent, expected)


@pytest.mark.parametrize("value", range(1, 9))
def test_every_orientation_is_shown_upright_and_stored_as_it_was(value: int, xmp: Xmp) -> None:
    source = noise(32, 40, 3)
    data = png(source, orientation(value))
    shown = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data.tobytes()))))
    picture = CODEC.open(data)
    assert (picture.pages[0].height, picture.pages[0].width) == shown.shape[:2]
    np.testing.assert_array_equal(picture.samples(0), shown)
    written = check_lossless(CODEC, data, xmp)
    again = Image.open(io.BytesIO(written.content))
    assert again.getexif()[274] == value
    assert (np.asarray(again) != source).any(axis=2).sum() == edit(picture).mask.sum()


def test_every_chunk_but_image_and_xmp_stays_byte_for_byte_and_in_order(xmp: Xmp) -> None:
    extra = [
        made(b"gAMA", struct.pack(">I", 45455)),
        made(b"iCCP", b"scanner\0\0" + zlib.compress(ICC)),
        made(b"sBIT", b"\x08\x08\x08"),
        made(b"pHYs", struct.pack(">IIB", 23622, 23622, 1)),
        made(b"tIME", b"\x07\xd0\1\1\0\0\0"),
        made(b"zzZz", b"nobody knows"),
        made(b"tEXt", b"Comment\0box 7"),
        orientation(1),
    ]
    first, *rest = chunk_list(png(noise(24, 40, 3), *extra).tobytes())
    after = made(b"tEXt", b"Author\0after the image")
    content = SIGNATURE + first[1] + b"".join(each[1] for each in rest[:-1]) + after + rest[-1][1] + b"trailing bytes"
    written = check_lossless(CODEC, array(content), xmp)
    old, new = chunk_list(content), chunk_list(written.content)
    assert [each for each in new if each[0] not in {b"IDAT", b"iTXt"}] == [each for each in old if each[0] != b"IDAT"]
    assert new[[kind for kind, _ in new].index(b"IDAT") - 1][0] == b"iTXt"
    assert written.content.endswith(b"trailing bytes")
    assert CODEC.open(array(content)).pages[0].icc == ICC


@pytest.mark.parametrize("compressed", [False, True])
def test_the_xmp_packet_is_replaced_where_it_stands(compressed: bool, xmp: Xmp) -> None:
    text = PngInfo()
    text.add_text("Title", "the first")
    text.add_itxt("XML:com.adobe.xmp", XMP.decode(), zip=compressed)
    text.add_text("Comment", "the last")
    data = saved(noise(24, 40, 3), "PNG", pnginfo=text)
    written = check_lossless(CODEC, data, xmp)
    assert [kind for kind, _ in chunk_list(written.content)] == [kind for kind, _ in chunk_list(data.tobytes())]
    found = next(content for kind, content in chunk_list(written.content) if kind == b"iTXt")
    assert packet_of(found[8:-4]) == xmp(XMP)
    assert Image.open(io.BytesIO(written.content)).info["xmp"] == xmp(XMP)


@pytest.mark.parametrize("chunk", [b"XML:com.adobe.xmp\0\0\0\0\0<broken", b"XML:com.adobe.xmp\0\1\0\0\0no zlib"])
def test_a_packet_that_cannot_be_read_is_left_and_noted(chunk: bytes, xmp: Xmp) -> None:
    data = png(noise(24, 40, 3), made(b"iTXt", chunk))
    written = check_lossless(CODEC, data, xmp)
    assert made(b"iTXt", chunk) in written.content
    assert "without the record" in written.note
    assert written.content.count(b"XML:com.adobe.xmp") == 1


def test_without_an_edit_the_image_data_stays_as_it_is(xmp: Xmp) -> None:
    data = saved(Image.fromarray(noise(24, 40, 3)).quantize(16), "PNG")
    picture = CODEC.open(data)
    nothing = Edit(0, WINDOW, picture.window(0, WINDOW), np.zeros((16, 20), np.bool_))
    for edits in ([], [nothing]):
        written = CODEC.open(data).write(edits, xmp)
        assert written.way == "lossless"
        assert [each for each in chunk_list(written.content) if each[0] != b"iTXt"] == chunk_list(data.tobytes())


@pytest.mark.parametrize("transparent", [False, True])
def test_a_palette_becomes_rgb_and_with_transparency_rgba(transparent: bool, xmp: Xmp) -> None:
    image = Image.fromarray(noise(24, 40, 3)).quantize(16)
    data = saved(image, "PNG", **({"transparency": bytes(range(0, 160, 10))} if transparent else {}))
    mode = "RGBA" if transparent else "RGB"
    picture = CODEC.open(data)
    assert (picture.pages[0].mode, picture.pages[0].alpha) == ("P", transparent)
    np.testing.assert_array_equal(picture.samples(0), np.asarray(Image.open(io.BytesIO(data.tobytes())).convert(mode)))
    written = check_lossless(CODEC, data, xmp)
    assert written.way == "converted"
    assert Image.open(io.BytesIO(written.content)).mode == mode
    assert {b"PLTE", b"tRNS"}.isdisjoint(kind for kind, _ in chunk_list(written.content))


def test_the_background_of_a_palette_becomes_its_colour(xmp: Xmp) -> None:
    palette = made(b"PLTE", bytes([9, 8, 7, 60, 70, 80]))
    data = raw(40, 24, 8, 3, (b"\0" + bytes(40)) * 24, palette, made(b"bKGD", b"\1"), made(b"hIST", bytes(4)))
    chunks = dict(chunk_list(check_lossless(CODEC, data, xmp).content))
    assert chunks[b"bKGD"][8:-4] == struct.pack(">HHH", 60, 70, 80)
    assert b"hIST" not in chunks


@pytest.mark.parametrize("depth", [2, 4])
def test_a_grey_of_few_bits_becomes_one_of_eight_with_its_transparent_level(depth: int, xmp: Xmp) -> None:
    rows = b"".join(b"\0" + noise(40 * depth // 8, seed=line).tobytes() for line in range(24))
    data = raw(40, 24, depth, 0, rows, made(b"tRNS", b"\0\1"))
    before = np.asarray(Image.open(io.BytesIO(data.tobytes())).convert("L"))
    key = 255 // (2**depth - 1)
    picture = CODEC.open(data)
    written = picture.write([edit(picture)], xmp)
    after = Image.open(io.BytesIO(written.content))
    assert (written.way, after.mode) == ("converted", "L")
    np.testing.assert_array_equal(np.asarray(after.convert("LA"))[..., 1] == 0, before == key)
    np.testing.assert_array_equal(np.asarray(after)[20:], before[20:])


def test_a_bilevel_page_is_handed_through(xmp: Xmp) -> None:
    data = saved(Image.fromarray(noise(24, 40)).convert("1"), "PNG")
    picture = CODEC.open(data)
    assert (picture.pages[0].passed, picture.pages[0].mode) == ("bilevel", "1")
    assert set(np.unique(picture.samples(0))) == {0, 255}
    assert [k for k, _ in chunk_list(picture.write([], xmp).content)] == [b"IHDR", b"iTXt", b"IDAT", b"IEND"]


@pytest.mark.parametrize(("key", "dtype"), [((255, 10, 255), np.uint8), ((65535, 7, 300), DEEP)])
def test_the_same_pixels_are_transparent_with_a_colour_key_as_before(
    key: tuple[int, int, int], dtype: type[np.uint8] | type[np.uint16], xmp: Xmp
) -> None:
    source = noise(24, 40, 3, dtype=dtype)
    source[4, 6] = key  # transparent, and inside the edit
    data = png(source, made(b"tRNS", struct.pack(">HHH", *key)))
    picture = CODEC.open(data)
    change = edit(picture)
    new = change.samples.copy()
    new[:] = np.where(change.mask[..., None], np.array(key, dtype), change.samples)
    new[4 - 3, 6 - 5] = 99
    mask = change.mask.copy()
    mask[4 - 3, 6 - 5] = True
    written = picture.write([Edit(0, WINDOW, new, mask)], xmp)
    result = CODEC.open(array(written.content)).samples(0)
    np.testing.assert_array_equal((result == key).all(axis=2), (source == key).all(axis=2))
    assert np.abs(result[3:19, 5:25].astype(int) - new).max(axis=2)[mask].max() >= 1
    assert np.sort(np.abs(result[3:19, 5:25].astype(int) - new).sum(axis=2)[mask])[-2] == 1


def test_an_interlaced_file_comes_out_without_interlacing(xmp: Xmp) -> None:
    source = noise(24, 40, 3)
    rows = b"".join(
        b"\0" + source[y0::dy, x0::dx][line].tobytes()
        for x0, y0, dx, dy in [
            (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)
        ]
        for line in range(source[y0::dy].shape[0])
    )  # fmt: skip
    header = made(b"IHDR", struct.pack(">IIBBBBB", 40, 24, 8, 2, 0, 0, 1))
    data = array(SIGNATURE + header + made(b"IDAT", zlib.compress(rows)) + made(b"IEND", b""))
    np.testing.assert_array_equal(CODEC.open(data).samples(0), source)
    written = check_lossless(CODEC, data, xmp)
    assert written.content[28] == 0


def test_apples_table_of_places_in_the_image_data_goes(xmp: Xmp) -> None:
    data = png(noise(24, 40, 3), made(b"iDOT", bytes(28)))
    assert b"iDOT" not in check_lossless(CODEC, data, xmp).content


@pytest.mark.parametrize("dtype", [np.uint8, DEEP])
def test_image_data_of_several_bands_are_read_by_others(
    dtype: type[np.uint8] | type[np.uint16], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(png_image, "BAND", 1000)
    monkeypatch.setattr(png_image, "CHUNK", 3000)
    samples = smooth(90, 70).astype(dtype) + noise(90, 70, 3, dtype=dtype) // 64
    assert CODEC.create
    content = CODEC.create(Drawing(samples, "RGB", alpha=False))
    assert content.count(b"IDAT") > 1
    found = cv2.imdecode(array(content), cv2.IMREAD_UNCHANGED)
    assert found is not None
    np.testing.assert_array_equal(found[..., ::-1], samples)


def test_an_animation_is_unsupported_but_one_frame_is_a_photo() -> None:
    frames = [Image.fromarray(noise(24, 40, 3, seed=seed)) for seed in (1, 2)]
    moving = saved(frames[0], "PNG", save_all=True, append_images=frames[1:])
    assert fault(CODEC, moving) is FaultClass.UNSUPPORTED
    assert CODEC.open(png(noise(24, 40, 3), made(b"acTL", struct.pack(">II", 1, 0)))).pages[0].width == 40


def test_a_file_cut_short_is_truncated_wherever_it_is_cut() -> None:
    whole = png(noise(200, 200, 3))
    for stop in (20, whole.size // 3, whole.size * 2 // 3, whole.size - 12, whole.size - 1):
        assert fault(CODEC, whole[:stop]) is FaultClass.TRUNCATED


def test_wrong_checksums_and_short_image_data_are_corrupt() -> None:
    whole = png(noise(24, 40, 3))
    for place in (20, whole.size // 2, whole.size - 14):
        broken = whole.copy()
        broken[place] ^= 1
        assert fault(CODEC, broken) is FaultClass.CORRUPT
    assert fault(CODEC, raw(40, 24, 8, 2, bytes(100))) is FaultClass.CORRUPT
    assert fault(CODEC, array(SIGNATURE + made(b"IHDR", bytes(13)) + made(b"IDAT", b"") + made(b"IEND", b""))) is (
        FaultClass.CORRUPT
    )


def test_damaged_files_decode_or_are_a_photos_fault(xmp: Xmp) -> None:
    dice = np.random.default_rng(1839)
    whole = saved(Image.fromarray(noise(24, 40, 3)).quantize(16), "PNG", icc_profile=b"p" * 99)
    for _ in range(200):
        broken = whole.copy()
        broken[dice.integers(8, whole.size, 2)] = dice.integers(0, 256, 2)
        decodes_or_is_at_fault(CODEC, broken, lambda picture: picture.write([edit(picture)], xmp))


def test_a_profile_that_inflates_without_end_is_ignored_and_kept(xmp: Xmp) -> None:
    bomb = made(b"iCCP", b"bomb\0\0" + zlib.compress(bytes(40_000_000), 1))
    data = png(noise(24, 40, 3), bomb)
    assert CODEC.open(data).pages[0].icc is None
    assert bomb in check_lossless(CODEC, data, xmp).content


@pytest.mark.parametrize(
    ("space", "alpha", "dtype"),
    [("L", False, np.uint8), ("L", True, DEEP), ("RGB", False, DEEP), ("RGB", True, np.uint8)],
)
def test_a_new_file_holds_what_was_drawn(space: str, alpha: bool, dtype: type[np.uint8] | type[np.uint16]) -> None:
    assert CODEC.create
    samples = noise(24, 40, {"L": 1, "RGB": 3}[space] + alpha, dtype=dtype)
    exif = orientation(6)[8:-4]
    drawn = Drawing(samples, "L" if space == "L" else "RGB", alpha, ICC, exif, XMP, (300, 300))
    content = CODEC.create(drawn)
    picture = CODEC.open(array(content))
    page = picture.pages[0]
    assert (page.space, page.alpha, page.orientation, page.icc) == (space, alpha, 1, ICC)
    np.testing.assert_array_equal(picture.samples(0), samples)
    independent = Image.open(io.BytesIO(content))
    assert independent.info["dpi"] == pytest.approx((300, 300), abs=0.02)
    assert independent.info["xmp"] == XMP
    assert independent.getexif()[271] == "Kodak"


def test_a_new_file_in_cmyk_is_refused() -> None:
    assert CODEC.create
    with pytest.raises(PhotoFault):
        CODEC.create(Drawing(noise(4, 4, 4), "CMYK", alpha=False))


@pytest.mark.parametrize(
    ("name", "mode", "depth"), [("gray16.png", "I;16", 16), ("rgb16.png", "RGB;16", 16), ("gray_alpha.png", "LA", 8)]
)
def test_real_files_come_out_as_they_went_in(formats: Path, name: str, mode: str, depth: int, xmp: Xmp) -> None:
    data = array((formats / name).read_bytes())
    picture = CODEC.open(data)
    assert (picture.pages[0].mode, picture.pages[0].depth) == (mode, depth)
    np.testing.assert_array_equal(picture.samples(0).squeeze(), imagecodecs.png_decode(data.tobytes()))
    assert check_lossless(CODEC, data, xmp).way == "lossless"


def test_frames_without_their_control_chunk_are_an_animation() -> None:
    assert fault(CODEC, png(noise(24, 40, 3), made(b"fdAT", bytes(9)))) is FaultClass.UNSUPPORTED


def test_a_chunk_whose_checksum_is_wrong_is_a_fault() -> None:
    right = made(b"tEXt", b"Comment\0box 7")
    png_with = CODEC.open(png(noise(24, 40, 3), right))
    assert png_with.pages[0].mode == "RGB"
    assert fault(CODEC, png(noise(24, 40, 3), right[:-1] + bytes([right[-1] ^ 1]))) is FaultClass.CORRUPT
