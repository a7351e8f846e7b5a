"""LZW streams of TIFF, looked through before a decoder in C gets them (TIFF 6.0, section 13).

imagecodecs 2026.3.6 reads entries of its table that no code has made yet, and then memory that is not its own: a
damaged stream ends the process. Found by fuzzing.
"""

import numpy as np
from numpy.typing import NDArray

CLEAR, END, FIRST = 256, 257, 258
MOST_CODES = 4096
WIDTHS = np.repeat(np.array([9, 10, 11, 12]), [254, 512, 1024, MOST_CODES - 1790])  # of the codes after a clear code
STARTS = np.concatenate([[0], np.cumsum(WIDTHS)])  # in bits
HIGHEST = np.maximum(255, FIRST - 1 + np.arange(MOST_CODES))  # what the table holds, and the entry that is just made
LATER = np.full(MOST_CODES, 12)


def possible(stream: bytes) -> bytes:
    """``stream`` up to its first code that names no entry of the table; all of it, if there is none.

    Streams as before TIFF 6.0, which have their codes from the lowest bit on, are let through as they are.
    """
    if stream[:1] == b"\0" and stream[1:2] and stream[1] & 1:
        return stream
    content = np.frombuffer(stream + bytes(3), np.uint8).astype(np.uint32)
    bits, at, fresh = 8 * len(stream), 0, True
    while at + 9 <= bits:
        starts = at + (STARTS[:-1] if fresh else 12 * np.arange(MOST_CODES))
        widths = WIDTHS if fresh else LATER
        count = int(np.searchsorted(starts + widths, bits, side="right"))
        codes = codes_at(content, starts[:count], widths[:count])
        special = np.flatnonzero((codes == CLEAR) | (codes == END))
        until = int(special[0]) if special.size else count
        if fresh and (bad := np.flatnonzero(codes[:until] > HIGHEST[:until])).size:
            return stream[: (int(starts[bad[0]]) + 7) // 8]
        if until == count < MOST_CODES or (until < count and codes[until] == END):
            return stream
        last = until if until < count else count - 1
        at, fresh = int(starts[last] + widths[last]), until < count
    return stream


def codes_at(content: NDArray[np.uint32], starts: NDArray[np.int64], widths: NDArray[np.int64]) -> NDArray[np.uint32]:
    """The codes (n,) of ``widths`` bits at ``starts``, the highest bit first; three bytes follow the last."""
    byte, bit = starts >> 3, starts & 7
    window = content[byte] << 16 | content[byte + 1] << 8 | content[byte + 2]
    codes = window >> (24 - bit - widths).astype(np.uint32) & ((1 << widths) - 1).astype(np.uint32)
    return np.asarray(codes, np.uint32)
