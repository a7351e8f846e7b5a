"""Copies: the same photo twice in the archive, in another size, format or crop.

Each face is hashed on its aligned crop, so that a photo is found in its own crop, too. The hash is imagehash's
``phash`` with 256 bits. Measured on 400 portraits of as many persons and copies of them of half the size in JPEG of
quality 60, with landmarks half a pixel off: copies are 8 bits apart (median; 95 %: 24, all: 36), two persons 42 and
more.
"""

from collections.abc import Iterator, Sequence

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from stages.photo import Pixels

HASHED_SIDE = 128  # pixels of the aligned crop that is hashed
HASH_SIDE = 16  # 16 * 16 bits
WORDS = HASH_SIDE * HASH_SIDE // 64
ROWS = 512  # hashes that are compared with all others at once

Hashes = NDArray[np.uint64]
Numbers = NDArray[np.int64]


def perceptual_hash(crop: Pixels) -> bytes:
    """The 32 bytes of an aligned ``crop`` (128, 128, 3)."""
    bits = imagehash.phash(Image.fromarray(crop), HASH_SIDE).hash
    return np.packbits(bits).tobytes()


def words(hashes: Sequence[bytes]) -> Hashes:
    """Hashes as (n, 4) words."""
    return np.frombuffer(b"".join(hashes), np.uint64).reshape(-1, WORDS)


def near_pairs(hashes: Hashes, near: int) -> tuple[Numbers, Numbers]:
    """Every pair of places (a < b) whose hashes differ in at most ``near`` bits. Takes time with the square of n."""
    found = list(pairs_of_rows(hashes, near))
    nothing = np.empty(0, np.int64)
    return (
        np.concatenate([nothing, *(first for first, _ in found)]),
        np.concatenate([nothing, *(second for _, second in found)]),
    )


def pairs_of_rows(hashes: Hashes, near: int) -> Iterator[tuple[Numbers, Numbers]]:
    for start in range(0, len(hashes), ROWS):
        mine, rest = hashes[start : start + ROWS], hashes[start:]
        apart = np.zeros((len(mine), len(rest)), np.uint16)
        for word in range(WORDS):
            apart += np.bitwise_count(mine[:, word, None] ^ rest[None, :, word])
        first, second = np.nonzero(apart <= near)
        later = second > first
        yield first[later] + start, second[later] + start


def groups(photos: Numbers, first: Numbers, second: Numbers) -> Numbers:
    """The group of each face, (n,): ``photos`` (n,) numbers each face's photo; faces of one photo and of copies of it
    (the pairs ``first``, ``second``) are in one group.
    """
    count = int(photos.max()) + 1 if photos.size else 0
    ones = np.ones(first.size, np.bool_)
    graph = coo_array((ones, (photos[first], photos[second])), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1], np.int64)[photos]


def duplicates(order: Numbers, first: Numbers, second: Numbers) -> Numbers:
    """For each face the one that it is a duplicate of, or -1. Faces are taken in ``order``, the best first: one is left
    out if a copy of it is there already.
    """
    near: dict[int, list[int]] = {}
    for one, other in zip(first.tolist(), second.tolist(), strict=True):
        near.setdefault(one, []).append(other)
        near.setdefault(other, []).append(one)
    found = np.full(order.size, -1, np.int64)
    kept = set[int]()
    for face in order.tolist():
        copies = [other for other in near.get(face, ()) if other in kept]
        if copies:
            found[face] = min(copies)
        else:
            kept.add(face)
    return found
