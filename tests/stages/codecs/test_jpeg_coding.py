"""The Huffman coding of JPEG blocks, and samples as changes of coefficients."""

import numpy as np
import pytest
from jpeg_kit import KINDS, portrait

from stages.jpeg.change import Changer, mixing, transform
from stages.jpeg.coefficients import ZIGZAG
from stages.jpeg.huffman import code_lengths, coded, codes_for, symbols_of
from stages.jpeg.segments import Frame, frame_of, walk


def frame(kind: str) -> Frame:
    data = memoryview(KINDS[kind]().tobytes())
    return frame_of(tuple(walk(data)), data)


def test_codes_have_at_most_16_bits_and_none_is_all_ones() -> None:
    counts = np.zeros(256, np.int64)
    counts[:40] = [int(1.6**power) for power in range(40)]  # as Fibonacci's numbers: 40 bits if there were no limit
    symbols, widths = code_lengths(counts)
    assert sorted(symbols) == list(range(40))
    assert max(widths) == 16
    assert sum(2.0**-width for width in widths) < 1
    assert symbols[0] >= 38


def test_a_single_symbol_has_a_code_of_one_bit() -> None:
    counts = np.zeros(256, np.int64)
    counts[7] = 3
    assert code_lengths(counts) == ([7], [1])


def test_blocks_become_the_symbols_of_the_standard() -> None:
    blocks = np.zeros((2, 64), np.int16)
    blocks[0, [0, 1, 40, 63]] = [5, -3, 1, 2]
    blocks[1, 0] = -1
    symbols = symbols_of(blocks, np.array([0, 1], np.uint8), np.array([0, 1], np.uint8))
    # T.81, F.1.2: DC of 3 bits; AC of 2 bits; two runs of 16 zeros and one of 6; one of 6 and 16; then a DC of 1 bit
    first = [0x003, 0x402, 0x4F0, 0x4F0, 0x461, 0x4F0, 0x462]
    assert symbols.symbols.tolist() == [*first, 0x101, 0x500]
    assert symbols.extra.tolist() == [5, 0, 0, 0, 1, 0, 2, 0, 0]


def test_coded_bits_go_on_from_one_part_to_the_next() -> None:
    blocks = np.random.default_rng(0).integers(-1023, 1024, (64, 64)).astype(np.int16)
    tables = np.zeros(64, np.uint8)
    whole = [symbols_of(blocks, tables, tables)]
    parts = [symbols_of(piece, tables[: len(piece)], tables[: len(piece)]) for piece in np.split(blocks, [1, 2, 30])]
    codes = codes_for(whole)
    assert codes.tables == codes_for(parts).tables
    assert b"".join(coded(whole, codes)) == b"".join(coded(parts, codes))


def test_values_that_decoders_refuse_are_told() -> None:
    zero = np.zeros(1, np.uint8)
    for place, value, legal in [(0, 2047, True), (0, 2048, False), (5, -1023, True), (5, 1024, False)]:
        block = np.zeros((1, 64), np.int16)
        block[0, place] = value
        assert codes_for([symbols_of(block, zero, zero)]).legal is legal


def test_the_order_of_coefficients_is_a_walk_along_diagonals() -> None:
    rows, columns = np.divmod(ZIGZAG, 8)
    assert sorted(ZIGZAG) == list(range(64))
    assert (np.diff(rows + columns) >= 0).all()
    np.testing.assert_array_equal(ZIGZAG[[1, 2, 35, 63]], [1, 8, 56, 63])


def test_the_transform_keeps_lengths_and_means() -> None:
    matrix = transform()
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(8), atol=1e-6)
    np.testing.assert_allclose((matrix @ np.full((8, 8), 3) @ matrix.T)[0, 0], 24, rtol=1e-6)


@pytest.mark.parametrize(("kind", "count"), [("444", (14, 19)), ("420", (7, 10)), ("411", (14, 5))])
def test_an_even_change_up_to_the_edge_changes_nothing_but_means(kind: str, count: tuple[int, int]) -> None:
    facts = frame(kind)
    changer = Changer(facts, mixing("ycc", adobe=False), dict.fromkeys(range(4), np.ones((8, 8), np.float32)))
    red = np.zeros((*portrait().shape[:2], 3), np.int16)
    red[..., 0] = 50
    changes = changer.changes(0, 0, red)
    assert [change.component for change in changes] == [0, 1, 2]
    for change, weight in zip(changes, [0.299, -0.168736, 0.5], strict=True):
        assert not change.values[..., 1:].any()
        np.testing.assert_array_equal(change.values[..., 0], round(8 * 50 * weight))
    assert changes[1].values.shape[:2] == count
