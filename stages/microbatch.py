"""Micro-batches that shrink when memory runs out, and what of an error says that it did."""

import errno
from collections.abc import Callable, Sequence
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

# CUDA, torch on Windows and on Linux (c10/core/impl/alloc_cpu.cpp), OpenCV, cuBLAS and cuDNN
SIGNS = ("out of memory", "not enough memory", "can't allocate memory", "insufficient memory", "status_alloc_failed")
IMPORTING = "failed to map segment from shared object"  # the dynamic linker, with no memory for a library


class MicroBatches:
    """Goes through items ``size`` at a time, fewer once so many did not fit: the ceiling stays down.

    ``release`` gives back what an allocator holds; it is called after each time that memory ran out. ``events`` counts
    those times, ``batches`` the ones that were worked on.
    """

    def __init__(self, size: int, release: Callable[[], None]) -> None:
        self.ceiling = size
        self.release = release
        self.events = self.batches = 0

    def run(
        self,
        items: Sequence[Item],
        work: Callable[[Sequence[Item]], Sequence[Result]],
        give_up: Callable[[Item], Result],
    ) -> list[Result]:
        """What ``work`` makes of all items, in order; ``give_up`` of an item that does not fit alone."""
        done: list[Result] = []
        while len(done) < len(items):
            part = items[len(done) : len(done) + self.ceiling]
            made = self.attempt(part, work)
            if made is not None:
                done += made
            elif len(part) == 1:
                done.append(give_up(part[0]))
            else:
                self.ceiling = len(part) // 2
        return done

    def attempt(
        self, part: Sequence[Item], work: Callable[[Sequence[Item]], Sequence[Result]]
    ) -> Sequence[Result] | None:
        """What ``work`` makes of ``part``; None if memory ran out."""
        try:
            made = work(part)
        except Exception as error:
            if not out_of_memory(error):
                raise
        else:
            self.batches += 1
            return made
        self.events += 1  # out of the handler: the traceback held what must be given back
        self.release()
        return None


def out_of_memory(error: Exception) -> bool:
    """Whether ``error`` says that memory ran out: Python's, torch's on the GPU and the CPU (RuntimeError), OpenCV's."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    if isinstance(error, ImportError):
        return IMPORTING in str(error)
    kind = f"{type(error).__module__}.{type(error).__name__}"
    named = isinstance(error, RuntimeError) or kind == "cv2.error"
    return named and any(sign in str(error).lower() for sign in SIGNS)
