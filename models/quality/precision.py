"""Precision: the share of restored pictures that lie among the reference pictures, in VGG16's features.

Kynkäänniemi, Karras, Laine, Lehtinen, Aila, "Improved Precision and Recall Metric for Assessing Generative Models",
NeurIPS 2019. Which side is real is a trap: betas of torch-fidelity 0.4 count the first as real, its release the second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.feature_networks import VGG16
from models.quality.lpips import VGG
from models.quality_metric import FIDELITY, Features, SetMetric

if TYPE_CHECKING:
    import torch

NEIGHBOURS = 3
ROWS = 1000  # pictures whose distances are held at once


def precision(restored: Features, reference: Features) -> float:
    """Of features (N, D) and (M, D), M at least 4: the share within reach of any reference picture, that is no further
    from it than its third neighbour in the reference.
    """
    import torch

    found, real = torch.from_numpy(restored), torch.from_numpy(reference)
    reach = torch.cat([third_neighbour(rows, real) for rows in real.split(ROWS)])
    inside = [(torch.cdist(rows, real) <= reach).any(1) for rows in found.split(ROWS)]
    return float(torch.cat(inside).float().mean())


def third_neighbour(rows: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    """The distance of each of ``rows`` to its third neighbour in ``real``, of which it is one itself."""
    import torch

    return torch.cdist(rows, real).kthvalue(NEIGHBOURS + 1, dim=1).values


METRIC = SetMetric(
    name="precision",
    summary="share of the pictures that lie among the reference's",
    better="higher",
    source="Kynkäänniemi et al., NeurIPS 2019",
    against="reference",
    checkpoints=(VGG,),
    extra=FIDELITY,
    smallest=(1, NEIGHBOURS + 1),
    features=VGG16,
    compare=precision,
)
