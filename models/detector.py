"""What a face detector is, and the registry: every file in ``models/detectors/`` that defines ``DETECTOR``."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models import detectors
from models.checkpoint import Checkpoint, Device
from models.registry import discover


@dataclass(frozen=True, slots=True)
class Detection:
    """One face in the pixels of the photo that was searched.

    ``box`` is (x, y, width, height). ``landmarks`` is (5, 2) float64, x then y: eye on the image's left, eye on the
    image's right, nose tip, mouth corner on the image's left, mouth corner on the image's right; None where the
    detector has none.
    """

    box: tuple[float, float, float, float]
    landmarks: NDArray[np.float64] | None
    score: float


class Detector(Protocol):
    """A detector that is loaded and ready."""

    def detect(self, photos: Sequence[NDArray[np.uint8]]) -> list[list[Detection]]:
        """Find the faces of each photo, (H, W, 3) uint8 RGB of any size, best score first."""
        ...


@dataclass(frozen=True, slots=True)
class DetectorSettings:
    """What the config may say of any detector.

    ``score`` is the lowest score kept, in [0, 1]; ``pyramid`` the longer sides at which a photo is searched (each only
    if smaller than the photo; if none is, the photo itself). ``device`` is where a torch network runs; other detectors
    run on the CPU, whatever it says. A detector that looks at its finds a second time does so only if ``again``.
    """

    score: float
    pyramid: tuple[int, ...]
    device: Device = "cpu"
    again: bool = True


@dataclass(frozen=True, slots=True)
class DetectorSpec:
    """One detector. ``build(weights, settings)`` gets each checkpoint's path by the checkpoint's name."""

    name: str
    summary: str
    code: str
    licence: str
    commercial: bool | None
    checkpoints: tuple[Checkpoint, ...]
    build: Callable[[Mapping[str, Path], DetectorSettings], Detector]
    version: int = 1


@cache
def all_detectors() -> dict[str, DetectorSpec]:
    """Every detector by name, found in the folder ``models/detectors``."""
    return discover(detectors, "DETECTOR", DetectorSpec)
