"""Ways to damage a file. Each takes the file, another one and a generator, and gives new bytes, the same each time."""

import struct
from collections.abc import Callable, Sequence

import numpy as np

Dice = np.random.Generator
Mutation = Callable[[bytes, bytes, Dice], bytes]

EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
HEADER = 2048  # where lengths, counts and offsets lie


def flip_bits(data: bytes, other: bytes, dice: Dice) -> bytes:
    """One to 32 single bits, anywhere."""
    work = bytearray(data)
    for place in dice.integers(0, len(work), 2 ** int(dice.integers(0, 6))):
        work[place] ^= 1 << int(dice.integers(0, 8))
    return bytes(work)


def flip_header(data: bytes, other: bytes, dice: Dice) -> bytes:
    """One to four bytes among the first 256."""
    work = bytearray(data)
    for place in dice.integers(0, min(256, len(work)), int(dice.integers(1, 5))):
        work[place] = int(dice.integers(0, 256))
    return bytes(work)


def overwrite(data: bytes, other: bytes, dice: Dice) -> bytes:
    """A stretch of noise, zeros or ones."""
    start, stop = stretch(data, dice)
    filling = (dice.bytes(stop - start), bytes(stop - start), b"\xff" * (stop - start))
    return data[:start] + filling[int(dice.integers(0, 3))] + data[stop:]


def shuffle_blocks(data: bytes, other: bytes, dice: Dice) -> bytes:
    """Blocks of 16 to 1,024 bytes behind the header in another order."""
    size = 2 ** int(dice.integers(4, 11))
    start = int(dice.integers(0, min(HEADER, len(data))))
    blocks = [data[place : place + size] for place in range(start, len(data), size)]
    order = list(range(len(blocks)))
    for _ in range(int(dice.integers(1, 8)) if blocks else 0):
        one, two = (int(index) for index in dice.integers(0, len(blocks), 2))
        order[one], order[two] = order[two], order[one]
    return data[:start] + b"".join(blocks[index] for index in order)


def truncate(data: bytes, other: bytes, dice: Dice) -> bytes:
    """The file's beginning."""
    return data[: int(dice.integers(1, len(data) + 1))]


def cut_out(data: bytes, other: bytes, dice: Dice) -> bytes:
    """The file without a stretch."""
    start, stop = stretch(data, dice)
    return data[:start] + data[stop:]


def splice(data: bytes, other: bytes, dice: Dice) -> bytes:
    """The beginning of one file and the end of another."""
    return data[: int(dice.integers(1, len(data) + 1))] + other[int(dice.integers(0, len(other))) :]


def insert(data: bytes, other: bytes, dice: Dice) -> bytes:
    """A stretch of another file, put in between."""
    start, stop = stretch(other, dice)
    place = int(dice.integers(0, len(data) + 1))
    return data[:place] + other[start:stop] + data[place:]


def repeat(data: bytes, other: bytes, dice: Dice) -> bytes:
    """A stretch, up to 200 times: segments, chunks and directories that come again."""
    start, stop = stretch(data, dice)
    times = int(dice.integers(2, 200 if stop - start < 500 else 3))
    return data[:start] + data[start:stop] * times + data[stop:]


def set_field(data: bytes, other: bytes, dice: Dice) -> bytes:
    """A 16, 32 or 64 bit field of the header set to an extreme, of either byte order."""
    work = bytearray(data)
    for _ in range(int(dice.integers(1, 4))):
        size, kind = ((2, "H"), (4, "I"), (8, "Q"))[int(dice.integers(0, 3))]
        place = int(dice.integers(0, max(1, min(HEADER, len(work)) - size)))
        value = EXTREMES[int(dice.integers(0, len(EXTREMES)))] + int(dice.integers(-1, 2))
        field = struct.pack(("<", ">")[int(dice.integers(0, 2))] + kind, value % 2 ** (8 * size))
        work[place : place + size] = field[: max(0, len(work) - place)]
    return bytes(work)


def nudge_field(data: bytes, other: bytes, dice: Dice) -> bytes:
    """A 16 or 32 bit field a little larger or smaller than it was."""
    work = bytearray(data)
    size = (2, 4)[int(dice.integers(0, 2))]
    order = ("little", "big")[int(dice.integers(0, 2))]
    place = int(dice.integers(0, max(1, min(HEADER, len(work)) - size)))
    value = int.from_bytes(work[place : place + size], order) + int(dice.integers(-16, 17))
    work[place : place + size] = (value % 2 ** (8 * size)).to_bytes(size, order)
    return bytes(work)


def edit_metadata(data: bytes, other: bytes, dice: Dice) -> bytes:
    """Bytes shortly after the name of a metadata block: Exif, XMP, profile, text, boxes, chunks."""
    places = [place for name in MARKS if (place := data.find(name)) >= 0]
    if not places:
        return flip_header(data, other, dice)
    place = places[int(dice.integers(0, len(places)))]
    work = bytearray(data)
    for _ in range(int(dice.integers(1, 12))):
        spot = min(len(work) - 1, max(0, place + int(dice.integers(-8, 120))))
        work[spot] = int(dice.integers(0, 256))
    return bytes(work)


MARKS = (
    *(b"Exif\0\0", b"http://ns.adobe.com/xap", b"<rdf:RDF", b"ICC_PROFILE", b"acsp", b"JFIF", b"Adobe"),
    *(b"IHDR", b"PLTE", b"tRNS", b"iCCP", b"eXIf", b"zTXt", b"iTXt", b"IDAT"),
    *(b"VP8X", b"VP8L", b"VP8 ", b"ALPH", b"EXIF", b"XMP "),
    *(b"meta", b"iloc", b"iinf", b"iprp", b"ipma", b"ispe", b"hvcC", b"av1C", b"jp2h", b"ihdr", b"colr", b"jp2c"),
    *(b"II*\0", b"MM\0*", b"II+\0", b"GIF89a", b"\xff\x4f\xff\x51"),
)

MUTATIONS: Sequence[Mutation] = (
    flip_bits,
    flip_header,
    overwrite,
    shuffle_blocks,
    truncate,
    cut_out,
    splice,
    insert,
    repeat,
    set_field,
    nudge_field,
    edit_metadata,
)


def stretch(data: bytes, dice: Dice) -> tuple[int, int]:
    """Where a stretch of 1 to 4,096 bytes begins and ends."""
    start = int(dice.integers(0, len(data)))
    return start, min(len(data), start + 2 ** int(dice.integers(0, 13)))


def mutated(data: bytes, other: bytes, dice: Dice) -> tuple[bytes, list[str]]:
    """``data`` after one to three mutations, never empty, and their names."""
    chosen = [MUTATIONS[int(index)] for index in dice.integers(0, len(MUTATIONS), int(dice.integers(1, 4)))]
    for mutation in chosen:
        data = mutation(data, other, dice) or b"\0"
    return data, [mutation.__name__ for mutation in chosen]
