"""Python's cyclic garbage collector, held back where millions of small objects are made that hold no cycles."""

import gc
from collections.abc import Generator
from contextlib import contextmanager

YOUNG, OLDER, OLD = 200_000, 50, 100  # thresholds of the generations; Python's own are 700, 10, 10


@contextmanager
def held_back() -> Generator[None]:
    """Collect seldom, and never look at what was there before: libraries alone are half a million objects.

    Comparing a listing of ten million with the ledger took six times as long without (benchmarks/ledger.py).
    """
    thresholds = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(YOUNG, OLDER, OLD)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
