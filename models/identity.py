"""What tells whether two faces are of one person, and the registry: every file in ``models/identities/`` that defines
``IDENTITY``.

Importing this module does not import torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from models import identities
from models.checkpoint import Checkpoint, Device
from models.method import TemplateName
from models.registry import discover

if TYPE_CHECKING:
    import torch


class Identity(Protocol):
    """A network that is loaded and ready."""

    def embed(self, faces: torch.Tensor) -> torch.Tensor:
        """Embeddings (B, D), float32 on the CPU, each of length 1, of ``faces`` (B, 3, S, S), RGB in [0, 1], aligned as
        the network's template says. A face has the same embedding in any batch.
        """
        ...


@dataclass(frozen=True, slots=True)
class IdentitySpec:
    """One network. ``build(weights, device)`` gets each checkpoint's path by the checkpoint's name."""

    name: str
    summary: str
    code: str
    licence: str
    commercial: bool | None
    template: TemplateName
    checkpoints: tuple[Checkpoint, ...]
    build: Callable[[Mapping[str, Path], Device], Identity]
    version: int = 1


@cache
def all_identities() -> dict[str, IdentitySpec]:
    """Every network by name, found in the folder ``models/identities``."""
    return discover(identities, "IDENTITY", IdentitySpec)


def similarity(identity: Identity, faces: torch.Tensor, others: torch.Tensor) -> list[float]:
    """The cosine between each of ``faces`` and its place in ``others``, both (B, 3, S, S) RGB in [0, 1]: 1 for the same
    picture, about 0 for different persons.
    """
    one, other = identity.embed(faces), identity.embed(others)
    return (one * other).sum(1).clamp(-1, 1).tolist()
