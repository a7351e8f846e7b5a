"""The marker segments of a JPEG file (ITU-T T.81, annex B): where each one lies, and what the frame header says."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from stages.photo import FaultClass, PhotoFault

MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")  # neither a stuffed byte, a fill byte nor a restart marker
SOI, EOI, SOS, DQT, DHT, DRI, COM, TEM = 0xD8, 0xD9, 0xDA, 0xDB, 0xC4, 0xDD, 0xFE, 0x01
APP0, APP1, APP2, APP14, APP15 = 0xE0, 0xE1, 0xE2, 0xEE, 0xEF
MPF = b"MPF\0"
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
PROGRESSIVE = 0xC2
EXIF = b"Exif\0\0"
ICC = b"ICC_PROFILE\0"
XMP = b"http://ns.adobe.com/xap/1.0/\0"
XMP_MOST = 65_502  # bytes of a packet (XMP specification, part 3, 1.1.3)

Coding = Literal["grey", "ycc", "rgb", "cmyk", "ycck"]


class Unfit(Exception):  # noqa: N818 - no error: another way is taken
    """This file's coefficients cannot be replaced; says why."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A marker and its segment: bytes ``start`` (its 0xFF) to ``end`` (excluded) of the file."""

    marker: int
    start: int
    end: int

    def whole(self, data: memoryview) -> bytes:
        return bytes(data[self.start : self.end])

    def payload(self, data: memoryview) -> bytes:
        return bytes(data[self.start + 4 : self.end])

    @property
    def metadata(self) -> bool:
        return APP0 <= self.marker <= APP15 or self.marker == COM


@dataclass(frozen=True, slots=True)
class Component:
    """A colour component: its id, its sampling factors, its quantisation table."""

    id: int
    across: int
    down: int
    table: int


@dataclass(frozen=True, slots=True)
class Frame:
    """What the frame header says. An MCU is the smallest rectangle that all components cover with whole blocks."""

    marker: int
    precision: int
    width: int
    height: int
    components: tuple[Component, ...]

    @property
    def most(self) -> tuple[int, int]:
        """The largest sampling factors, across and down."""
        return max(each.across for each in self.components), max(each.down for each in self.components)

    @property
    def mcu(self) -> tuple[int, int]:
        """Width and height of an MCU in pixels of the photo."""
        across, down = self.most
        return 8 * across, 8 * down

    @property
    def mcus(self) -> tuple[int, int]:
        """How many MCUs there are, across and down."""
        return -(-self.width // self.mcu[0]), -(-self.height // self.mcu[1])

    def blocks(self, component: Component) -> tuple[int, int]:
        """Rows and columns of a component's blocks, those that only fill up an MCU not counted."""
        across, down = self.mcu
        return -(-self.height * component.down // down), -(-self.width * component.across // across)


def walk(data: memoryview) -> Iterator[Segment]:
    """All segments up to the end marker, which comes last and is two bytes long. Scan data is stepped over.

    Raises ``PhotoFault``: ``truncated`` where the file ends early, ``corrupt`` for what no decoder takes.
    """
    place = 2
    while found := MARKER.search(data, place):
        start, code = found.start(), data[found.end() - 1]
        if code == SOI:
            raise PhotoFault(FaultClass.CORRUPT, "a second image begins inside the first")
        end = start + 2
        if code not in {EOI, TEM}:
            end += int.from_bytes(data[end : end + 2], "big")
        if end > len(data):
            break
        yield Segment(code, start, end)
        if code == EOI:
            return
        place = max(end, start + 4)
    raise PhotoFault(FaultClass.TRUNCATED, "the file is truncated: it has no end marker")


def before_scans(segments: Sequence[Segment]) -> Sequence[Segment]:
    """The segments before the first scan."""
    first = next((place for place, segment in enumerate(segments) if segment.marker == SOS), None)
    if first is None:
        raise PhotoFault(FaultClass.CORRUPT, "the file holds no image")
    return segments[:first]


def frame_of(segments: Sequence[Segment], data: memoryview) -> Frame:
    """The frame header."""
    frames = [segment for segment in segments if segment.marker in FRAMES]
    if len(frames) != 1:
        raise PhotoFault(FaultClass.CORRUPT, f"{len(frames)} frame headers where one belongs")
    body = frames[0].payload(data)
    if len(body) < 6 or len(body) < 6 + 3 * body[5]:
        raise PhotoFault(FaultClass.CORRUPT, "the frame header is too short")
    height, width = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
    parts = [body[6 + 3 * index : 9 + 3 * index] for index in range(body[5])]
    components = tuple(Component(part[0], part[1] >> 4, part[1] & 15, part[2]) for part in parts)
    if not (width and height and components and all(each.across and each.down for each in components)):
        raise PhotoFault(FaultClass.CORRUPT, "the frame header gives no size")
    return Frame(frames[0].marker, body[0], width, height, components)


def is_jfif(segment: Segment, data: memoryview) -> bool:
    return segment.marker == APP0 and segment.payload(data)[:5] == b"JFIF\0"


def is_adobe(segment: Segment, data: memoryview) -> bool:
    body = segment.payload(data) if segment.marker == APP14 else b""
    return len(body) >= 12 and body[:5] == b"Adobe"


def is_xmp(segment: Segment, data: memoryview) -> bool:
    return segment.marker == APP1 and segment.payload(data).startswith(XMP)


def is_exif(segment: Segment, data: memoryview) -> bool:
    return segment.marker == APP1 and segment.payload(data).startswith(EXIF)


def icc_of(segments: Sequence[Segment], data: memoryview) -> bytes | None:
    """The ICC profile, joined of its numbered parts (ICC.1:2022, B.4); None if there is none or a part is missing."""
    bodies = [segment.payload(data) for segment in segments if segment.marker == APP2]
    parts = {body[12]: body[14:] for body in bodies if body.startswith(ICC) and len(body) > 14}
    total = next((body[13] for body in bodies if body.startswith(ICC) and len(body) > 14), 0)
    if sorted(parts) != list(range(1, total + 1)):
        return None
    return b"".join(parts[number] for number in sorted(parts)) or None


def has_others(segments: Sequence[Segment], data: memoryview) -> bool:
    """Whether an index (CIPA DC-007) says where in the file further images lie."""
    return any(segment.marker == APP2 and segment.payload(data).startswith(MPF) for segment in segments)


def end_of_first(segments: Sequence[Segment]) -> int:
    """Where the run of APP0 and APP1 segments at the file's beginning ends."""
    place = 2
    for segment in segments:
        if segment.marker not in {APP0, APP1}:
            break
        place = segment.end
    return place


def bare(data: memoryview, segments: Sequence[Segment]) -> list[memoryview]:
    """A file without its start marker, its metadata and what follows its end marker, in pieces."""
    pieces: list[memoryview] = []
    place = 2
    for segment in segments:
        if segment.metadata:
            pieces.append(data[place : segment.start])
            place = segment.end
        if segment.marker == EOI:
            pieces.append(data[place : segment.end])
    return pieces


def coding_of(frame: Frame, segments: Sequence[Segment], data: memoryview) -> Coding:
    """How the components code colours, decided as libjpeg does (jdapimin.c, default_decompress_parms)."""
    if len(frame.components) == 1:
        return "grey"
    adobe = next((segment.payload(data)[11] for segment in segments if is_adobe(segment, data)), None)
    if len(frame.components) == 4:
        return "cmyk" if adobe in {None, 0} else "ycck"
    if any(is_jfif(segment, data) for segment in segments):
        return "ycc"
    if adobe is not None:
        return "rgb" if adobe == 0 else "ycc"
    return "rgb" if [each.id for each in frame.components] == [0x52, 0x47, 0x42] else "ycc"


def segment_bytes(marker: int, body: bytes) -> bytes:
    """A new segment."""
    return bytes([0xFF, marker]) + (len(body) + 2).to_bytes(2, "big") + body


def frame_header(frame: Frame) -> bytes:
    """The frame header's segment."""
    sizes = frame.height.to_bytes(2, "big") + frame.width.to_bytes(2, "big")
    parts = [bytes([each.id, each.across << 4 | each.down, each.table]) for each in frame.components]
    return segment_bytes(frame.marker, bytes([frame.precision]) + sizes + bytes([len(parts)]) + b"".join(parts))
