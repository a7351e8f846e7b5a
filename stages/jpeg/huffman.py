"""Baseline Huffman coding of DCT blocks (ITU-T T.81, annex F.1) with tables made for the picture (annex K.2)."""

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TABLES = 8  # 0 to 3 for DC, 4 to 7 for AC
RUN_OF_16 = 0xF0
LONGEST = 16  # bits of a code
SHIFT = np.uint16(8)
SIZES = np.array([value.bit_length() for value in range(1 << 15)], np.uint8)


@dataclass(frozen=True, slots=True)
class Symbols:
    """Blocks as Huffman symbols, in order. ``symbols`` (n) uint16 is table << 8 | symbol, ``extra`` (n) uint16 the bits
    that follow each; their number is the symbol's lower four bits.
    """

    symbols: NDArray[np.uint16]
    extra: NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class Codes:
    """The codes of all symbols, by table << 8 | symbol: ``values`` (2048) uint64 and ``lengths`` (2048) uint8."""

    values: NDArray[np.uint64]
    lengths: NDArray[np.uint8]
    tables: bytes  # as a DHT segment holds them

    @property
    def legal(self) -> bool:
        """Whether a decoder of 8-bit pictures takes all values: 11 bits for DC and 10 for AC (T.81, F.1.2)."""
        bits = np.arange(self.lengths.size) & 15
        most = np.where(np.arange(self.lengths.size) >> 10, 10, 11)
        return not (self.lengths > 0)[bits > most].any()


def symbols_of(blocks: NDArray[np.int16], dc: NDArray[np.uint8], ac: NDArray[np.uint8]) -> Symbols:
    """The symbols of blocks (n, 64) in zigzag order, the first of each the difference to the block before.

    ``dc`` and ``ac`` (n) are the Huffman tables of each block, 0 to 3.
    """
    present = blocks != 0
    present[:, 0] = True
    places = np.flatnonzero(present)
    values = blocks.reshape(-1)[places]
    block, index = places >> 6, (places & 63).astype(np.int16)
    first = index == 0
    run = np.diff(index, prepend=np.int16(0)) - 1
    run[first] = 0
    size = SIZES[np.abs(values)]
    table = np.where(first, dc[block], ac[block] + np.uint8(4)).astype(np.uint16)
    last = np.append(first[1:], True)
    ends = last & (index < 63)
    long = run >> 4
    main = table << SHIFT | (run & 15).astype(np.uint16) << np.uint16(4) | size
    extra = np.where(values < 0, values + (1 << size.astype(np.int32)) - 1, values).astype(np.uint16)
    return laid_out(main, extra, long, ends, (ac[block] + np.uint16(4)) << SHIFT)


def laid_out(
    main: NDArray[np.uint16],
    extra: NDArray[np.uint16],
    long: NDArray[np.int16],
    ends: NDArray[np.bool_],
    table: NDArray[np.uint16],
) -> Symbols:
    """Each symbol with the ``long`` runs of 16 zeros before it and the end of its block after it, where it ends one."""
    count = 1 + long.astype(np.int64) + ends
    after = np.cumsum(count)
    symbols = np.repeat(table | np.uint16(RUN_OF_16), count)
    at = after - 1 - ends
    symbols[at] = main
    symbols[after[ends] - 1] = table[ends]
    bits = np.zeros(symbols.size, np.uint16)
    bits[at] = extra
    return Symbols(symbols, bits)


def codes_for(parts: Iterable[Symbols]) -> Codes:
    """The best codes for these symbols."""
    counts = np.zeros(TABLES << 8, np.int64)
    for part in parts:
        counts += np.bincount(part.symbols, minlength=counts.size)
    values, lengths = np.zeros(counts.size, np.uint64), np.zeros(counts.size, np.uint8)
    tables: list[bytes] = []
    for table in range(TABLES):
        used = counts[table << 8 : (table + 1) << 8]
        if not used.any():
            continue
        order, widths = code_lengths(used)
        code = 0
        for place, (symbol, width) in enumerate(zip(order, widths, strict=True)):
            code <<= width - widths[place - 1] if place else 0
            values[table << 8 | symbol], lengths[table << 8 | symbol] = code, width
            code += 1
        numbers = [widths.count(width) for width in range(1, LONGEST + 1)]
        tables.append(bytes([(table >> 2) << 4 | table & 3, *numbers, *order]))
    return Codes(values, lengths, b"".join(tables))


def code_lengths(counts: NDArray[np.int64]) -> tuple[list[int], list[int]]:
    """Symbols by falling frequency and the length of each one's code: at most 16 bits, and none all ones (K.2)."""
    nodes: list[tuple[int, int, list[int]]] = [
        (count, symbol, [symbol]) for symbol, count in enumerate(counts.tolist()) if count
    ]
    nodes.append((0, 256, [256]))  # stands for the code of all ones
    heapq.heapify(nodes)
    depth = dict.fromkeys([node[1] for node in nodes], 0)
    while len(nodes) > 1:
        low, high = heapq.heappop(nodes), heapq.heappop(nodes)
        for symbol in low[2] + high[2]:
            depth[symbol] += 1
        heapq.heappush(nodes, (low[0] + high[0], max(low[1], high[1]), low[2] + high[2]))
    numbers = shortened([sum(value == width for value in depth.values()) for width in range(257)])
    order = sorted((symbol for symbol in depth if symbol < 256), key=lambda symbol: (depth[symbol], symbol))
    return order, [width for width, number in enumerate(numbers) for _ in range(number)]


def shortened(numbers: list[int]) -> list[int]:
    """How many codes there are of each length, none longer than 16, less the longest one (figure K.3)."""
    for width in range(len(numbers) - 1, LONGEST, -1):
        while numbers[width] > 0:
            shorter = next(one for one in range(width - 2, 0, -1) if numbers[one])
            numbers[width] -= 2
            numbers[width - 1] += 1
            numbers[shorter + 1] += 2
            numbers[shorter] -= 1
    numbers[max(width for width, number in enumerate(numbers) if number)] -= 1
    return numbers[: LONGEST + 1]


def coded(parts: Iterable[Symbols], codes: Codes) -> Iterator[bytes]:
    """The scan data, padded with ones to a whole byte, with a zero after every 0xFF."""
    rest, width = 0, 0
    for part in parts:
        packed, rest, width = packed_bits(part, codes, rest, width)
        yield stuffed(packed)
    if width:
        yield stuffed(np.array([(rest + 1 << 8 - width) - 1], np.uint8))


def packed_bits(part: Symbols, codes: Codes, rest: int, width: int) -> tuple[NDArray[np.uint8], int, int]:
    """The whole bytes of ``width`` bits left over and the symbols of ``part``; what is left over now, and its bits.

    No symbol takes more than 31 bits, so one begins in each 32-bit word but the first, where ``rest`` does.
    """
    more = part.symbols & 15
    values = np.concatenate([[np.uint64(rest)], codes.values[part.symbols] << more.astype(np.uint64) | part.extra])
    lengths = np.concatenate([[width], codes.lengths[part.symbols] + more.astype(np.int64)])
    ends = np.cumsum(lengths)
    starts = ends - lengths
    values <<= (64 - (starts & 31) - lengths).astype(np.uint64)  # a rest of no bits is 0: no matter how far it moves
    firsts = np.flatnonzero(np.diff(starts >> 5, prepend=-1))
    sums = np.bitwise_or.reduceat(values, firsts)
    words = np.zeros(sums.size + 1, np.uint32)
    words[:-1] = sums >> np.uint64(32)
    words[1:] |= (sums & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    whole, width = divmod(int(ends[-1]), 8)
    packed = words.byteswap().view(np.uint8)
    return packed[:whole], int(packed[whole]) >> 8 - width if width else 0, width


def stuffed(packed: NDArray[np.uint8]) -> bytes:
    """With a zero after every 0xFF."""
    return packed.tobytes().replace(b"\xff", b"\xff\x00")
