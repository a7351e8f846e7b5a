"""A page's own colours to sRGB and back: what does not change stays, what changes meets what was asked for."""

import struct

import imagecodecs
import numpy as np
import pytest
from pictures import Plain
from PIL import Image, ImageCms

from stages.colour import Colour, Floats, matters, profile_name, srgb
from stages.picture import Samples, Space

RNG = np.random.default_rng(7)


def tag(kind: bytes, content: bytes) -> bytes:
    return kind + bytes(4) + content


def icc(space: bytes, tags: list[tuple[bytes, bytes]]) -> bytes:
    """A small ICC profile, version 2, written out by hand: the libraries at hand make none but sRGB."""
    described = [(b"desc", tag(b"desc", struct.pack(">I", 5) + b"test\0" + bytes(78)))]
    white = [(b"wtpt", tag(b"XYZ ", struct.pack(">3i", 63190, 65536, 54061)))]
    entries = [*described, *white, *tags, (b"cprt", tag(b"text", b"none\0"))]
    table, blocks = b"", b""
    for name, block in entries:
        start = 132 + 12 * len(entries) + len(blocks)
        table += name + struct.pack(">II", start, len(block))
        blocks += block + bytes(-len(block) % 4)
    size = 132 + len(table) + len(blocks)
    lab = space == b"CMYK"
    head = struct.pack(
        ">I4sI4s4s4s", size, b"none", 0x02400000, b"prtr" if lab else b"mntr", space, b"Lab " if lab else b"XYZ "
    )
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + struct.pack(">I", len(entries)) + table + blocks


def gamma(value: float) -> bytes:
    return tag(b"curv", struct.pack(">IH", 1, round(value * 256)))


def wide_rgb() -> bytes:
    """Adobe RGB's primaries, gamma 2.2."""
    columns = {
        b"rXYZ": (0.60974, 0.31111, 0.01947),
        b"gXYZ": (0.20528, 0.62567, 0.06087),
        b"bXYZ": (0.14919, 0.06322, 0.74457),
    }
    colorants = [
        (name, tag(b"XYZ ", struct.pack(">3i", *(round(v * 65536) for v in xyz)))) for name, xyz in columns.items()
    ]
    curves = [(name, gamma(2.2)) for name in (b"rTRC", b"gTRC", b"bTRC")]
    return icc(b"RGB ", [*colorants, *curves])


def table16(inputs: int, outputs: int, values: Floats, grid: int) -> bytes:
    """An lut16 table with linear curves; ``values`` (grid ** inputs, outputs) in [0, 1]."""
    head = struct.pack(">BBBB9i", inputs, outputs, grid, 0, *(65536, 0, 0, 0, 65536, 0, 0, 0, 65536))
    line = struct.pack(">2H", 0, 65535)
    clut = np.rint(values * 65535).astype(">u2").tobytes()
    return tag(b"mft2", head + struct.pack(">HH", 2, 2) + line * inputs + clut + line * outputs)


def inks() -> bytes:
    """A printer whose inks are those of ``Colour`` without a profile, as tables from and to Lab."""
    steps = np.linspace(0, 1, 9, dtype=np.float32)
    ink = np.stack(np.meshgrid(*[steps] * 4, indexing="ij"), -1).reshape(-1, 4)
    light = (1 - ink[:, :3]) * (1 - ink[:, 3:])
    words = np.rint(light * 65535).astype(np.uint16)[None]
    lab_profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    lab = imagecodecs.cms_transform(words, srgb(), lab_profile, colorspace="rgb", outcolorspace="lab")[0]
    forward = lab.astype(np.float32) / 65535 * (65280 / 65535)
    axes = np.linspace(0, 65535, 17).astype(np.uint16)
    grid = np.stack(np.meshgrid(*[axes] * 3, indexing="ij"), -1).reshape(1, -1, 3)
    wide = np.rint(np.minimum(grid * (65535 / 65280), 65535)).astype(np.uint16)
    rgb = imagecodecs.cms_transform(wide, lab_profile, srgb(), colorspace="lab", outcolorspace="rgb")[0] / 65535
    black = 1 - rgb.max(axis=1, keepdims=True)
    back = np.concatenate([1 - rgb / np.maximum(1 - black, 1e-6), black], axis=1).clip(0, 1).astype(np.float32)
    return icc(b"CMYK", [(b"A2B0", table16(4, 3, forward, 9)), (b"B2A0", table16(3, 4, back, 17))])


def colour(samples: Samples, space: Space, profile: bytes | None = None) -> Colour:
    return Colour(Plain(samples, space=space, icc=profile).pages[0])


def noise(channels: int, depth: int = 8, low: float = 0.0, high: float = 1.0) -> Samples:
    top = 2**depth - 1
    kind = np.uint8 if depth == 8 else np.uint16
    return RNG.integers(round(low * top), round(high * top) + 1, (24, 32, channels)).astype(kind)


def blob(level: float) -> Floats:
    """A change of ``level`` in the middle."""
    change = np.zeros((24, 32, 3), np.float32)
    change[8:16, 8:24] = level
    return change


KINDS: list[tuple[Space, int, int, bytes | None]] = [
    ("RGB", 3, 8, None),
    ("RGB", 4, 16, None),
    ("RGB", 3, 8, wide_rgb()),
    ("RGB", 3, 16, wide_rgb()),
    ("L", 1, 8, None),
    ("L", 2, 16, None),
    ("L", 1, 16, icc(b"GRAY", [(b"kTRC", gamma(1.4))])),
    ("CMYK", 4, 8, None),
    ("CMYK", 4, 8, inks()),
]


@pytest.mark.parametrize(("space", "channels", "depth", "profile"), KINDS)
def test_where_nothing_changes_every_sample_stays(
    space: Space, channels: int, depth: int, profile: bytes | None
) -> None:
    samples = noise(channels, depth)
    same = colour(samples, space, profile).changed(samples, blob(25))
    outside = blob(1)[..., 0] == 0
    np.testing.assert_array_equal(same[outside], samples[outside])
    assert (same != samples).any()
    assert same.dtype == samples.dtype


@pytest.mark.parametrize(("space", "channels", "depth", "profile"), KINDS)
def test_a_change_is_seen_in_srgb_as_it_was_asked_for(
    space: Space, channels: int, depth: int, profile: bytes | None
) -> None:
    samples = noise(channels, depth, 0.4, 0.55)  # within the gamut of sRGB
    if space == "CMYK":
        samples[..., 3] //= 2
    kind = colour(samples, space, profile)
    moved = kind.to_srgb(kind.changed(samples, blob(18))) - kind.to_srgb(samples)
    assert moved[8:16, 8:24].mean() == pytest.approx(18, abs=1.5)
    assert np.abs(moved[8:16, 8:24] - 18).max() < 6


def test_alpha_stays() -> None:
    samples = noise(4)
    changed = colour(samples, "RGB").changed(samples, np.full((24, 32, 3), 40, np.float32))
    np.testing.assert_array_equal(changed[..., 3], samples[..., 3])


def test_sixteen_bits_keep_what_lies_between_eight_bit_levels() -> None:
    samples = noise(3, 16, 0.2, 0.7)
    changed = colour(samples, "RGB").changed(samples, np.full((24, 32, 3), 10, np.float32))
    np.testing.assert_array_equal(changed.astype(int) - samples, 2570)


def test_ink_is_seen_as_pillow_sees_it() -> None:
    ink = noise(4)
    seen = np.asarray(Image.fromarray(ink, "CMYK").convert("RGB"), int)
    assert np.abs(colour(ink, "CMYK").to_srgb(ink) - seen).max() <= 2


def test_a_grey_change_takes_the_weights_of_luma() -> None:
    grey = np.full((24, 32, 1), 100, np.uint8)
    change = np.zeros((24, 32, 3), np.float32)
    change[..., 0] = 100
    assert (colour(grey, "L").changed(grey, change) == 130).all()


def test_a_profile_for_another_space_or_a_broken_one_is_ignored() -> None:
    assert matters(wide_rgb(), "RGB")
    assert not matters(wide_rgb(), "L")
    assert not matters(wide_rgb()[:150], "RGB")
    assert not matters(srgb(), "RGB")
    samples = noise(3)
    np.testing.assert_array_equal(colour(samples, "RGB", b"no profile").to_srgb(samples), samples)


def test_a_profile_has_a_name() -> None:
    assert profile_name(wide_rgb()) == "test"
    assert profile_name(b"nothing") == "unreadable"
    assert profile_name(None) is None


def test_a_colour_outside_of_srgb_moves_by_the_change_alone() -> None:
    green = np.full((24, 32, 3), (20, 250, 20), np.uint8)
    moved = colour(green, "RGB", wide_rgb()).changed(green, np.full((24, 32, 3), -10, np.float32)).astype(int) - green
    assert (moved[..., 1] < 0).all()
    assert np.abs(moved).max() <= 25  # through sRGB and back red would move by more than 100


def test_black_gives_way_where_a_colour_becomes_too_light_for_it() -> None:
    dark = np.full((24, 32, 4), (30, 60, 90, 200), np.uint8)
    kind = colour(dark, "CMYK")
    moved = kind.to_srgb(kind.changed(dark, np.full((24, 32, 3), 120, np.float32))) - kind.to_srgb(dark)
    np.testing.assert_allclose(moved, 120, atol=2)


def test_a_profile_that_knows_no_way_back_is_ignored() -> None:
    steps = np.linspace(0, 1, 2, dtype=np.float32)
    ink = np.stack(np.meshgrid(*[steps] * 4, indexing="ij"), -1).reshape(-1, 4)
    one_way = icc(b"CMYK", [(b"A2B0", table16(4, 3, ink[:, :3], 2))])
    assert not matters(one_way, "CMYK")
