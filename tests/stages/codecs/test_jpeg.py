"""JPEG: blocks under the edits change, and nothing else does."""

import io
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from codec_kit import XMP, array
from jpeg_kit import (
    FACE,
    KINDS,
    PACKET,
    Bytes,
    brightened,
    by_opencv,
    by_pillow,
    everything_is_large,
    metadata,
    near_mask,
    packet,
    portrait,
    psnr,
    segment,
    shared,
    with_metadata,
)
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile, get_sampling

from stages.codecs.jpeg import CODEC
from stages.jpeg.segments import Frame, frame_of, walk
from stages.picture import Edit, Picture, Xmp
from stages.turn import upright

FACES = [kind for kind in KINDS if kind != "one pixel"]
SAVED = ["444", "422", "420", "444 progressive", "420 progressive", "grey", "grey progressive", "one scan each", "RGB"]
COARSE = {"16-bit tables": 28.0, "YCCK": 29.0}  # odd steps and odd colours


def frame(data: Bytes | bytes) -> Frame:
    view = memoryview(data.tobytes() if isinstance(data, np.ndarray) else data)
    return frame_of(tuple(walk(view)), view)


def by_itself(data: Bytes | bytes) -> Bytes:
    """All samples of a file by Pillow alone."""
    with Image.open(io.BytesIO(bytes(data))) as image:
        return np.atleast_3d(np.asarray(image))


def wanted(picture: Picture, edit: Edit) -> Bytes:
    samples = np.array(picture.samples(0), np.uint8)
    x0, y0, x1, y1 = edit.window
    samples[y0:y1, x0:x1] = edit.samples
    return samples


@pytest.mark.parametrize("kind", FACES)
def test_pixels_outside_the_touched_blocks_are_identical_and_those_inside_are_as_wanted(kind: str, xmp: Xmp) -> None:
    data = KINDS[kind]()
    picture = CODEC.open(data)
    edit = brightened(picture)
    written = picture.write([edit], xmp)
    assert (written.way, written.format, written.note) == ("dct", "JPEG", "")
    facts = frame(data)
    more = int(facts.most[0] == 2), int(facts.most[1] == 2)  # chroma in quarters is not interpolated
    touched = near_mask(edit, portrait().shape[:2], facts.mcu, more)
    before, after = by_itself(data), by_itself(written.content)
    np.testing.assert_array_equal(before[~touched], after[~touched])
    again = CODEC.open(array(written.content)).samples(0)
    x0, y0, x1, y1 = FACE
    restored, old = again[y0:y1, x0:x1][edit.mask], picture.samples(0)[y0:y1, x0:x1][edit.mask]
    assert psnr(old, edit.samples[edit.mask]) < 21
    assert psnr(restored, edit.samples[edit.mask]) > COARSE.get(kind, 33.0)


@pytest.mark.parametrize("kind", SAVED)
def test_a_change_comes_out_as_well_as_if_all_had_been_encoded_with_the_same_tables(kind: str, xmp: Xmp) -> None:
    data = KINDS[kind]()
    picture = CODEC.open(data)
    edit = brightened(picture)
    with JpegImageFile(io.BytesIO(data.tobytes())) as image:
        tables, sampling = image.quantization, get_sampling(image)
    options = {"keep_rgb": True} if kind == "RGB" else {"subsampling": max(0, sampling)}
    out = io.BytesIO()
    Image.fromarray(wanted(picture, edit).squeeze()).save(out, "JPEG", qtables=tables, **options)
    x0, y0, x1, y1 = FACE
    ours = by_itself(picture.write([edit], xmp).content)[y0:y1, x0:x1][edit.mask]
    whole = by_itself(out.getvalue())[y0:y1, x0:x1][edit.mask]
    assert psnr(ours, edit.samples[edit.mask]) > psnr(whole, edit.samples[edit.mask]) - 0.3


@pytest.mark.parametrize("kind", KINDS)
def test_every_segment_is_kept_in_order_and_only_the_packet_is_new(kind: str, xmp: Xmp) -> None:
    data = with_metadata(KINDS[kind]())
    picture = CODEC.open(data)
    page = picture.pages[0]
    edit = brightened(picture, (0, 0, min(60, page.width), min(60, page.height)))
    written = picture.write([edit], xmp)
    assert written.way == "dct"
    assert metadata(written.content) == metadata(data)
    assert packet(written.content) == xmp(packet(data))
    assert page.icc == b"beginend"
    assert frame(written.content) == frame(data)  # its kind of coding, size, sampling, ids and tables


@pytest.mark.parametrize("kind", KINDS)
def test_an_edit_that_changes_nothing_leaves_all_but_the_packet(kind: str, xmp: Xmp) -> None:
    data = with_metadata(KINDS[kind]())
    picture = CODEC.open(data)
    page = picture.pages[0]
    edit = brightened(picture, (0, 0, page.width, page.height), by=0)
    content = picture.write([edit], xmp).content
    whole = data.tobytes()
    assert content == whole.replace(segment(0xE1, PACKET + XMP), segment(0xE1, PACKET + xmp(XMP)))
    assert content == CODEC.open(data).write([], xmp).content


@pytest.mark.parametrize("kind", KINDS)
def test_coding_all_blocks_again_makes_no_file_more_than_one_percent_larger(kind: str) -> None:
    data = KINDS[kind]()
    picture = CODEC.open(data)
    x, y = min(8, picture.pages[0].width - 1), min(8, picture.pages[0].height - 1)
    new = np.array(picture.window(0, (x, y, x + 1, y + 1)))
    new += np.where(new < 128, 60, -60).astype(np.uint8)
    content = picture.write([Edit(0, (x, y, x + 1, y + 1), new, np.ones((1, 1), bool))], lambda _: b"").content
    assert not np.array_equal(by_itself(content), by_itself(data))
    assert len(content) < 1.01 * len(data) + 60  # some bits of the block, and 33 bytes of an empty packet's segment


def test_a_packet_is_added_after_the_exif_where_there_was_none(xmp: Xmp) -> None:
    data = with_metadata(KINDS["420"](), old=None)
    picture = CODEC.open(data)
    content = picture.write([brightened(picture)], xmp).content
    with JpegImageFile(io.BytesIO(content)) as image:
        kinds = [body[:4] for _, body in image.applist]
    assert kinds[:4] == [b"JFIF", b"Exif", b"http", b"http"]
    assert packet(content) == xmp(None)
    assert metadata(content) == metadata(data)


def test_a_packet_that_does_not_fit_is_left_as_it_was(xmp: Xmp) -> None:
    full = XMP.replace(b"box 7", b"7" * (65_502 - len(XMP)))
    data = with_metadata(KINDS["444"](), old=full)
    picture = CODEC.open(data)
    written = picture.write([brightened(picture)], xmp)
    assert packet(written.content) == full
    assert written.note.startswith("XMP is full")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("orientation", [1, 6])
def test_windows_cut_from_the_blocks_are_those_of_the_whole_photo(kind: str, orientation: int) -> None:
    data = with_metadata(KINDS[kind](), orientation)
    picture = CODEC.open(data)
    whole = picture.samples(0)
    page = picture.pages[0]
    dice = np.random.default_rng(1)
    corners = [np.sort(dice.integers(0, (page.width + 1, page.height + 1), (2, 2)), axis=0) for _ in range(12)]
    windows = [(*map(int, first), *map(int, last)) for first, last in corners if (first < last).all()]
    with everything_is_large():
        for x0, y0, x1, y1 in [*windows, (0, 0, page.width, page.height)]:
            np.testing.assert_array_equal(picture.window(0, (x0, y0, x1, y1)), whole[y0:y1, x0:x1])


def test_a_large_photo_is_written_as_a_small_one_is(xmp: Xmp) -> None:
    data = with_metadata(KINDS["420 progressive"](), 5)
    picture = CODEC.open(data)
    expected = picture.write([brightened(picture)], xmp)
    with everything_is_large():
        picture = CODEC.open(data)
        assert picture.write([brightened(picture)], xmp) == expected


@pytest.mark.parametrize("orientation", range(1, 9))
def test_edits_land_upright_in_every_orientation(orientation: int, xmp: Xmp) -> None:
    data = with_metadata(KINDS["422"](), orientation)
    picture = CODEC.open(data)
    page = picture.pages[0]
    seen = upright(by_itself(data), orientation)
    assert (page.height, page.width, page.orientation) == (*seen.shape[:2], orientation)
    np.testing.assert_array_equal(picture.samples(0), seen)
    edit = brightened(picture)
    result = upright(by_itself(picture.write([edit], xmp).content), orientation)
    assert psnr(result, wanted(picture, edit)) > 38


def test_edits_that_share_a_block_both_come_out(xmp: Xmp) -> None:
    picture = CODEC.open(KINDS["420"]())
    edits = [brightened(picture, window) for window in [(20, 20, 55, 60), (55, 20, 90, 60), (90, 50, 149, 109)]]
    result = CODEC.open(array(picture.write(edits, xmp).content)).samples(0)
    for edit in edits:
        x0, y0, x1, y1 = edit.window
        assert psnr(result[y0:y1, x0:x1][edit.mask], edit.samples[edit.mask]) > 33


def test_the_same_edit_gives_the_same_bytes(xmp: Xmp) -> None:
    for kind in ("420", "444 progressive"):
        results = [picture.write([brightened(picture)], xmp) for picture in map(CODEC.open, [KINDS[kind]()] * 2)]
        assert all(first == second for first, second in pairwise(results))


def test_ink_is_ink_with_and_without_adobes_marker() -> None:
    expected = np.asarray(Image.fromarray(portrait()).convert("CMYK"))
    for kind in ("CMYK", "CMYK progressive"):
        assert psnr(CODEC.open(KINDS[kind]()).samples(0), expected) > 25
    plain = CODEC.open(KINDS["CMYK without Adobe"]())
    np.testing.assert_array_equal(plain.samples(0), 255 - CODEC.open(by_pillow("CMYK")).samples(0))


def test_the_reduced_view_is_no_smaller_than_asked_for() -> None:
    large = np.tile(portrait(), (40, 28, 1))
    picture = CODEC.open(by_opencv(large, "420"))
    sizes = {least: picture.samples(0, least).shape[:2] for least in (500, 523, 1000, 2180, 4000)}
    assert sizes == {
        500: (545, 522),
        523: (545, 522),
        1000: (1090, 1043),
        2180: (2180, 2086),
        4000: (4360, 4172),
    }


def test_images_behind_the_first_are_kept_and_the_note_speaks_of_their_index(xmp: Xmp) -> None:
    out = io.BytesIO()
    first, second = Image.fromarray(portrait()), Image.fromarray(portrait()[::-1].copy())
    first.save(out, "MPO", save_all=True, append_images=[second])
    picture = CODEC.open(array(out.getvalue()))
    written = picture.write([brightened(picture)], xmp)
    assert len(picture.pages) == 1
    assert "MPF" in written.note
    tail = out.getvalue()[out.getvalue().rindex(b"\xff\xd8\xff") :]
    assert written.content.endswith(b"\xff\xd9" + tail)
    assert metadata(written.content) == metadata(out.getvalue())


@pytest.mark.parametrize(
    "name", ["progressive_420.jpg", "gray8.jpg", "cmyk.jpg", *(f"orientation_{n}.jpg" for n in (3, 5, 6, 8))]
)
def test_real_files_keep_all_but_the_blocks_of_the_edit(name: str, formats: Path, xmp: Xmp) -> None:
    data = shared(formats, name)
    picture = CODEC.open(data)
    edit = brightened(picture, (90, 110, 190, 230))
    written = picture.write([edit], xmp)
    assert written.way == "dct"
    assert metadata(written.content) == metadata(data)
    assert frame(written.content) == frame(data)
    changed = np.any(CODEC.open(array(written.content)).samples(0) != picture.samples(0), axis=2)
    rows, columns = np.nonzero(changed)
    assert rows.min() >= 110 - 17
    assert rows.max() < 230 + 17
    assert columns.min() >= 90 - 17
    assert columns.max() < 190 + 17


def test_the_cmyk_of_a_jpeg_is_the_cmyk_of_its_tiff(formats: Path) -> None:
    with Image.open(formats / "cmyk.tif") as image:
        ink = np.asarray(image)
    assert psnr(CODEC.open(shared(formats, "cmyk.jpg")).samples(0), ink) > 30
