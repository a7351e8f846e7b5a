"""Damaged LZW streams never reach memory that is not theirs, and sound ones go through untouched."""

import imagecodecs
import numpy as np
import pytest

from stages.tiff.lzw import CLEAR, END, possible


def packed(codes: list[int]) -> bytes:
    """A stream of nine-bit codes."""
    bits = "".join(f"{code:09b}" for code in codes)
    return int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8))


@pytest.mark.parametrize("levels", [1, 2, 7, 256])
@pytest.mark.parametrize("size", [0, 1, 100, 3_000, 200_000])
def test_a_sound_stream_goes_through(levels: int, size: int) -> None:
    data = np.random.default_rng(size).integers(0, levels, size, dtype=np.uint8).tobytes()
    stream = bytes(imagecodecs.lzw_encode(data))
    assert possible(stream) == stream
    assert bytes(imagecodecs.lzw_decode(possible(stream), out=size)) == data


def test_what_follows_the_end_is_not_looked_at() -> None:
    stream = packed([CLEAR, 65, END, 500, 500])
    assert possible(stream) == stream


@pytest.mark.parametrize(
    ("codes", "kept"),
    [([CLEAR, 275], 1), ([275], 0), ([CLEAR, 65, 259], 2), ([CLEAR, 65, 258, 66, 262], 4), ([CLEAR, CLEAR, 300], 2)],
)
def test_a_stream_ends_before_a_code_that_names_nothing_yet(codes: list[int], kept: int) -> None:
    cut = possible(packed([*codes, 65, 65, 65]))
    assert len(cut) == (9 * kept + 7) // 8
    assert cut == packed([*codes, 65, 65, 65])[: len(cut)]


def test_damaged_streams_end_no_process() -> None:
    dice = np.random.default_rng(4)
    data = dice.integers(0, 40, 30_000, dtype=np.uint8).tobytes()
    sound = np.frombuffer(bytes(imagecodecs.lzw_encode(data)), np.uint8)
    cut = 0
    for _ in range(200):
        stream = sound.copy()
        stream[dice.integers(0, stream.size, 3)] = dice.integers(0, 256, 3)
        left = possible(stream.tobytes())
        cut += len(left) < stream.size
        try:
            found = imagecodecs.lzw_decode(left, out=len(data))
        except imagecodecs.LzwError:
            continue
        assert len(found) <= len(data)
    assert cut > 20
