"""Reads a JPEG's coefficients with jpeglib's library, in a process of its own: the library ends its process on errors.

    python -I -S reader.py LIBRARY SOURCE TARGET BLOCKS...

SOURCE and TARGET are open file descriptors; TARGET, a file of the right size already, gets int16 (blocks, 64) of each
component after the other. Uses the standard library alone and so starts in 20 ms.
"""

import ctypes
import mmap
import sys

BYTES = 128  # of a block
MOST = 4  # components


def main() -> int:
    library, source, target, *blocks = sys.argv[1:]
    places = [sum(map(int, blocks[:index])) * BYTES for index in range(len(blocks))]
    shared = mmap.mmap(int(target), 0)
    start = ctypes.addressof(ctypes.c_char.from_buffer(shared))
    pointers = [ctypes.c_void_p(start + place) for place in places] + [None] * (MOST - len(places))
    read = ctypes.CDLL(library).read_jpeg_dct  # source, four components, tables, their assignment; 1 if all went well
    return 0 if read(f"/dev/fd/{source}".encode(), *pointers, None, None) == 1 else 1


if __name__ == "__main__":
    sys.exit(main())
