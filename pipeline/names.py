"""Sets of names that keep 8 bytes of each."""

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.uint64]


class Names:
    """A set of strings that keeps 8 bytes of each: hashes, in sorted runs that are merged as they grow."""

    def __init__(self) -> None:
        self._runs: list[Keys] = []

    def add(self, keys: Keys) -> None:
        """Take in hashes (``hashed``)."""
        run = np.unique(keys)
        while self._runs and self._runs[-1].size <= run.size:
            run = np.union1d(self._runs.pop(), run)
        if run.size:
            self._runs.append(run)

    def has(self, keys: Keys) -> NDArray[np.bool_]:
        """Which of ``keys`` are in the set."""
        found = np.zeros(keys.size, np.bool_)
        for run in self._runs:
            found |= run[np.minimum(np.searchsorted(run, keys), run.size - 1)] == keys
        return found


def hashed(names: Iterable[str]) -> Keys:
    """The first 8 bytes of each name's blake2b, (n,) uint64."""
    digests = (hashlib.blake2b(name.encode(), digest_size=8).digest() for name in names)
    return np.frombuffer(b"".join(digests), np.uint64)


def first_of_each(keys: Keys) -> NDArray[np.bool_]:
    """Which of ``keys`` (n,) are the first of their value."""
    first = np.zeros(keys.size, np.bool_)
    first[np.unique(keys, return_index=True)[1]] = True
    return first
