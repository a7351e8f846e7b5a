"""Posterior means of a short diffusion (DDPM) whose network predicts the clean code: noise decides the start alone.

Ho, Jain, Abbeel, "Denoising Diffusion Probabilistic Models", NeurIPS 2020, equation 7; facts from
``LonglongaaaGo/VSPBFR:ldm/ddpm.py`` (class ``My_DDPM``), which leaves out the noise of algorithm 2, in training too.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

Predict = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""From a state (B, R, C) and integer steps (B,) to the clean code that it came from."""

STEPS = 4
FIRST, LAST = 0.1, 0.99  # betas of the published schedule


@dataclass(frozen=True, slots=True)
class Schedule:
    """For each step t: the next state is ``clean[t]`` x prediction + ``state[t]`` x state.

    ``kept`` and ``noise`` are the weights of a code and of noise in a state after all steps.
    """

    clean: tuple[float, ...]
    state: tuple[float, ...]
    kept: float
    noise: float

    @property
    def steps(self) -> int:
        return len(self.clean)


def schedule(steps: int = STEPS, first: float = FIRST, last: float = LAST) -> Schedule:
    """Betas whose square roots are evenly spaced; computed in float64, rounded to float32."""
    betas = np.linspace(first**0.5, last**0.5, steps) ** 2
    products = np.cumprod(1 - betas)
    before = np.concatenate([[1.0], products[:-1]])
    clean = betas * np.sqrt(before) / (1 - products)
    state = (1 - before) * np.sqrt(1 - betas) / (1 - products)
    return Schedule(_rounded(clean), _rounded(state), *_rounded(np.sqrt([products[-1], 1 - products[-1]])))


def diffused(codes: torch.Tensor, noise: torch.Tensor, plan: Schedule) -> torch.Tensor:
    """What ``codes`` (B, R, C) become after all steps, with standard normal ``noise`` of that shape."""
    return plan.kept * codes + plan.noise * noise


def posterior_states(
    predict: Predict, start: torch.Tensor, plan: Schedule
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """For each step, the last first: what the network predicts, and the state (B, R, C) after it. Nothing is clipped.

    At the first step of all the state's weight is 0: the last state is what was predicted there.
    """
    state = start
    for step in reversed(range(plan.steps)):
        clean = predict(state, torch.full((len(state),), step, device=state.device))
        state = plan.clean[step] * clean + plan.state[step] * state
        yield clean, state


def posterior(predict: Predict, start: torch.Tensor, plan: Schedule) -> torch.Tensor:
    """The last state of ``posterior_states`` from ``start`` (B, R, C)."""
    state = start
    for _, later in posterior_states(predict, start, plan):
        state = later
    return state


def _rounded(values: np.ndarray) -> tuple[float, ...]:
    return tuple(float(np.float32(value)) for value in values)
