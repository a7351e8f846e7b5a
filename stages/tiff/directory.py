"""A TIFF's directories: which tags a file has and where their values lie (TIFF 6.0 section 2; BigTIFF).

Nothing is believed before it is checked: every place is looked at for being inside the file, directories may not run
in a circle, and there are caps on how many there may be.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from stages.photo import FaultClass, PhotoFault

Numbers = NDArray[np.uint64]
Values = bytes | bytearray | NDArray[np.uint8]

PAGES = 10_000
ENTRIES = 500_000  # in all directories together
WIDTHS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
UNSIGNED = {1: "u1", 3: "u2", 4: "u4", 7: "u1", 13: "u4", 16: "u8", 18: "u8"}
SHORT, LONG, BYTE, RATIONAL, UNDEFINED, LONG8 = 3, 4, 1, 5, 7, 16


@dataclass(frozen=True, slots=True)
class Flavour:
    """The two things in which TIFFs differ throughout: the order of bytes, and whether offsets have 4 or 8 of them."""

    order: Literal["<", ">"]
    big: bool = False

    @property
    def pointer(self) -> str:
        """The struct code of an offset."""
        return "Q" if self.big else "I"

    @property
    def room(self) -> int:
        """Bytes of an offset, and of the values that an entry can hold itself."""
        return 8 if self.big else 4

    @property
    def entry(self) -> int:
        """Bytes of an entry: tag, type, count, and the values or their offset."""
        return 20 if self.big else 12

    @property
    def first_at(self) -> int:
        """Where the header says where the first directory is."""
        return 8 if self.big else 4

    def packed(self, code: str, *values: int) -> bytes:
        return struct.pack(self.order + code, *values)

    def integers(self, kind: int, values: Sequence[int]) -> bytes:
        return np.asarray(values, np.uint64).astype(self.order + UNSIGNED[kind]).tobytes()


@dataclass(frozen=True, slots=True)
class Entry:
    """One tag. ``at`` is where its entry lies, ``value_at`` where its ``size`` bytes of values do."""

    tag: int
    kind: int
    count: int
    at: int
    value_at: int
    size: int

    @property
    def known(self) -> bool:
        return self.kind in WIDTHS


@dataclass(frozen=True, slots=True)
class Directory:
    """The tags of one page, in the file's order, and by number (the first where there are two)."""

    at: int
    next_at: int
    entries: tuple[Entry, ...]
    tags: dict[int, Entry]


class File:
    """A TIFF's bytes and its chain of directories. Those that hang on tags (EXIF, GPS, SubIFDs) are left alone."""

    def __init__(self, data: NDArray[np.uint8]) -> None:
        self.data = data
        self.flavour = flavour_of(data[:16].tobytes())
        self.directories = self._chain()

    def part(self, at: int, size: int) -> NDArray[np.uint8]:
        """A stretch of the file; ``PhotoFault`` (truncated) if it does not lie in it."""
        if at + size > self.data.size:
            raise PhotoFault(FaultClass.TRUNCATED, f"the file ends before byte {at + size}")
        return self.data[at : at + size]

    def content(self, directory: Directory, tag: int) -> bytes | None:
        """The bytes of a tag's values, or None if it is not there."""
        entry = directory.tags.get(tag)
        return None if entry is None or not entry.known else self.part(entry.value_at, entry.size).tobytes()

    def numbers(self, directory: Directory, tag: int, default: Sequence[int] = ()) -> Numbers:
        """The values of a tag of unsigned integers; ``default`` if it is not there or of another type."""
        entry = directory.tags.get(tag)
        if entry is None or entry.kind not in UNSIGNED or entry.count == 0:
            return np.asarray(default, np.uint64)
        words = np.frombuffer(self.part(entry.value_at, entry.size), self.flavour.order + UNSIGNED[entry.kind])
        return words.astype(np.uint64)

    def number(self, directory: Directory, tag: int, default: int) -> int:
        """The first value of a tag of unsigned integers."""
        entry = directory.tags.get(tag)
        if entry is None or entry.kind not in UNSIGNED or entry.count == 0:
            return default
        return self._integer(entry.value_at, UNSIGNED[entry.kind])

    def _chain(self) -> tuple[Directory, ...]:
        at = self._integer(self.flavour.first_at, f"u{self.flavour.room}")
        found: dict[int, Directory] = {}
        entries = 0
        while at:
            if at in found:
                raise PhotoFault(FaultClass.CORRUPT, "the directories run in a circle")
            found[at] = directory = self._directory(at)
            entries += len(directory.entries)
            if len(found) > PAGES or entries > ENTRIES:
                raise PhotoFault(FaultClass.TOO_LARGE, f"more than {PAGES} pages or {ENTRIES} tags")
            at = self._integer(directory.next_at, f"u{self.flavour.room}")
        if not found:
            raise PhotoFault(FaultClass.CORRUPT, "a TIFF without a page")
        return tuple(found.values())

    def _directory(self, at: int) -> Directory:
        flavour = self.flavour
        count = self._integer(at, "u8" if flavour.big else "u2")
        if not 0 < count <= 65535:
            raise PhotoFault(FaultClass.CORRUPT, f"a directory of {count} tags")
        start = at + (8 if flavour.big else 2)
        self.part(start, count * flavour.entry)
        entries = tuple(self._entry(start + index * flavour.entry) for index in range(count))
        tags = {entry.tag: entry for entry in reversed(entries)}
        return Directory(at, start + count * flavour.entry, entries, tags)

    def _entry(self, at: int) -> Entry:
        flavour = self.flavour
        tag, kind, count = struct.unpack_from(flavour.order + ("HHQ" if flavour.big else "HHI"), self.data.data, at)
        size = count * WIDTHS.get(kind, 0)
        value_at = at + flavour.entry - flavour.room
        if size > flavour.room:
            value_at = self._integer(value_at, f"u{flavour.room}")
        return Entry(tag, kind, count, at, value_at, size)

    def _integer(self, at: int, code: str) -> int:
        return int(np.frombuffer(self.part(at, int(code[1])), self.flavour.order + code)[0])


def is_tiff(head: bytes) -> bool:
    return head[:4] in {b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"}


def flavour_of(head: bytes) -> Flavour:
    """The flavour that the file's first 16 bytes tell of."""
    if len(head) < 8:
        raise PhotoFault(FaultClass.TRUNCATED, "a TIFF of fewer than 8 bytes")
    flavour = Flavour("<" if head[:2] == b"II" else ">", head[2:4] in {b"+\0", b"\0+"})
    if flavour.big and head[4:8] != flavour.packed("HH", 8, 0):
        raise PhotoFault(FaultClass.CORRUPT, "a BigTIFF whose offsets are not of 8 bytes")
    return flavour
