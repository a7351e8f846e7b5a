"""Changes to a TIFF's bytes: some replaced where they are, the rest appended; whatever is not named keeps its place.

Nothing in the file moves, so that offsets that only their owner understands (makers' notes, private tags) stay true.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from stages.photo import FaultClass, PhotoFault
from stages.tiff.directory import LONG, LONG8, UNSIGNED, WIDTHS, Directory, Entry, File, Flavour


class Claims:
    """The stretches of a file that something points to, so that none is overwritten that two things share."""

    def __init__(self, stretches: Iterable[tuple[int, int]]) -> None:
        held = [(start, start + size) for start, size in stretches if size]
        self._starts = np.sort(np.asarray([start for start, _ in held], np.uint64))
        self._ends = np.sort(np.asarray([end for _, end in held], np.uint64))

    def alone(self, start: int, size: int) -> bool:
        """Whether at most one thing points into a stretch."""
        before = np.searchsorted(self._starts, np.uint64(start + size))
        return int(before - np.searchsorted(self._ends, np.uint64(start), "right")) <= 1


@dataclass(slots=True)
class Change:
    """What becomes of one directory: raw entries by tag that are new or replaced, and the tags that go."""

    entries: dict[int, bytes] = field(default_factory=dict[int, bytes])
    removed: frozenset[int] = frozenset()


class Surgery:
    """The bytes of a file on the table. ``joined`` makes the new file, in one copy."""

    def __init__(self, data: NDArray[np.uint8], flavour: Flavour, claims: Claims) -> None:
        self._data = data
        self.flavour = flavour
        self._claims = claims
        self._replaced: dict[int, bytes] = {}
        self._appended: list[bytes] = []
        self._size = data.size

    def replace(self, at: int, content: bytes) -> None:
        """Other bytes in the place of as many old ones."""
        self._replaced[at] = content

    def append(self, content: bytes) -> int:
        """Where ``content`` lies at the file's end, on a word boundary."""
        if self._size % 2:
            self._appended.append(b"\0")
            self._size += 1
        at = self._size
        self._appended.append(content)
        self._size += len(content)
        if not self.flavour.big and self._size > 0xFFFFFFFF:
            raise PhotoFault(FaultClass.UNWRITABLE, "the result would pass the 4 GiB of a classic TIFF")
        return at

    def place(self, at: int, size: int, content: bytes) -> int:
        """Where ``content`` lies now: at its old place of ``size`` bytes if that is large enough and nobody else's."""
        if len(content) <= size and self._claims.alone(at, size):
            self.replace(at, content)
            return at
        return self.append(content)

    def entry(self, tag: int, kind: int, content: bytes) -> bytes:
        """A raw entry for a directory; its values are appended if the entry cannot hold them."""
        flavour = self.flavour
        count = len(content) // WIDTHS[kind]
        room = content.ljust(flavour.room, b"\0")
        if len(content) > flavour.room:
            room = flavour.packed(flavour.pointer, self.append(content))
        return flavour.packed("HH" + flavour.pointer, tag, kind, count) + room

    def content(self, old: Entry, kind: int, content: bytes) -> bytes:
        """The raw entry with new values for a tag that is there; they take the old ones' place if they fit it."""
        flavour = self.flavour
        if len(content) <= flavour.room or old.size <= flavour.room:
            return self.entry(old.tag, kind, content)
        at = self.place(old.value_at, old.size, content)
        head = flavour.packed("HH" + flavour.pointer, old.tag, kind, len(content) // WIDTHS[kind])
        return head + flavour.packed(flavour.pointer, at)

    def integers(self, old: Entry, values: list[int]) -> bytes:
        """The same for a tag of integers, in a wider type if its own cannot hold them."""
        fits = old.kind in UNSIGNED and max(values) < 1 << 8 * WIDTHS[old.kind]
        kind = old.kind if fits else widest(self.flavour)
        return self.content(old, kind, self.flavour.integers(kind, values))

    def directories(self, file: File, changes: Mapping[int, Change]) -> None:
        """Writes the changed directories: in place if they only have other values, else anew at the file's end."""
        flavour = self.flavour
        moved: bytes | None = None
        for index in reversed(range(len(file.directories))):
            directory, change = file.directories[index], changes.get(index, Change())
            if change.removed or not change.entries.keys() <= directory.tags.keys():
                following = file.part(directory.next_at, flavour.room).tobytes()
                moved = self.directory(file, directory, change, moved or following)
                continue
            for tag, raw in change.entries.items():
                self.replace(directory.tags[tag].at, raw)
            if moved:
                self.replace(directory.next_at, moved)
            moved = None
        if moved:
            self.replace(flavour.first_at, moved)

    def directory(self, file: File, directory: Directory, change: Change, following: bytes) -> bytes:
        """The packed offset of a directory that is written anew, its entries in the order of their tags."""
        flavour = self.flavour
        gone = change.removed | change.entries.keys()
        stay = [(entry.tag, entry.at) for entry in directory.entries if entry.tag not in gone]
        raw = [(tag, file.part(at, flavour.entry).tobytes()) for tag, at in stay] + list(change.entries.items())
        raw.sort(key=lambda pair: pair[0])
        head = flavour.packed("Q" if flavour.big else "H", len(raw))
        at = self.append(b"".join([head, *(entry for _, entry in raw), following]))
        return flavour.packed(flavour.pointer, at)

    def joined(self) -> bytes:
        pieces: list[bytes | memoryview] = []
        at, whole = 0, self._data.data
        for start, content in sorted(self._replaced.items()):
            pieces += [whole[at:start], content[max(0, at - start) :]] if start + len(content) > at else []
            at = max(at, start + len(content))
        return b"".join([*pieces, whole[at:], *self._appended])


def claims_of(file: File, segments: Iterable[tuple[int, int]]) -> Claims:
    """What a file's directories point to, and ``segments``: (offset, size)."""
    entries = [entry for directory in file.directories for entry in directory.entries]
    values = [(entry.value_at, entry.size) for entry in entries if entry.size > file.flavour.room]
    tables = [(each.at, each.next_at + file.flavour.room - each.at) for each in file.directories]
    size = file.data.size
    held = [(at, min(length, size - at)) for at, length in (*values, *tables, *segments) if at < size]
    return Claims(held)


def widest(flavour: Flavour) -> int:
    """The type that holds any offset of a file."""
    return LONG8 if flavour.big else LONG
