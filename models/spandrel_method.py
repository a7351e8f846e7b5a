"""Face restorers that the packages spandrel and spandrel_extra_arches know, as methods.

ImportError
└── MissingPackage         an optional package is not installed (see ``models.upscaler``)
ValueError
├── CheckpointUnreadable   the file holds no tensors that can be read safely (see ``models.checkpoint_file``)
└── CheckpointMismatch     its tensors are not those of the architecture (see ``models.load``)

Networks are called themselves: a spandrel descriptor clips to [0, 1], which destroys a face in [-1, 1], and passes no
further argument on.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from models.checkpoint_file import first_line
from models.load import CheckpointMismatch, read_tensors
from models.method import Extra
from models.published import container_of
from models.upscaler import MissingPackage

if TYPE_CHECKING:
    from spandrel import ArchRegistry

CORE = Extra("spandrel", "spandrel")
NON_COMMERCIAL = Extra("spandrel_extra_arches", "codeformer")
SIDE = 512  # pixels of the faces that the published models know


def load_architecture(path: Path, architecture: str, extra: Extra, containers: tuple[str, ...] = ()) -> nn.Module:
    """The network of the checkpoint ``path``, ready for inference, if spandrel finds that it is an ``architecture``.

    ``architecture`` is spandrel's name for it, ``containers`` are where its tensors may lie. Loading is strict.
    """
    support = _registry(architecture, extra)[architecture]
    tensors = read_tensors(path, container_of(path, containers))
    if not support.detect(tensors):
        raise CheckpointMismatch(f"{path} holds no {architecture}: tensors that tell it are missing")
    try:
        descriptor = support.architecture.load(tensors)
    except (RuntimeError, KeyError, IndexError, ValueError) as error:
        raise CheckpointMismatch(f"{path} does not fit {architecture}; {_reason(error)}") from error
    return descriptor.model.eval().requires_grad_(False)


def _registry(architecture: str, extra: Extra) -> ArchRegistry:
    """The architectures of the package that ``extra`` installs."""
    try:
        if extra is CORE:
            from spandrel import MAIN_REGISTRY

            return MAIN_REGISTRY
        registry: ArchRegistry = import_module(NON_COMMERCIAL.module).EXTRA_REGISTRY
    except ModuleNotFoundError as error:
        if error.name not in {"spandrel", "spandrel_extra_arches"}:
            raise
        raise MissingPackage(architecture, error.name, extra.name) from error
    return registry


def _reason(error: Exception) -> str:
    """What torch says of missing and extra tensors on one line, else the error's first line."""
    lines = [line.strip() for line in str(error).splitlines()]
    return " ".join(lines[1:])[:1000] if len(lines) > 1 else first_line(error)
