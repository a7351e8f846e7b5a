"""Ranger: rectified Adam with centralised gradients, and a slow copy of the weights that looks ahead.

Liu et al., "On the Variance of the Adaptive Learning Rate and Beyond", ICLR 2020; Yong et al., "Gradient
Centralization", ECCV 2020; Zhang et al., "Lookahead Optimizer", NeurIPS 2019. Facts from
``LonglongaaaGo/e4e_trainer:training/ranger.py``, which trains the style encoder.
"""

from collections.abc import Iterable

import torch
from torch import nn


class Ranger:
    """Every ``every`` steps the slow weights go ``share`` of the way to the fast ones, which go on from there."""

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        rate: float = 1e-4,
        betas: tuple[float, float] = (0.95, 0.999),
        every: int = 6,
        share: float = 0.5,
    ) -> None:
        self.parameters = list(parameters)
        self.fast = torch.optim.RAdam(self.parameters, rate, betas, eps=1e-5)
        self.slow = [parameter.detach().clone() for parameter in self.parameters]
        self.every, self.share, self.steps = every, share, 0

    def zero_grad(self) -> None:
        self.fast.zero_grad(set_to_none=True)

    @torch.no_grad()
    def step(self) -> None:
        """One step with the parameters' gradients, which it centralises: those of more than one dimension."""
        for parameter in self.parameters:
            if parameter.grad is not None and parameter.grad.ndim > 1:
                dimensions = tuple(range(1, parameter.grad.ndim))
                parameter.grad.sub_(parameter.grad.mean(dimensions, keepdim=True))
        self.fast.step()
        self.steps += 1
        if self.steps % self.every == 0:
            for slow, parameter in zip(self.slow, self.parameters, strict=True):
                parameter.copy_(slow.lerp_(parameter, self.share))
