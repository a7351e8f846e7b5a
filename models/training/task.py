"""What can be trained, and the registry: every file in ``models/training/tasks/`` that defines ``TRAINING``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from models.registry import discover
from models.training import tasks
from models.training.recipe import TrainRecipe

if TYPE_CHECKING:
    import torch
    from torch import nn

Face = NDArray[np.uint8]
Example = dict[str, NDArray[np.float32]]
Source_contra = TypeVar("Source_contra", contravariant=True)


class Task(Protocol[Source_contra]):
    """A network on its way, with everything that belongs to it.

    It is trained on faces, or on another source of examples (``TrainingSpec.takes``).
    """

    @property
    def network(self) -> nn.Module:
        """What is trained, on the CPU; the trainer moves it."""
        ...

    def example(self, face: Source_contra, rng: np.random.Generator) -> Example:
        """One example made of ``face``, if aligned (S, S, 3) uint8 RGB: named arrays of the same shapes each time."""
        ...

    def loss(self, network: nn.Module, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The loss, a scalar, of a batch of examples; ``network`` is ``self.network`` or a wrapper of it."""
        ...

    def validate(self, network: nn.Module, faces: Sequence[Source_contra]) -> Validation:
        """How good ``network`` is on faces that it was not trained on."""
        ...


@dataclass(frozen=True, slots=True)
class Validation:
    """Figures by name, and a picture (H, W, 3) uint8 RGB to look at."""

    figures: Mapping[str, float]
    picture: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class TrainingSpec:
    """One training. ``build`` makes the task of a recipe; ``export`` stores a network's tensors for its method.

    ``takes`` says what its examples are made of: "faces", aligned (S, S, 3) uint8 RGB, "squares", these and others
    (``models.training.squares``), or "photos", the albums of ``models.training.album``.
    """

    name: str
    summary: str
    recipe: type[TrainRecipe]
    build: Callable[[TrainRecipe], Task[Any]]
    export: Callable[[Mapping[str, torch.Tensor], Path], None]
    takes: Literal["faces", "squares", "photos"] = "faces"


@cache
def all_trainings() -> dict[str, TrainingSpec]:
    """Every training by the name of its method."""
    return discover(tasks, "TRAINING", TrainingSpec)
