"""How this process's C library keeps memory that was freed."""

import ctypes

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # of glibc's mallopt
LARGEST = 32 * 2**20  # bytes: the most that glibc takes; larger arrays always go back to the system
KEPT = 128 * 2**20  # bytes of freed memory at the end of the heap


def keep_freed_memory() -> None:
    """Use again what arrays of a batch leave, files above all: by default each of 128 KiB and more is given back to the
    system, whose clean pages cost more than the bytes that are then put into them. Where the C library is not glibc,
    nothing changes.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(MMAP_THRESHOLD, LARGEST)
        mallopt(TRIM_THRESHOLD, KEPT)
