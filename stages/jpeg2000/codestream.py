"""JPEG 2000 codestreams (ITU-T T.800, annex A): what the main header says, whether all is there, samples and back."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from stages.codec import decoder_faults
from stages.photo import FaultClass, PhotoFault
from stages.picture import Samples

START = b"\xff\x4f\xff\x51"
CAP, COD, COMMENT, TILE_PART, END = 0xFF50, 0xFF52, 0xFF64, 0xFF90, b"\xff\xd9"


@dataclass(frozen=True, slots=True)
class Stream:
    """The main header: the picture's size, its ``components`` of ``bits`` each, and what the samples went through.

    ``comments`` are the comment segments, marker and all.
    """

    width: int
    height: int
    components: int
    bits: int
    reversible: bool
    comments: tuple[bytes, ...]


def stream_of(content: NDArray[np.uint8]) -> Stream:
    """The header of a codestream that is all there. ``PhotoFault`` for those that are cut or of another kind."""
    segments, tiles_at = main_header(content)
    if not segments or segments[0][0] != 0xFF51 or len(segments[0][1]) < 39:
        raise PhotoFault(FaultClass.CORRUPT, "a JPEG 2000 codestream without its size")
    kinds = dict(reversed(segments))
    if CAP in kinds:
        raise PhotoFault(FaultClass.UNSUPPORTED, "High-Throughput JPEG 2000")
    size = kinds[0xFF51]
    width, height, left, top, across, down, x, y, components = struct.unpack_from(">8IH", size, 2)
    ends = 36 + 3 * components
    depths, steps = set(size[36:ends:3]), set(size[37:ends:3]) | set(size[38:ends:3])
    if len(size) < ends or min(width - left, height - top, across, down, components) < 1:
        raise PhotoFault(FaultClass.CORRUPT, f"a codestream of {width} x {height} with {components} components")
    if len(depths) > 1 or steps != {1} or max(depths) > 15 or components > 4:
        raise PhotoFault(FaultClass.UNSUPPORTED, "JPEG 2000 with components of unusual number, size or depth")
    tiles = -(-(width - x) // across) * -(-(height - y) // down)
    check_tiles(content, tiles_at, tiles)
    reversible = len(kinds.get(COD, b"")) > 9 and kinds[COD][9] == 1
    comments = tuple(struct.pack(">HH", kind, len(body) + 2) + body for kind, body in segments if kind == COMMENT)
    return Stream(width - left, height - top, components, max(depths) + 1, reversible, comments)


def main_header(content: NDArray[np.uint8]) -> tuple[list[tuple[int, bytes]], int]:
    """Marker segments before the first tile-part, as (marker, content), and where that tile-part begins."""
    found: list[tuple[int, bytes]] = []
    at = 2
    while True:
        head = content[at : at + 4].tobytes()
        if len(head) < 4:
            raise PhotoFault(FaultClass.TRUNCATED, "the codestream ends in its header")
        kind, size = struct.unpack(">HH", head)
        if kind == TILE_PART:
            return found, at
        if kind < 0xFF00 or size < 2:
            raise PhotoFault(FaultClass.CORRUPT, f"no marker where one should be: {kind:04X}")
        found.append((kind, content[at + 4 : at + 2 + size].tobytes()))
        at += 2 + size


def check_tiles(content: NDArray[np.uint8], at: int, tiles: int) -> None:
    """Raises ``PhotoFault`` unless every tile has its parts, all of them whole, and the end marker follows."""
    seen: set[int] = set()
    while content[at : at + 2].tobytes() == b"\xff\x90":
        head = content[at : at + 12].tobytes()
        if len(head) < 12:
            break
        tile, size = struct.unpack_from(">HI", head, 4)
        if size and size < 14:
            raise PhotoFault(FaultClass.CORRUPT, f"a tile-part of {size} bytes")
        seen.add(tile)
        at = at + size if size else last_end(content, at)
    if content[at : at + 2].tobytes() != END:
        raise PhotoFault(FaultClass.TRUNCATED, "the codestream is cut: it has no end where it should")
    if len(seen) != tiles:
        raise PhotoFault(FaultClass.CORRUPT, f"{len(seen)} of {tiles} tiles are there")


def last_end(content: NDArray[np.uint8], at: int) -> int:
    """Where the end marker is of a tile-part that does not tell its size: the last bytes but zeros."""
    tail = content[max(at, content.size - 64) :].tobytes().rstrip(b"\0")
    return max(at, content.size - 64) + len(tail) - 2 if tail.endswith(END) else content.size


def decoded(content: NDArray[np.uint8], stream: Stream) -> Samples:
    """The samples (h, w, components), 0 to 2^bits - 1."""
    with decoder_faults():
        found = np.asarray(imagecodecs.jpeg2k_decode(content.tobytes(), planar=False))
    shape = (stream.height, stream.width, stream.components)
    if found.size != np.prod(shape) or found.dtype != (np.uint8 if stream.bits <= 8 else np.uint16):
        raise PhotoFault(FaultClass.CORRUPT, f"the codestream gives {found.dtype} {found.shape}, its header {shape}")
    return found.reshape(shape)


def encoded(samples: Samples, stream: Stream) -> bytes:
    """A codestream of the samples (h, w, components), reversible, with the comments of ``stream`` and no others.

    The reversible colour transform makes colours compact, but extreme ones outgrow the bits that the encoder leaves for
    its wavelets, and it does not tell: the result is decoded, and encoded without the transform if it is not the same.
    """
    for transform in (True, False) if stream.components == 3 else (False,):
        content = commented(encoded_once(samples, stream, transform), stream.comments)
        if np.array_equal(decoded(np.frombuffer(content, np.uint8), stream), samples):
            return content
    raise PhotoFault(FaultClass.UNWRITABLE, "OpenJPEG does not keep the samples")


def encoded_once(samples: Samples, stream: Stream, transform: bool) -> bytes:
    raster = np.ascontiguousarray(samples if stream.components > 1 else samples[..., 0])
    return bytes(
        imagecodecs.jpeg2k_encode(
            raster,
            level=0,
            codecformat="j2k",
            bitspersample=stream.bits,
            reversible=True,
            planar=False,
            mct=transform,
        )
    )


def commented(content: bytes, comments: Sequence[bytes]) -> bytes:
    """A codestream with these comment segments, and none else."""
    segments, tiles_at = main_header(np.frombuffer(content, np.uint8))
    kept = [struct.pack(">HH", kind, len(body) + 2) + body for kind, body in segments if kind != COMMENT]
    return b"".join([content[:2], *kept, *comments, content[tiles_at:]])


def widened(samples: Samples, bits: int) -> Samples:
    """Samples of ``bits`` to the whole range of 8 or 16 bit. ``narrowed`` gives the very same back."""
    if bits in {8, 16}:
        return samples
    most, top = (1 << bits) - 1, 255 if bits < 8 else 65535
    return ((samples.astype(np.uint32) * top + most // 2) // most).astype(samples.dtype)


def narrowed(samples: Samples, bits: int) -> Samples:
    """Samples of the whole range of 8 or 16 bit to ``bits``, rounded."""
    if bits in {8, 16}:
        return samples
    most, top = (1 << bits) - 1, 255 if bits < 8 else 65535
    return ((samples.astype(np.uint32) * most + top // 2) // top).astype(samples.dtype)
