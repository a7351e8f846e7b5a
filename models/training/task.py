"""What can be trained, and the registry: every file in ``models/training/tasks/`` that defines ``TRAINING``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

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


class Task(Protocol):
    """A network on its way, with everything that belongs to it."""

    @property
    def network(self) -> nn.Module:
        """What is trained, on the CPU; the trainer moves it."""
        ...

    def example(self, face: Face, rng: np.random.Generator) -> Example:
        """One example made of an aligned ``face`` (S, S, 3) uint8 RGB: named arrays of the same shapes each time."""
        ...

    def loss(self, network: nn.Module, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The loss, a scalar, of a batch of examples; ``network`` is ``self.network`` or a wrapper of it."""
        ...

    def validate(self, network: nn.Module, faces: Sequence[Face]) -> Validation:
        """How good ``network`` is on faces that it was not trained on."""
        ...


@dataclass(frozen=True, slots=True)
class Validation:
    """Figures by name, and a picture (H, W, 3) uint8 RGB to look at."""

    figures: Mapping[str, float]
    picture: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class TrainingSpec:
    """One training. ``build`` makes the task of a recipe; ``export`` stores a network's tensors for its method."""

    name: str
    summary: str
    recipe: type[TrainRecipe]
    build: Callable[[TrainRecipe], Task]
    export: Callable[[Mapping[str, torch.Tensor], Path], None]


@cache
def all_trainings() -> dict[str, TrainingSpec]:
    """Every training by the name of its method."""
    return discover(tasks, "TRAINING", TrainingSpec)
