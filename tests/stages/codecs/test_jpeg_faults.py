"""JPEGs that are damaged, of rare kinds, or cannot have their blocks replaced; and new ones."""

import io
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from codec_kit import XMP, array, fault, noise
from jpeg_kit import (
    EXIF,
    KINDS,
    Bytes,
    brightened,
    everything_is_large,
    metadata,
    packet,
    portrait,
    psnr,
    with_metadata,
)
from PIL import Image

from stages.codecs.jpeg import CODEC
from stages.jpeg import coefficients
from stages.photo import FaultClass, PhotoFault
from stages.picture import Drawing, Xmp

UNSUPPORTED = [(b"\xff\xc9\0\x11\x08", "C9"), (b"\xff\xc3\0\x11\x08", "C3"), (b"\xff\xc1\0\x11\x0c", "12 bits")]


@pytest.mark.parametrize("kind", ["420", "420 progressive"])
@pytest.mark.parametrize("share", [0.02, 0.34, 0.67, 0.999])
def test_a_file_cut_short_is_truncated(kind: str, share: float) -> None:
    data = KINDS[kind]()
    assert fault(CODEC, data[: int(data.size * share)]) is FaultClass.TRUNCATED


def test_a_file_whose_end_is_zeros_is_truncated() -> None:
    data = np.array(KINDS["444"]())
    data[data.size // 2 :] = 0
    assert fault(CODEC, data) is FaultClass.TRUNCATED


def test_the_real_truncated_file_is_truncated(formats: Path) -> None:
    assert fault(CODEC, np.fromfile(formats / "truncated.jpg", np.uint8)) is FaultClass.TRUNCATED


@pytest.mark.parametrize(("head", "reason"), UNSUPPORTED)
def test_what_no_decoder_here_reads_is_unsupported_with_the_reason(head: bytes, reason: str) -> None:
    data = KINDS["444"]().tobytes().replace(b"\xff\xc0\0\x11\x08", head)
    with pytest.raises(PhotoFault, match=reason) as caught:
        CODEC.open(array(data))
    assert caught.value.kind is FaultClass.UNSUPPORTED


@pytest.mark.parametrize("content", [b"\xff\xd8\xff\xd9", b"\xff\xd8\xff\xc0\0\x04\0\0\xff\xda\0\x02\xff\xd9"])
def test_a_file_without_an_image_is_corrupt(content: bytes) -> None:
    assert fault(CODEC, array(content)) is FaultClass.CORRUPT


def test_whatever_a_damaged_file_does_only_photo_faults_come_of_it(xmp: Xmp) -> None:
    dice = np.random.default_rng(3)
    whole = [KINDS[kind]() for kind in ("420", "422 progressive", "CMYK", "restart markers")]
    with everything_is_large():
        for round_ in range(40):
            broken = np.array(whole[round_ % 4])
            broken[dice.integers(0, broken.size if round_ % 3 else 700, 4)] = dice.integers(0, 256, 4)
            with suppress(PhotoFault):
                picture = CODEC.open(broken)
                page = picture.pages[0]
                if page.width * page.height < 10**6:
                    picture.write([brightened(picture, (0, 0, min(50, page.width), min(50, page.height)))], xmp)


def without_last_scan(data: Bytes) -> Bytes:
    whole = data.tobytes()
    return array(whole[: whole.rindex(b"\xff\xc4")] + b"\xff\xd9")


@pytest.mark.parametrize("kind", ["420 progressive", "444 progressive", "grey progressive"])
def test_where_blocks_cannot_be_replaced_all_is_encoded_again_with_the_metadata_kept(kind: str, xmp: Xmp) -> None:
    data = with_metadata(without_last_scan(KINDS[kind]()))
    picture = CODEC.open(data)
    edit = brightened(picture)
    written = picture.write([edit], xmp)
    assert written.way == "recoded"
    assert "smoothing" in written.note
    assert metadata(written.content) == metadata(data)
    assert packet(written.content) == xmp(XMP)
    x0, y0, x1, y1 = edit.window
    result = CODEC.open(array(written.content))
    assert psnr(result.samples(0)[y0:y1, x0:x1], edit.samples) > 31
    with Image.open(io.BytesIO(written.content)) as image:
        assert image.info["progressive"] == 1


@pytest.mark.parametrize("kind", ["444", "422", "420", "grey", "RGB", "CMYK", "CMYK without Adobe"])
def test_if_the_library_fails_the_photo_is_encoded_again(
    kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, xmp: Xmp
) -> None:
    broken = tmp_path / "library.so"
    broken.write_bytes(b"")
    monkeypatch.setattr(coefficients, "library", lambda: str(broken))
    data = KINDS[kind]()
    picture = CODEC.open(data)
    written = picture.write([brightened(picture)], xmp)
    assert written.way == "recoded"
    assert "coefficients cannot be read" in written.note
    outside = np.s_[:, 110:]
    assert psnr(CODEC.open(array(written.content)).samples(0)[outside], picture.samples(0)[outside]) > 36


@pytest.mark.parametrize(("space", "channels"), [("L", 1), ("RGB", 3), ("CMYK", 4)])
def test_a_new_file_holds_what_it_is_made_of(space: str, channels: int) -> None:
    samples = np.concatenate([portrait(), portrait()[..., :1]], axis=2)[..., :channels]
    exif = (EXIF % 6).removeprefix(b"Exif\0\0")
    drawing = Drawing(samples, space, False, b"profile", exif, XMP, (300, 300))  # type: ignore[arg-type]
    assert CODEC.create is not None
    content = CODEC.create(drawing)
    picture = CODEC.open(array(content))
    page = picture.pages[0]
    assert (page.width, page.height, page.space, page.icc, page.orientation) == (149, 109, space, b"profile", 1)
    assert psnr(picture.samples(0), samples) > 38
    assert packet(content) == XMP
    with Image.open(io.BytesIO(content)) as image:
        assert image.info["dpi"] == (300, 300)


def test_a_new_file_refuses_what_it_cannot_hold() -> None:
    assert CODEC.create is not None
    for drawing in [
        Drawing(noise(8, 8, 4), "RGB", True),
        Drawing(noise(8, 8, 3, dtype=np.uint16), "RGB", False),
        Drawing(noise(8, 8, 3), "RGB", False, xmp=bytes(66_000)),
    ]:
        with pytest.raises(PhotoFault) as caught:
            CODEC.create(drawing)
        assert caught.value.kind is FaultClass.UNWRITABLE


def test_scans_with_other_segments_in_their_midst_are_not_taken_for_blocks(xmp: Xmp) -> None:
    whole = KINDS["444"]().tobytes()
    middle = whole.index(b"\x7f", len(whole) // 2)
    broken = array(whole[:middle] + b"\xff\xfe\0\x04hm" + whole[middle:])
    picture = CODEC.open(broken)
    written = picture.write([brightened(picture)], xmp)
    assert (written.way, written.note) == ("recoded", "encoded again as a whole: its scans are damaged")
