"""The orientation in an EXIF block."""

import struct

import pytest
from PIL import Image

from stages.codecs.exif import made_upright, orientation_of


def block(kind: int, count: int, value: bytes, order: str = "<") -> bytes:
    """A block with one entry, the orientation's."""
    head = b"II*\0" if order == "<" else b"MM\0*"
    entry = struct.pack(order + "HHI", 0x0112, kind, count) + value.ljust(4, b"\0")
    return head + struct.pack(order + "IH", 8, 1) + entry + bytes(4)


@pytest.mark.parametrize("prefix", [b"", b"Exif\0\0"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_short_and_long_orientations_are_read_and_made_upright(order: str, prefix: bytes) -> None:
    for kind, layout in ((3, "H"), (4, "I")):
        exif = prefix + block(kind, 1, struct.pack(order + layout, 6), order)
        assert orientation_of(exif) == 6
        upright = made_upright(exif)
        assert orientation_of(upright) == 1
        assert len(upright) == len(exif)
        assert sum(a != b for a, b in zip(exif, upright, strict=True)) == 1


@pytest.mark.parametrize(
    "exif",
    [
        b"",
        b"XX*\0",
        block(3, 2, struct.pack("<HH", 6, 6)),
        block(3, 0, struct.pack("<H", 6)),
        block(2, 1, struct.pack("<H", 6)),
        block(3, 1, struct.pack("<H", 0)),
        block(3, 1, struct.pack("<H", 9)),
        block(3, 1, struct.pack("<H", 6))[:-6],
    ],
)
def test_nonsense_is_no_orientation(exif: bytes) -> None:
    assert orientation_of(exif) == 1


def test_the_block_that_pillow_writes_is_read() -> None:
    exif = Image.Exif()
    exif[271], exif[274] = "a maker", 8
    assert orientation_of(exif.tobytes()) == 8
    assert made_upright(b"no block") == b"no block"
