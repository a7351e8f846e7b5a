"""What a child says to its supervisor. The supervisor sends it photos, and first of all how to build its stages."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from infra.errors import OperatorError
from stages.photo import Photo, Pixels
from stages.stage import Stage

Build = Callable[[], Sequence[Stage]]


@dataclass(frozen=True, slots=True)
class Limits:
    """``photo_seconds`` for each photo in each chain of stages; ``memory_mb`` MiB that a child may take, or None."""

    photo_seconds: float
    memory_mb: int | None = None


@dataclass(frozen=True, slots=True)
class Ready:
    """The stages are built."""


@dataclass(frozen=True, slots=True)
class At:
    """A stage begins. ``photos`` is how many photos have their time from now on; 0: the clock goes on."""

    stage: str
    photos: int = 0


@dataclass(frozen=True, slots=True)
class Done:
    """A batch, worked on."""

    photos: list[Photo]


@dataclass(frozen=True, slots=True)
class Exhausted:
    """Memory ran out. The child ends after it."""


@dataclass(frozen=True, slots=True)
class Broke:
    """An exception that is no photo's fault: one line, its traceback, and itself if the operator can put it right."""

    line: str
    trace: str
    error: OperatorError | None = field(default=None)


def arrays(photos: Sequence[Photo]) -> list[Pixels]:
    """Every array that a batch holds, in an order that both ends agree on."""
    found = [photo.data for photo in photos]
    found += [array for photo in photos for face in photo.faces for array in (face.crop, face.restored, face.mask)]
    return [array for array in found if array is not None]
