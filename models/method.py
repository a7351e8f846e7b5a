"""What a restoration method is, and the registry: every file in ``models/methods/`` that defines ``METHOD``.

Importing this module does not import torch: most worker processes need none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict

from models import methods
from models.checkpoint import Checkpoint, Device, Dtype
from models.registry import discover

if TYPE_CHECKING:
    import torch

TemplateName = Literal["ffhq", "arcface"]


@dataclass(frozen=True, slots=True)
class Faces:
    """A batch of faces, as a method gets it.

    ``crops`` (B, 3, S, S) float32 RGB in [0, 1] on the method's device. ``seeds`` holds one 63-bit seed a face: every
    random draw for a face comes from its own seed, so that it comes out the same in any batch. ``landmarks`` (B, 5, 2)
    float32 in pixels of the crop, (0, 0) the centre of its first pixel, not a number where the detector gave none.
    ``measures`` are the quality measures of each face before, ``settings`` the parameters that a rule has set for it,
    ``keep`` the names of the middle results that are wanted. ``samples`` is how many results of each face are compared,
    for a method that draws; the first is the one that is returned.
    """

    crops: torch.Tensor
    seeds: Sequence[int]
    landmarks: torch.Tensor
    measures: Sequence[Mapping[str, float]]
    settings: Sequence[Mapping[str, Any]]
    keep: frozenset[str] = frozenset()
    samples: int = 1

    @classmethod
    def plain(cls, crops: torch.Tensor, seeds: Sequence[int], keep: frozenset[str] = frozenset()) -> Faces:
        """Faces of which nothing is known but crop and seed."""
        count = len(crops)
        landmarks = crops.new_full((count, 5, 2), float("nan"))
        return cls(crops, seeds, landmarks, [{}] * count, [{}] * count, keep)

    def __len__(self) -> int:
        return len(self.crops)

    def split(self, size: int) -> list[Faces]:
        """The faces in order, at most ``size`` together."""
        return [self.part(slice(start, start + size)) for start in range(0, len(self), size)]

    def part(self, which: slice) -> Faces:
        return replace(
            self,
            crops=self.crops[which],
            seeds=self.seeds[which],
            landmarks=self.landmarks[which],
            measures=self.measures[which],
            settings=self.settings[which],
        )


@dataclass(frozen=True, slots=True)
class Restored:
    """What a method made of a batch.

    ``faces`` (B, 3, S, S) float32 RGB in [0, 1], as large as the crops. ``figures`` are what the manifest shall say of
    each face, or nothing. ``kept`` holds those of the middle results asked for that the method has: (B, 3, H, W) in
    [0, 1] by name.
    """

    faces: torch.Tensor
    figures: Sequence[Mapping[str, float]] = ()
    kept: Mapping[str, torch.Tensor] = field(default_factory=dict[str, "torch.Tensor"])


class Restorer(Protocol):
    """A method that is loaded and ready."""

    def restore(self, faces: Faces) -> Restored:
        """Restore a batch. A face that fails (not finite) is found by the caller; do not hide it. ``faces`` is never
        written to.
        """
        ...


@dataclass(frozen=True, slots=True)
class Extra:
    """A package that is not always installed: its module, and the extra of ``pip install 'daguerre[...]'``."""

    module: str
    name: str


class Parameters(BaseModel):
    """Base of a method's parameters. ``size`` is the side of the crop in pixels."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    size: int = 512


Needs = Callable[[Parameters], Sequence[Checkpoint]]
Build = Callable[[Mapping[str, Path], Parameters, Device, Dtype], Restorer]


@dataclass(frozen=True, slots=True)
class MethodSpec:
    """One method: what it is, what it needs and how to build it.

    ``build(weights, parameters, device, dtype)`` gets the path of each checkpoint by the checkpoint's name; of those
    with one ``role``, the one that was chosen. Where the checkpoints depend on the parameters, ``needs`` says which.
    ``keeps`` names the middle results that it can give out, ``per_face`` the parameters that a rule may set for single
    faces. ``samples`` says that it draws, and can tell how far several results of a face lie apart. ``version`` is
    raised by hand whenever the pixels that the method computes change.
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
    keeps: tuple[str, ...] = ()
    per_face: frozenset[str] = frozenset()
    needs: Needs | None = None
    extra: Extra | None = None
    samples: bool = False

    def checkpoints_for(self, parameters: Parameters) -> tuple[Checkpoint, ...]:
        """The files that the method needs with these parameters, alternatives included."""
        return tuple(self.needs(parameters)) if self.needs else self.checkpoints


@cache
def all_methods() -> dict[str, MethodSpec]:
    """Every method by name, found in the folder ``models/methods``."""
    return discover(methods, "METHOD", MethodSpec)
