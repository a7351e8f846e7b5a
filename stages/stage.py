"""What a stage is, and the one place where a photo's fault becomes a value."""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Protocol

from stages.photo import Fault, Photo, PhotoFault

log = logging.getLogger(__name__)


class Stage(Protocol):
    """A step of a photo's way. ``name`` keys its seconds and its faults in the manifest."""

    name: str

    def __call__(self, photos: list[Photo]) -> list[Photo]:
        """The same photos in the same order, each a step further or ended with its status and fault."""
        ...


def each(name: str, photos: Iterable[Photo], work: Callable[[Photo], Photo]) -> list[Photo]:
    """``work`` on every open photo by itself: a ``PhotoFault`` ends that photo alone, anything else is our bug and
    raises.
    """
    return [one(name, photo, work) if photo.open else photo for photo in photos]


def one(name: str, photo: Photo, work: Callable[[Photo], Photo]) -> Photo:
    """``work`` on one photo, timed, its fault caught."""
    started = time.perf_counter()
    try:
        done = work(photo)
    except PhotoFault as fault:
        log.debug("%s %s: %s", name, photo.source.uri, fault)
        done = photo.failed(Fault(name, fault.kind, fault.message, fault.attempts))
    return spent(done, name, time.perf_counter() - started)


def spent(photo: Photo, name: str, seconds: float) -> Photo:
    """``photo`` with ``seconds`` added to what the stage ``name`` took."""
    return replace(photo, seconds=photo.seconds | {name: photo.seconds.get(name, 0.0) + seconds})


def counted(photo: Photo, name: str, count: int) -> Photo:
    """``photo`` with ``count`` more events called ``name``."""
    return replace(photo, events=photo.events | {name: photo.events.get(name, 0) + count}) if count else photo


def run(stages: Sequence[Stage], photos: list[Photo]) -> list[Photo]:
    """All of ``stages``, one after the other."""
    for stage in stages:
        photos = stage(photos)
    return photos


class Singly:
    """Stages that hold a photo's pixels, run to their end for one photo before the next is begun.

    A file is opened by the first of them and let go after the last.
    """

    name = "singly"

    def __init__(self, stages: Sequence[Stage]) -> None:
        self.stages = stages

    def __call__(self, photos: list[Photo]) -> list[Photo]:
        return [self.through(photo) for photo in photos]

    def through(self, photo: Photo) -> Photo:
        """One photo through all stages."""
        done = run(self.stages, [photo])[0]
        return replace(done, picture=None, enlarged=None, edits=())
