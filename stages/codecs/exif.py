"""The orientation in an EXIF block: a TIFF header and its first directory (CIPA DC-008, 4.5)."""

import struct

ORIENTATION = 0x0112
SHORT, LONG = 3, 4


def orientation_of(exif: bytes) -> int:
    """The orientation that a block asks for, 1 to 8; 1 where there is none, or nonsense, or a damaged block."""
    found = place_of_orientation(exif)
    value = struct.unpack_from(found[1], exif, found[0])[0] if found else 1
    return value if value in range(1, 9) else 1


def made_upright(exif: bytes) -> bytes:
    """The block with orientation 1 in place of another; all else as it was."""
    found = place_of_orientation(exif)
    if not found:
        return exif
    place, layout = found
    value = struct.pack(layout, 1)
    return exif[:place] + value + exif[place + len(value) :]


def place_of_orientation(exif: bytes) -> tuple[int, str] | None:
    """Where the value of the orientation stands and its struct layout; None where there is none that can be read."""
    start = 6 if exif.startswith(b"Exif\0\0") else 0
    order = {b"II": "<", b"MM": ">"}.get(exif[start : start + 2])
    if order is None:
        return None
    try:
        entry = start + struct.unpack_from(order + "I", exif, start + 4)[0]
        (count,) = struct.unpack_from(order + "H", exif, entry)
        for place in range(entry + 2, entry + 2 + 12 * count, 12):
            tag, kind, values = struct.unpack_from(order + "HHI", exif, place)
            if tag == ORIENTATION and kind in {SHORT, LONG} and values == 1 and place + 12 <= len(exif):
                return place + 8, order + ("H" if kind == SHORT else "I")
    except struct.error:
        return None
    return None
