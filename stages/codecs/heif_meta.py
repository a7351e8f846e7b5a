"""What the meta box of an AVIF or HEIC file says: items, where their bytes are, and their properties.

ISO/IEC 14496-12, 8.11 (items), and ISO/IEC 23008-12, 9 (item properties).
"""

import struct
from dataclasses import dataclass, field

from stages.codecs.bmff import Box, boxes_of
from stages.photo import FaultClass, PhotoFault

IN_FILE, IN_IDAT = 0, 1  # construction methods of an item's place
XMP_TYPE = b"application/rdf+xml"


@dataclass(frozen=True, slots=True)
class Item:
    kind: bytes  # "av01", "hvc1", "grid", "Exif", "mime"
    content_type: bytes = b""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an item's bytes are: (offset, length) each, from the start of the file or of the idat box."""

    method: int
    extents: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Reference:
    kind: bytes
    source: int
    targets: tuple[int, ...]


@dataclass(slots=True)
class Meta:
    """One file's meta box. Properties are whole boxes; associations are (index from 1, essential)."""

    box: Box
    top: list[Box]
    children: list[Box]
    primary: int = 0
    items: dict[int, Item] = field(default_factory=dict[int, Item])
    places: dict[int, Place] = field(default_factory=dict[int, Place])
    references: list[Reference] = field(default_factory=list[Reference])
    properties: list[bytes] = field(default_factory=list[bytes])
    associations: dict[int, list[tuple[int, bool]]] = field(default_factory=dict[int, list[tuple[int, bool]]])
    idat: bytes = b""

    def properties_of(self, item: int) -> list[bytes]:
        """An item's properties in order, as boxes."""
        return [self.properties[index - 1] for index, _ in self.associations.get(item, []) if index]

    def property_of(self, item: int, kind: bytes) -> bytes | None:
        """The content of an item's first property of a kind."""
        return next((each[8:] for each in self.properties_of(item) if each[4:8] == kind), None)

    def targets(self, kind: bytes, source: int) -> tuple[int, ...]:
        return next((each.targets for each in self.references if (each.kind, each.source) == (kind, source)), ())

    def content(self, data: memoryview, item: int) -> bytes:
        """An item's bytes."""
        place = self.places.get(item, Place(IN_FILE, ()))
        source = memoryview(self.idat) if place.method == IN_IDAT else data
        return b"".join(source[offset : offset + length] for offset, length in place.extents)

    def packet_item(self) -> int | None:
        """The item that holds the XMP packet, best that of the primary picture."""
        found = [item for item, facts in self.items.items() if facts.content_type == XMP_TYPE]
        own = [item for item in found if self.primary in self.targets(b"cdsc", item)]
        return next(iter(own + found), None)


def kind_of(box: bytes) -> bytes:
    """A property's kind; code points for colours count as one of their own, apart from profiles."""
    return b"nclx" if box[4:12] == b"colrnclx" else box[4:8]


def meta_of(data: memoryview) -> Meta:
    """Raises ``PhotoFault`` for a file without pictures, for one that ends early, and for image sequences."""
    top = boxes_of(data, 0, len(data))
    if any(box.kind == b"moov" for box in top):
        raise PhotoFault(FaultClass.UNSUPPORTED, "an animation")
    box = next((box for box in top if box.kind == b"meta"), None)
    if box is None:
        raise PhotoFault(FaultClass.CORRUPT, "no meta box")
    meta = Meta(box, top, boxes_of(data, box.content + 4, box.stop))
    for child in meta.children:
        if child.kind in PARSERS:
            PARSERS[child.kind](data, child, meta)
    if meta.primary not in meta.items:
        raise PhotoFault(FaultClass.CORRUPT, "no primary picture")
    for place in meta.places.values():
        limit = len(meta.idat) if place.method == IN_IDAT else len(data)
        if any(offset + length > limit for offset, length in place.extents):
            raise PhotoFault(FaultClass.TRUNCATED, "the file ends before the bytes of an item")
    return meta


class Fields:
    """Numbers one after the other."""

    def __init__(self, data: memoryview, box: Box) -> None:
        self._data, self._place, self._stop = data, box.content, box.stop
        self.version = self.take(1)
        self.flags = self.take(3)

    def take(self, size: int) -> int:
        """The next number of ``size`` bytes; 0 where it has none."""
        start, self._place = self._place, self._place + size
        if self._place > self._stop:
            raise PhotoFault(FaultClass.CORRUPT, "a box is too short for what it says")
        return int.from_bytes(self._data[start : self._place], "big")

    def rest(self) -> tuple[int, int]:
        """Where the fields not yet read start and stop."""
        return self._place, self._stop


def parse_primary(data: memoryview, box: Box, meta: Meta) -> None:
    fields = Fields(data, box)
    meta.primary = fields.take(4 if fields.version else 2)


def parse_items(data: memoryview, box: Box, meta: Meta) -> None:
    fields = Fields(data, box)
    fields.take(4 if fields.version else 2)
    for entry in boxes_of(data, *fields.rest()):
        facts = Fields(data, entry)
        if facts.version < 2:
            raise PhotoFault(FaultClass.UNSUPPORTED, "item entries of an old version")
        item = facts.take(2 if facts.version == 2 else 4)
        facts.take(2)
        kind = facts.take(4).to_bytes(4, "big")
        texts = bytes(data[slice(*facts.rest())]).split(b"\0")
        meta.items[item] = Item(kind, texts[1] if kind == b"mime" and len(texts) > 1 else b"")


def parse_places(data: memoryview, box: Box, meta: Meta) -> None:
    fields = Fields(data, box)
    sizes = fields.take(2)
    offset_size, length_size, base_size, index_size = (sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15, sizes & 15)
    wide = 4 if fields.version == 2 else 2
    for _ in range(fields.take(wide)):
        item = fields.take(wide)
        method = fields.take(2) & 15 if fields.version else IN_FILE
        elsewhere = fields.take(2)
        base = fields.take(base_size)
        extents: list[tuple[int, int]] = []
        for _ in range(fields.take(2)):
            fields.take(index_size if fields.version else 0)
            extents.append((base + fields.take(offset_size), fields.take(length_size)))
        if elsewhere or method > IN_IDAT or not all(length for _, length in extents):
            raise PhotoFault(FaultClass.UNSUPPORTED, "an item whose bytes are not named by place and length")
        meta.places[item] = Place(method, tuple(extents))


def parse_references(data: memoryview, box: Box, meta: Meta) -> None:
    fields = Fields(data, box)
    size = 4 if fields.version else 2
    for entry in boxes_of(data, *fields.rest()):
        source, count = struct.unpack_from(">IH" if fields.version else ">HH", data, entry.content)
        start = entry.content + size + 2
        if start + size * count > entry.stop:
            raise PhotoFault(FaultClass.CORRUPT, "a box is too short for what it says")
        targets = (data[start + size * at : start + size * (at + 1)] for at in range(count))
        meta.references.append(Reference(entry.kind, source, tuple(int.from_bytes(each, "big") for each in targets)))


def parse_properties(data: memoryview, box: Box, meta: Meta) -> None:
    for child in boxes_of(data, box.content, box.stop):
        if child.kind == b"ipco":
            found = boxes_of(data, child.content, child.stop)
            meta.properties = [bytes(data[each.start : each.stop]) for each in found]
        elif child.kind == b"ipma":
            parse_associations(data, child, meta)


def parse_associations(data: memoryview, box: Box, meta: Meta) -> None:
    fields = Fields(data, box)
    wide = fields.flags & 1
    for _ in range(fields.take(4)):
        item = fields.take(4 if fields.version else 2)
        values = [fields.take(2 if wide else 1) for _ in range(fields.take(1))]
        essential = 0x8000 if wide else 0x80
        found = [(value & (essential - 1), bool(value & essential)) for value in values]
        if any(index > len(meta.properties) for index, _ in found):
            raise PhotoFault(FaultClass.CORRUPT, "an item has a property that is not there")
        meta.associations.setdefault(item, []).extend(found)


def parse_idat(data: memoryview, box: Box, meta: Meta) -> None:
    meta.idat = bytes(data[box.content : box.stop])


PARSERS = {
    b"pitm": parse_primary,
    b"iinf": parse_items,
    b"iloc": parse_places,
    b"iref": parse_references,
    b"iprp": parse_properties,
    b"idat": parse_idat,
}
