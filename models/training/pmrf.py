"""PMRF's objectives: the regressor's squared error, and the flow's velocity along straight lines.

Ohayon, Michaeli, Elad, "Posterior-Mean Rectified Flow", ICLR 2025, algorithm 1 (training). Facts from
``ohayonguy/PMRF:lightning_models/mmse_rectified_flow.py``.
"""

from dataclasses import dataclass

import torch
from torch import distributed
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class Line:
    """Points on the straight lines from sources to clean images, all (B, 3, H, W), and the velocity along them."""

    points: torch.Tensor
    velocity: torch.Tensor

    @classmethod
    def between(cls, source: torch.Tensor, clean: torch.Tensor, times: torch.Tensor) -> "Line":
        """At ``times`` (B,) in [0, 1]: 0 is the source, noise and all, 1 the clean image."""
        at = times.view(-1, 1, 1, 1)
        return cls(at * clean + (1 - at) * source, clean - source)


def stratified(draws: torch.Tensor, rank: int = 0, world: int = 1) -> torch.Tensor:
    """Times (B,) in [0, 1) of which each lies in its own part of the range, over all ``world`` processes together.

    ``draws`` (B,) are uniform in [0, 1), this process's. Sample i of process r takes part r + i * world.
    """
    parts = torch.arange(len(draws), device=draws.device, dtype=draws.dtype) * world + rank
    return (parts + draws) / (len(draws) * world)


def flow_loss(velocity: torch.Tensor, line: Line) -> torch.Tensor:
    """The mean squared error, a scalar, of the network's ``velocity`` (B, 3, H, W) at the points of ``line``."""
    return functional.mse_loss(velocity, line.velocity)


def mean_loss(estimate: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
    """The mean squared error of the regressor's ``estimate`` (B, 3, H, W), which is clipped to [0, 1] before."""
    return functional.mse_loss(estimate.clamp(0, 1), clean)


def standing() -> tuple[int, int]:
    """The rank of this process and how many there are, as torch knows them."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1
