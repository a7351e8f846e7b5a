"""WebP: lossless stays lossless, lossy is encoded again, and every other chunk stays."""

import io
from pathlib import Path

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
from PIL import Image, ImageOps

from stages.codecs.riff import Chunk, chunks_of, joined
from stages.codecs.webp import CODEC
from stages.photo import FaultClass, PhotoFault
from stages.picture import Drawing, Samples, Xmp


def webp(samples: Samples, **options: object) -> NDArray[np.uint8]:
    return saved(samples, "WEBP", **({"lossless": True, "exact": True} | options))


def chunk_list(content: bytes) -> list[tuple[bytes, bytes]]:
    return [(chunk.kind, bytes(chunk.content)) for chunk in chunks_of(memoryview(content))[0]]


@pytest.mark.parametrize("channels", [3, 4])
def test_lossless_stays_lossless_with_the_colours_under_transparency(channels: int, xmp: Xmp) -> None:
    source = noise(32, 40, channels)
    if channels == 4:
        source[:20, :, 3] = 0
    data = webp(source)
    np.testing.assert_array_equal(CODEC.open(data).samples(0), source)
    written = check_lossless(CODEC, data, xmp)
    assert (written.way, written.format) == ("lossless", "WEBP")
    independent = Image.open(io.BytesIO(written.content))
    np.testing.assert_array_equal(np.asarray(independent), CODEC.open(array(written.content)).samples(0))
    assert independent.info["xmp"] == xmp(None)
    assert CODEC.open(array(written.content)).pages == CODEC.open(data).pages


def test_transparency_that_is_opaque_everywhere_stays_a_channel(xmp: Xmp) -> None:
    source = noise(32, 40, 4)
    source[5, 6, 3] = 254
    found = chunk_list(webp(source).tobytes())
    source[5, 6, 3] = 255
    opaque = chunk_list(webp(source).tobytes())[-1][1]
    used = opaque[:4] + bytes([opaque[4] | 0x10]) + opaque[5:]
    data = array(joined(b"WEBP", [*(Chunk(*each) for each in found[:-1]), Chunk(b"VP8L", used)]))
    assert CODEC.open(data).pages[0].alpha
    written = check_lossless(CODEC, data, xmp)
    assert CODEC.open(array(written.content)).pages[0].alpha


@pytest.mark.parametrize("value", range(1, 9))
def test_every_orientation_is_shown_upright_and_stored_as_it_was(value: int, xmp: Xmp) -> None:
    exif = Image.Exif()
    exif[274] = value
    data = webp(noise(32, 40, 3), exif=exif)
    shown = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data.tobytes()))))
    np.testing.assert_array_equal(CODEC.open(data).samples(0), shown)
    written = check_lossless(CODEC, data, xmp)
    assert Image.open(io.BytesIO(written.content)).getexif()[274] == value
    assert Image.open(io.BytesIO(written.content)).size == (40, 32)


@pytest.mark.parametrize("lossless", [False, True])
@pytest.mark.parametrize("packet", [b"", XMP])
def test_profile_exif_and_unknown_chunks_stay_and_the_packet_is_renewed(
    lossless: bool, packet: bytes, xmp: Xmp
) -> None:
    exif = Image.Exif()
    exif[271] = "Kodak"
    whole = webp(noise(32, 40, 4), lossless=lossless, icc_profile=b"p" * 601, exif=exif, xmp=packet)
    chunks = [*(Chunk(*each) for each in chunk_list(whole.tobytes())), Chunk(b"zzzz", b"odd")]
    data = array(joined(b"WEBP", chunks, b"trailing"))
    picture = CODEC.open(data)
    written = picture.write([edit(picture)], xmp)
    drop = {b"VP8 ", b"VP8L", b"ALPH", b"XMP ", b"VP8X"}
    before = [each for each in chunk_list(data.tobytes()) if each[0] not in drop]
    assert [each for each in chunk_list(written.content) if each[0] not in drop] == before
    assert [kind for kind, _ in before] == [b"ICCP", b"EXIF", b"zzzz"]
    assert dict(chunk_list(written.content))[b"XMP "] == xmp(packet or None)
    assert dict(chunk_list(written.content))[b"VP8X"][0] == 0x3C
    assert written.content.endswith(b"trailing")
    assert CODEC.open(array(written.content)).pages == picture.pages
    assert picture.pages[0].icc == b"p" * 601


def test_lossy_is_encoded_again_close_to_what_it_was_with_the_same_transparency(xmp: Xmp) -> None:
    alpha = noise(96, 128, 1)
    data = webp(np.concatenate([smooth(), alpha], axis=2), lossless=False, quality=80)
    picture = CODEC.open(data)
    change = edit(picture, (0, 0, 16, 16))
    change.samples[:] = picture.window(0, change.window) // 2 * 2 + 1
    written = picture.write([change], xmp)
    assert written.way == "recoded"
    result = CODEC.open(array(written.content)).samples(0)
    expected = edited_samples(picture, change)
    opaque = expected[..., 3] > 128
    assert np.abs(result[..., :3].astype(int) - expected[..., :3])[opaque].mean() < 2
    np.testing.assert_array_equal(result[..., 3], expected[..., 3])


@pytest.mark.parametrize("lossless", [False, True])
def test_without_an_edit_the_image_data_stays_as_it_is(lossless: bool, xmp: Xmp) -> None:
    data = webp(noise(32, 40, 3), lossless=lossless)
    written = CODEC.open(data).write([], xmp)
    assert written.way == "lossless"
    assert [kind for kind, _ in chunk_list(written.content)] == [b"VP8X", chunk_list(data.tobytes())[0][0], b"XMP "]
    np.testing.assert_array_equal(CODEC.open(array(written.content)).samples(0), CODEC.open(data).samples(0))


def test_a_packet_that_cannot_be_read_is_left_and_noted(xmp: Xmp) -> None:
    data = webp(noise(32, 40, 3), xmp=b"<broken")
    written = check_lossless(CODEC, data, xmp)
    assert dict(chunk_list(written.content))[b"XMP "] == b"<broken"
    assert "without the record" in written.note


def test_an_animation_is_unsupported() -> None:
    frames = [Image.fromarray(noise(24, 40, 3, seed=seed)) for seed in (1, 2)]
    data = saved(frames[0], "WEBP", save_all=True, append_images=frames[1:])
    assert fault(CODEC, data) is FaultClass.UNSUPPORTED


@pytest.mark.parametrize("lossless", [False, True])
def test_a_file_cut_short_is_truncated_wherever_it_is_cut(lossless: bool) -> None:
    whole = webp(noise(64, 64, 3), lossless=lossless)
    for stop in (13, 30, whole.size // 3, whole.size * 2 // 3, whole.size - 1):
        assert fault(CODEC, whole[:stop]) is FaultClass.TRUNCATED


@pytest.mark.parametrize("lossless", [False, True])
def test_image_data_cut_short_inside_a_whole_file_are_a_fault(lossless: bool) -> None:
    chunks = chunk_list(webp(noise(64, 64, 3), lossless=lossless).tobytes())
    kind, content = chunks[-1]
    data = array(joined(b"WEBP", [Chunk(kind, content[: len(content) * 2 // 3])]))
    assert fault(CODEC, data) in {FaultClass.CORRUPT, FaultClass.TRUNCATED}


@pytest.mark.parametrize("lossless", [False, True])
def test_damaged_files_decode_or_are_a_photos_fault(lossless: bool, xmp: Xmp) -> None:
    dice = np.random.default_rng(1839)
    whole = webp(noise(24, 40, 4), lossless=lossless, exif=b"Exif\0\0no TIFF", icc_profile=b"p")
    for _ in range(200):
        broken = whole.copy()
        broken[dice.integers(8, whole.size, 3)] = dice.integers(0, 256, 3)
        decodes_or_is_at_fault(CODEC, broken, lambda picture: picture.write([edit(picture)], xmp))


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("space", ["L", "RGB"])
def test_a_new_file_is_lossless_and_holds_what_was_drawn(space: str, alpha: bool) -> None:
    assert CODEC.create
    samples = noise(24, 40, {"L": 1, "RGB": 3}[space] + alpha)
    exif = Image.Exif()
    exif[274] = 6
    exif[271] = "Kodak"
    drawn = Drawing(samples, "L" if space == "L" else "RGB", alpha, b"profile", exif.tobytes()[6:], XMP, (300, 300))
    content = CODEC.create(drawn)
    picture = CODEC.open(array(content))
    assert (picture.pages[0].alpha, picture.pages[0].orientation, picture.pages[0].icc) == (alpha, 1, b"profile")
    found = picture.samples(0)
    np.testing.assert_array_equal(found[..., -samples.shape[2] :], samples)
    independent = Image.open(io.BytesIO(content))
    assert independent.info["xmp"] == XMP
    assert independent.getexif()[271] == "Kodak"


def test_what_webp_cannot_hold_is_refused() -> None:
    assert CODEC.create
    for samples, space in ((noise(4, 4, 3, dtype=np.uint16), "RGB"), (noise(4, 4, 4), "CMYK")):
        with pytest.raises(PhotoFault):
            CODEC.create(Drawing(samples, "CMYK" if space == "CMYK" else "RGB", alpha=False))


def test_the_real_lossless_file_comes_out_as_it_went_in(formats: Path, xmp: Xmp) -> None:
    data = array((formats / "lossless.webp").read_bytes())
    picture = CODEC.open(data)
    np.testing.assert_array_equal(picture.samples(0), np.asarray(Image.open(formats / "lossless.webp")))
    assert check_lossless(CODEC, data, xmp).way == "lossless"


@pytest.mark.parametrize(("channels", "flags"), [(3, 0x04), (4, 0x14)])
def test_a_new_extended_header_says_what_is_in_the_file(channels: int, flags: int, xmp: Xmp) -> None:
    data = webp(noise(32, 40, channels))
    assert [kind for kind, _ in chunk_list(data.tobytes())] == [b"VP8L"]
    first = chunk_list(CODEC.open(data).write([], xmp).content)[0]
    assert (first[0], first[1][0]) == (b"VP8X", flags)


def test_a_picture_of_another_size_than_its_canvas_is_a_fault() -> None:
    chunks = [Chunk(*each) for each in chunk_list(webp(noise(32, 40, 3)).tobytes())]
    for width, kind in ((40, None), (41, FaultClass.CORRUPT)):
        canvas = bytes(4) + (width - 1).to_bytes(3, "little") + (31).to_bytes(3, "little")
        data = array(joined(b"WEBP", [Chunk(b"VP8X", canvas), *chunks]))
        if kind is None:
            assert CODEC.open(data).samples(0).shape == (32, 40, 3)
        else:
            assert fault(CODEC, data) is kind
