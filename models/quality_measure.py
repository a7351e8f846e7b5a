"""What a quality measure is, and the registry: every file in ``models/quality/`` that defines ``MEASURE``."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from models import quality
from models.registry import discover


@dataclass(frozen=True, slots=True)
class QualityMeasure:
    """One figure for one picture. ``measure`` takes (H, W, 3) uint8 RGB and returns a finite float.

    ``better`` tells which way is better: "higher" or "lower". ``version`` is raised by hand whenever the figure
    changes.
    """

    name: str
    summary: str
    better: str
    measure: Callable[[NDArray[np.uint8]], float]
    version: int = 1


@cache
def all_measures() -> dict[str, QualityMeasure]:
    """Every measure by name, found in the folder ``models/quality``."""
    return discover(quality, "MEASURE", QualityMeasure)


def measure(picture: NDArray[np.uint8]) -> dict[str, float]:
    """Every measure of ``picture``, (H, W, 3) uint8 RGB, by name."""
    return {name: spec.measure(picture) for name, spec in all_measures().items()}
