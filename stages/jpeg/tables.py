"""What stands in a JPEG's tables and scan headers (ITU-T T.81, B.2.3 and B.2.4)."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from stages.jpeg.coefficients import ZIGZAG
from stages.jpeg.segments import DHT, DQT, DRI, EOI, FRAMES, PROGRESSIVE, SOS, Frame, Segment, Unfit

KNOWN = FRAMES | {DHT, DQT, DRI, EOI, SOS}


def quantisation(segments: Sequence[Segment], data: memoryview) -> dict[int, NDArray[np.float32]]:
    """The steps of all quantisation tables, (8, 8) in natural order, by number."""
    found: dict[int, NDArray[np.float32]] = {}
    for segment in segments:
        body = segment.payload(data) if segment.marker == DQT else b""
        while body:
            wide, number = body[0] >> 4, body[0] & 15
            size = 128 if wide else 64
            values = np.frombuffer(body[1 : 1 + size], ">u2" if wide else np.uint8)
            if values.size != 64 or not values.all():
                raise Unfit("a quantisation table is damaged")
            table = np.empty(64, np.float32)
            table[ZIGZAG] = values
            if not np.array_equal(found.setdefault(number, table.reshape(8, 8)), table.reshape(8, 8)):
                raise Unfit("a quantisation table changes between scans")
            body = body[1 + size :]
    return found


def check_fit(frame: Frame, segments: Sequence[Segment], data: memoryview) -> None:
    """Raises ``Unfit`` for what coefficients alone do not say."""
    odd = [segment.marker for segment in segments if segment.marker not in KNOWN and not segment.metadata]
    if odd:
        raise Unfit(f"it has a marker segment of the rare kind {odd[0]:02X}")
    if any(strays(segments, data)):
        raise Unfit("its scans are damaged")
    if not {component.table for component in frame.components} <= set(quantisation(segments, data)):
        raise Unfit("a quantisation table is missing")
    if frame.marker == PROGRESSIVE and not is_complete(frame, segments, data):
        raise Unfit("its scans leave bits out, which decoders make up for by smoothing")


def strays(segments: Sequence[Segment], data: memoryview) -> Iterator[bytes]:
    """What lies between a segment and the next where no scan data can be, fill bytes apart, from the first scan on."""
    first = next(place for place, segment in enumerate(segments) if segment.marker == SOS)
    for segment, after in pairwise(segments[first:]):
        if segment.marker != SOS:
            yield bytes(data[segment.end : after.start]).strip(b"\xff")


def is_complete(frame: Frame, segments: Sequence[Segment], data: memoryview) -> bool:
    """Whether the scans of a progressive file give every coefficient with all its bits."""
    left = {component.id: np.full(64, 15) for component in frame.components}
    for segment in segments:
        if segment.marker != SOS:
            continue
        components, (first, last, bits) = scan_header(segment, data)
        for identity, _ in components:
            if identity in left:
                left[identity][first : last + 1] = bits & 15
    return not any(bits.any() for bits in left.values())


def scan_header(segment: Segment, data: memoryview) -> tuple[list[tuple[int, int]], tuple[int, int, int]]:
    """A scan's components, each its id and its tables (DC << 4 | AC), and the three bytes that end the header."""
    body = segment.payload(data)
    if not body or len(body) != 4 + 2 * body[0]:
        raise Unfit("a scan header is damaged")
    components = [(body[1 + 2 * index], body[2 + 2 * index]) for index in range(body[0])]
    return components, (body[-3], body[-2], body[-1])


def huffman_tables(frame: Frame, segments: Sequence[Segment], data: memoryview) -> list[tuple[int, int]]:
    """Which Huffman tables, for DC and AC, each component is to use: those it uses in a sequential file."""
    if frame.marker == PROGRESSIVE:
        return [(min(index, 1), min(index, 1)) for index in range(len(frame.components))]
    used: dict[int, int] = {}
    for segment in segments:
        if segment.marker == SOS:
            used.update(scan_header(segment, data)[0])
    numbers = [used.get(component.id, 0) for component in frame.components]
    return [(number >> 4 & 3, number & 3) for number in numbers]
