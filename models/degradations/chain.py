"""Degradations in a row, and the two halves of growing old: tone and damage."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]
Degradation = Callable[[Image, np.random.Generator], Image]
T = TypeVar("T")


def clipped(image: NDArray[np.floating | np.integer]) -> Image:
    """``image`` as float32 with its values held in [0, 1]."""
    return np.clip(image, 0, 1).astype(np.float32)


def luminance(image: Image) -> Image:
    """(H, W, 1) luma of ``image``, (H, W, 3) in [0, 1], by the weights of Rec. 709."""
    weights = np.array([0.2126, 0.7152, 0.0722], np.float32)
    return (image @ weights)[..., None]


def compose(*steps: Degradation) -> Degradation:
    """All ``steps`` in their order, sharing one generator; none leave the image as it is."""

    def apply(image: Image, rng: np.random.Generator) -> Image:
        for step in steps:
            image = step(image, rng)
        return image

    return apply


def sometimes(probability: float, step: Degradation) -> Degradation:
    """``step`` with ``probability`` in [0, 1], else nothing."""

    def apply(image: Image, rng: np.random.Generator) -> Image:
        return step(image, rng) if rng.random() < probability else image

    return apply


def drawn(draw: Callable[[np.random.Generator], T], make: Callable[[T], Degradation]) -> Degradation:
    """``make`` of a figure drawn anew for each image: ``drawn(lambda rng: rng.uniform(1, 4), blur)``."""

    def apply(image: Image, rng: np.random.Generator) -> Image:
        return make(draw(rng))(image, rng)

    return apply


@dataclass(frozen=True, slots=True)
class Aged:
    """``truth`` is what a perfect restoration of ``photo`` would give: toned, not damaged. Both (H, W, 3) in [0, 1]."""

    truth: Image
    photo: Image


@dataclass(frozen=True, slots=True)
class Ageing:
    """``tone`` changes the whole photo and belongs to it (truth and photo get it); ``damage`` is to be undone."""

    tone: Degradation
    damage: Degradation

    def apply(self, image: Image, rng: np.random.Generator) -> Aged:
        """``image``, (H, W, 3) float32 RGB in [0, 1], grown old."""
        truth = self.tone(image, rng)
        return Aged(truth, self.damage(truth, rng))
