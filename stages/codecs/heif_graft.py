"""New coded pictures and another XMP packet in an AVIF or HEIC file whose other bytes stay as they are.

The replaced items' bytes are taken out, the new ones stand in a media data box behind the meta box. Of the meta box the
places, the properties and the list of items are written anew; all other boxes and items keep their bytes.
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from stages.codecs.bmff import Box, boxes_of, made, resized
from stages.codecs.heif_meta import IN_FILE, IN_IDAT, XMP_TYPE, Item, Meta, Place, Reference, kind_of
from stages.photo import FaultClass, PhotoFault

Cut = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Coded:
    """A picture encoded again: its item, its bytes (None if it has the old ones), and the properties (box, essential)
    that come in place of all of the kinds ``replaced``.
    """

    item: int
    payload: bytes | None
    properties: Sequence[tuple[bytes, bool]]
    replaced: frozenset[bytes]


def grafted(data: memoryview, old: Meta, coded: Sequence[Coded], packet: bytes | None) -> bytes:
    """The file with new pictures, and with the packet if there is one."""
    meta = replace(old, items=dict(old.items), references=list(old.references), properties=list(old.properties))
    meta.associations = {item: list(found) for item, found in old.associations.items()}
    payloads = {packet_item(meta): packet} if packet is not None else dict[int, bytes]()
    payloads |= {each.item: each.payload for each in coded if each.payload is not None}
    for each in coded:
        meta.associations[each.item] = associated(meta, each)
    cuts = cuts_of(old, set(payloads))
    kept = {item: place for item, place in old.places.items() if item not in payloads}
    media = made(b"mdat", *payloads.values())
    size = len(meta_box(data, old, meta, kept, payloads, lambda place: place, 0))
    grown = size + len(media) - (old.box.stop - old.box.start)

    def moved(place: int) -> int:
        gone = sum(min(place, stop) - start for start, stop in cuts if start < place)
        return place - gone + (grown if place >= old.box.stop else 0)

    new = meta_box(data, old, meta, kept, payloads, moved, moved(old.box.start) + size + 8)
    pieces: list[bytes | memoryview] = []
    for box in old.top:
        pieces += [new, media] if box is old.box else [without(data, box, cuts)]
    return b"".join(pieces)


def associated(meta: Meta, coded: Coded) -> list[tuple[int, bool]]:
    """The associations of a picture encoded again: its new properties first, then those that stay, which turn it."""
    result: list[tuple[int, bool]] = []
    for box, essential in coded.properties:
        if box not in meta.properties:
            meta.properties.append(box)
        result.append((meta.properties.index(box) + 1, essential))
    old = meta.associations.get(coded.item, [])
    return result + [each for each in old if each[0] and kind_of(meta.properties[each[0] - 1]) not in coded.replaced]


def packet_item(meta: Meta) -> int:
    """The item of the XMP packet; a new one that describes the primary picture if there is none."""
    found = meta.packet_item()
    if found is None:
        found = max(meta.items) + 1
        meta.items[found] = Item(b"mime", XMP_TYPE)
        meta.references.append(Reference(b"cdsc", found, (meta.primary,)))
    return found


def cuts_of(meta: Meta, items: set[int]) -> list[Cut]:
    """The bytes in media data boxes that no item needs any more, in order; none if items share bytes."""
    spans = {
        item: [(offset, offset + length) for offset, length in place.extents if place.method == IN_FILE]
        for item, place in meta.places.items()
    }
    everything = sorted(span for found in spans.values() for span in found)
    if any(before[1] > after[0] for before, after in pairwise(everything)):
        return []
    media = [box for box in meta.top if box.kind == b"mdat"]
    mine = sorted(span for item in items for span in spans.get(item, []))
    return [cut for cut in mine if any(box.content <= cut[0] and cut[1] <= box.stop for box in media)]


def without(data: memoryview, box: Box, cuts: Sequence[Cut]) -> bytes | memoryview:
    """A box without the bytes that are cut out of it. The last box of a file may lack a size: it gets one."""
    own = [cut for cut in cuts if box.content <= cut[0] < box.stop]
    if not own and any(data[box.start : box.start + 4]):
        return data[box.start : box.stop]
    starts = [box.content, *(stop for _, stop in own)]
    stops = [*(start for start, _ in own), box.stop]
    kept = [data[start:stop] for start, stop in zip(starts, stops, strict=True)]
    return b"".join([resized(data, box, sum(stop - start for start, stop in own)), *kept])


def meta_box(
    data: memoryview,
    old: Meta,
    new: Meta,
    kept: dict[int, Place],
    payloads: dict[int, bytes],
    moved: Callable[[int], int],
    media: int,
) -> bytes:
    """The meta box with the kept items where ``moved`` says, and the payloads one after the other from ``media``."""
    places = {item: relocated(place, moved) for item, place in kept.items()}
    for item, payload in payloads.items():
        places[item] = Place(IN_FILE, ((media, len(payload)),))
        media += len(payload)
    added = [item for item in new.items if item not in old.items]
    links = new.references[len(old.references) :]
    pieces: list[bytes | memoryview] = [data[old.box.content : old.box.content + 4]]
    for child in old.children:
        whole = data[child.start : child.stop]
        match child.kind:
            case b"iloc":
                pieces.append(places_box(places))
            case b"iprp":
                pieces.append(properties_box(new))
            case b"iinf":
                pieces.append(items_box(whole, new, added))
            case b"iref":
                pieces.append(references_box(whole, links))
            case _:
                pieces.append(whole)
    if links and not any(child.kind == b"iref" for child in old.children):
        pieces.append(references_box(memoryview(made(b"iref", bytes(4))), links))
    return made(b"meta", *pieces)


def relocated(place: Place, moved: Callable[[int], int]) -> Place:
    if place.method == IN_IDAT:
        return place
    return Place(IN_FILE, tuple((moved(offset), length) for offset, length in place.extents))


def places_box(places: dict[int, Place]) -> bytes:
    """An item location box of version 1 or, for large item numbers, 2; offsets and lengths have four bytes."""
    large = max(places) >= 2**16
    entries: list[bytes] = [bytes([2 if large else 1, 0, 0, 0, 0x44, 0x00])]
    entries.append(struct.pack(">I" if large else ">H", len(places)))
    for item, place in sorted(places.items()):
        entries.append(struct.pack(">IHHH" if large else ">HHHH", item, place.method, 0, len(place.extents)))
        if any(max(extent) >= 2**32 for extent in place.extents):
            raise PhotoFault(FaultClass.UNWRITABLE, "the file would be larger than 4 GiB")
        entries += [struct.pack(">II", *extent) for extent in place.extents]
    return made(b"iloc", *entries)


def properties_box(meta: Meta) -> bytes:
    """All properties and who has them, in 16 bits each where there are many."""
    wide = len(meta.properties) > 127
    large = max(meta.associations, default=0) >= 2**16
    entries = [struct.pack(">BBBBI", large, 0, 0, wide, len(meta.associations))]
    for item, found in sorted(meta.associations.items()):
        entries.append(struct.pack(">IB" if large else ">HB", item, len(found)))
        if wide:
            entries += [struct.pack(">H", index | (0x8000 if essential else 0)) for index, essential in found]
        else:
            entries.append(bytes(index | (0x80 if essential else 0) for index, essential in found))
    return made(b"iprp", made(b"ipco", *meta.properties), made(b"ipma", *entries))


def items_box(whole: memoryview, meta: Meta, added: Sequence[int]) -> bytes:
    """The item information box with entries for new items behind the old ones, which stay as they are."""
    (box,) = boxes_of(whole, 0, len(whole))
    wide = whole[box.content]
    start = box.content + 4
    entries = start + (4 if wide else 2)
    count = int.from_bytes(whole[start:entries], "big") + len(added)
    new = [item_entry(item, meta.items[item]) for item in added]
    return made(b"iinf", whole[box.content : start], count.to_bytes(entries - start, "big"), whole[entries:], *new)


def item_entry(item: int, facts: Item) -> bytes:
    """A new entry for an item without a name."""
    large = item >= 2**16
    number = struct.pack(">I" if large else ">H", item)
    content = facts.kind + b"\0" + facts.content_type + b"\0"
    return made(b"infe", bytes([3 if large else 2, 0, 0, 0]), number, bytes(2), content)


def references_box(whole: memoryview, links: Sequence[Reference]) -> bytes:
    """The item reference box with new ones behind the old ones."""
    (box,) = boxes_of(whole, 0, len(whole))
    layout = ">IHI" if whole[box.content] else ">HHH"
    new = [made(link.kind, struct.pack(layout, link.source, len(link.targets), *link.targets)) for link in links]
    return made(b"iref", whole[box.content :], *new)
