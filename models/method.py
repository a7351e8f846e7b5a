"""What a restoration method is, and the registry: every file in ``models/methods/`` that defines ``METHOD``.

Importing this module does not import torch: most worker processes need none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from pydantic import BaseModel, ConfigDict

from models import methods
from models.checkpoint import Checkpoint, Device, Dtype
from models.registry import discover

if TYPE_CHECKING:
    import torch

TemplateName = Literal["ffhq", "arcface"]


class Restorer(Protocol):
    """A method that is loaded and ready."""

    def restore(self, crops: torch.Tensor, seeds: Sequence[int]) -> torch.Tensor:
        """Restore ``crops`` (B, 3, S, S), float32 RGB in [0, 1], into the same shape, type and range.

        ``seeds`` holds one 63-bit seed a face: every random draw for a face comes from its own seed, so that a face
        comes out the same in any batch. A face that fails (not finite) is found by the caller; do not hide it.
        """
        ...


class Parameters(BaseModel):
    """Base of a method's parameters. ``size`` is the side of the crop in pixels."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    size: int = 512


Build = Callable[[Mapping[str, Path], Parameters, Device, Dtype], Restorer]


@dataclass(frozen=True, slots=True)
class MethodSpec:
    """One method: what it is, what it needs and how to build it.

    ``build(weights, parameters, device, dtype)`` gets the path of each checkpoint by the checkpoint's name.
    ``version`` is raised by hand whenever the pixels that the method computes change.
    """

    name: str
    summary: str
    paper: str
    code: str
    licence: str
    commercial: bool | None
    template: TemplateName
    parameters: type[Parameters]
    checkpoints: tuple[Checkpoint, ...]
    build: Build
    version: int = 1


@cache
def all_methods() -> dict[str, MethodSpec]:
    """Every method by name, found in the folder ``models/methods``."""
    return discover(methods, "METHOD", MethodSpec)
