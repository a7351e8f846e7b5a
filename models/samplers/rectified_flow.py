"""Euler's method along a rectified flow: from a source x_0 at t = 0 to a result at t = 1.

Liu, Gong, Liu, "Flow Straight and Fast", ICLR 2023; Ohayon, Michaeli, Elad, "Posterior-Mean Rectified Flow", ICLR 2025,
algorithm 1 (inference). Facts from ``ohayonguy/PMRF:lightning_models/mmse_rectified_flow.py``.
"""

from collections.abc import Callable, Iterator

import torch

Velocity = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""From a state (B, C, H, W) and times (B,) in [0, 1) to the velocity, of the state's shape."""


def noisy(start: torch.Tensor, noise: torch.Tensor, sigma: float) -> torch.Tensor:
    """The source of a flow: ``start`` (B, C, H, W) plus ``sigma`` times ``noise``, which is standard normal. Not
    clipped.
    """
    return start + sigma * noise


def euler_states(velocity: Velocity, source: torch.Tensor, steps: int, *, first: float = 0.0) -> Iterator[torch.Tensor]:
    """The ``steps`` states after ``source`` (B, C, H, W), not clipped; the last is the result.

    x <- x + dt * v(x, t) at t = first + i * dt for i = 0 to steps - 1, with dt = (1 - first) / steps: t = 1 is never
    evaluated.
    """
    state, dt = source, (1 - first) / steps
    for index in range(steps):
        times = torch.full((len(state),), first + (1 - first) * index / steps, device=state.device)
        state = state + dt * velocity(state, times)
        yield state


def euler(velocity: Velocity, source: torch.Tensor, steps: int, *, first: float = 0.0) -> torch.Tensor:
    """The last of ``euler_states``, (B, C, H, W), not clipped; ``source`` itself for no steps."""
    state = source
    for later in euler_states(velocity, source, steps, first=first):
        state = later
    return state
