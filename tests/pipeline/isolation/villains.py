"""Stages that do what no stage should, for the photos whose path says so. Children import this module."""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from infra.errors import WeightsError
from stages.photo import FaultClass, Photo, PhotoFault, Source
from stages.stage import Singly, Stage, each


def segfault() -> None:
    ctypes.string_at(0)


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def leave() -> None:
    sys.exit(3)


def hang() -> None:
    """In C, without ever letting go of the interpreter's lock."""
    ctypes.PyDLL(None).sleep(60)


def wait() -> None:
    time.sleep(60)


def devour() -> None:
    held: list[object] = []
    while True:
        held.append(np.empty(2**26, np.uint8))


def fail() -> None:
    raise PhotoFault(FaultClass.CORRUPT, "no good")


def stumble() -> None:
    raise ZeroDivisionError("a bug")


DEEDS: dict[str, Callable[[], None]] = {
    deed.__name__: deed for deed in (segfault, kill, leave, hang, wait, devour, fail, stumble)
}


class Brighten:
    """Adds one level to each photo's data, unless its path names a deed. ``once`` is a folder: each deed only once."""

    name = "brighten"

    def __init__(self, once: Path | None = None) -> None:
        self.once = once

    def __call__(self, photos: list[Photo]) -> list[Photo]:
        return each(self.name, photos, self.brighten)

    def brighten(self, photo: Photo) -> Photo:
        name = Path(photo.source.path).stem
        deed = DEEDS.get(name)
        if deed and self.due(name):
            deed()
        return photo if photo.data is None else replace(photo, data=photo.data + np.uint8(1))

    def due(self, name: str) -> bool:
        if self.once is None:
            return True
        done = self.once / name
        first = not done.exists()
        done.touch()
        return first


class Same:
    name = "same"

    def __call__(self, photos: list[Photo]) -> list[Photo]:
        return photos


class Slow:
    """Takes 0.3 s a photo. ``marks`` is a folder for a file of each batch that begins, named by time and process."""

    name = "slow"

    def __init__(self, marks: Path | None = None) -> None:
        self.marks = marks

    def __call__(self, photos: list[Photo]) -> list[Photo]:
        if self.marks:
            (self.marks / f"{time.time_ns()}-{os.getpid()}").touch()
        time.sleep(0.3 * len(photos))
        return photos


def one_by_one(once: Path | None = None) -> Sequence[Stage]:
    return [Same(), Singly([Same(), Brighten(once)])]


def together() -> Sequence[Stage]:
    return [Brighten()]


def slow_singly() -> Sequence[Stage]:
    return [Singly([Slow()])]


def slow_together() -> Sequence[Stage]:
    return [Slow()]


def dying_builder() -> Sequence[Stage]:
    os.kill(os.getpid(), signal.SIGKILL)
    return []


def failing_builder() -> Sequence[Stage]:
    raise WeightsError("weights are missing: x.pth", "daguerre weights fetch x.pth")


def greedy_builder() -> Sequence[Stage]:
    np.empty(2**30, np.uint8)
    return []


def broken_builder() -> Sequence[Stage]:
    raise KeyError("stage")


class Modules:
    """Puts the names of loaded modules into each photo's path."""

    name = "modules"

    def __call__(self, photos: list[Photo]) -> list[Photo]:
        return [replace(photo, source=replace(photo.source, path=" ".join(sys.modules))) for photo in photos]


def modules_of_prepare(packed: bytes) -> Sequence[Stage]:
    """The real first chain, then ``Modules``."""
    import pickle

    pickle.loads(packed)()
    return [Modules()]


class Sizes:
    """Puts the size of each photo's file, as the child has it, into its path."""

    name = "sizes"

    def __call__(self, photos: list[Photo]) -> list[Photo]:
        told = [str(None if photo.data is None else photo.data.size) for photo in photos]
        return [replace(one, source=replace(one.source, path=path)) for one, path in zip(photos, told, strict=True)]


def sizes() -> Sequence[Stage]:
    return [Sizes()]


def photo(path: str, size: int = 1000) -> Photo:
    data = np.random.default_rng(len(path)).integers(0, 200, size, dtype=np.uint8)
    return Photo(Source(f"file:///{path}", path), data=data)


def batch(deed: str) -> list[Photo]:
    """Eight photos, the fourth of which is a villain."""
    return [photo(deed if index == 3 else f"{index}.png") for index in range(8)]
