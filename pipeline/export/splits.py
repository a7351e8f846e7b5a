"""The split of each face, and the order in which faces are written: both by hashes, the same each time."""

import hashlib
from collections.abc import Sequence

import numpy as np

from pipeline.export.copies import Numbers


def group_keys(groups: Numbers, photos: Sequence[str]) -> list[str]:
    """The key of each face's group: the smallest sha256 of its ``photos``, one a face."""
    smallest: dict[int, str] = {}
    for group, sha256 in zip(groups.tolist(), photos, strict=True):
        smallest[group] = min(smallest.get(group, sha256), sha256)
    return [smallest[group] for group in groups.tolist()]


def share_of(key: str, seed: int) -> float:
    """Where a group falls, from 0 to 1."""
    return int.from_bytes(hashlib.sha256(f"{key}/{seed}".encode()).digest()[:6]) / 2**48


def split_of(key: str, seed: int, splits: Sequence[tuple[str, float]]) -> str:
    """The split that a group falls into."""
    bounds = np.cumsum([share for _, share in splits])
    place = int(np.searchsorted(bounds, share_of(key, seed), side="right"))
    return splits[min(place, len(splits) - 1)][0]


def shuffled(keys: Sequence[str], seed: int) -> list[int]:
    """The places of faces in the order in which they are written: groups as if shuffled, the faces of one together."""
    first = {key: hashlib.sha256(f"{seed}/{key}".encode()).digest() for key in set(keys)}
    return sorted(range(len(keys)), key=lambda place: (first[keys[place]], place))
