"""PMRF and the four baselines of its controlled experiments, as configurations of one thing: where a flow starts, and
what else it sees.

Ohayon, Michaeli, Elad, "Posterior-Mean Rectified Flow", ICLR 2025, section 5.2; facts from
``ohayonguy/PMRF:lightning_models/mmse_rectified_flow.py``.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from models.checkpoint import Device
from models.nets.hdit import XL2, HDiT, HDiTShape
from models.nets.swinir import M, SwinIR, SwinIRShape
from models.pmrf_checkpoint import Arguments, FlowNetworks, Weights, load_flow, load_regressor
from models.samplers.rectified_flow import euler, noisy

Start = Literal["mean", "input", "noise"]
Sight = Literal["nothing", "input", "mean"]


@dataclass(frozen=True, slots=True)
class Scheme:
    """One of the five. ``published`` is its folder among the published checkpoints.

    Its flow starts at the posterior mean or the degraded image with some noise, or at noise alone, and may see the
    degraded image or the mean beside its state. Without a flow the posterior mean is the result.
    """

    name: str
    published: str
    start: Start = "mean"
    sees: Sight = "nothing"
    flow: bool = True

    @property
    def regressor(self) -> bool:
        """Whether it takes the posterior mean."""
        return "mean" in (self.start, self.sees)

    def channels(self, given: int) -> int:
        """What the flow takes in, for degraded images of ``given`` channels: its state comes first."""
        return 3 + {"nothing": 0, "input": given, "mean": 3}[self.sees]

    def arguments(self) -> Arguments:
        """What a published checkpoint of it was made with, as far as it says so."""
        stage = "mmse" if not self.flow else "naive_flow" if self.start == "input" else "flow"
        return {"stage": stage, "conditional": self.sees != "nothing"}


SCHEMES = {
    one.name: one
    for one in (
        Scheme("pmrf", "pmrf"),
        Scheme("conditioned-on-input", "posterior_conditioned_on_y", start="noise", sees="input"),
        Scheme("conditioned-on-mean", "posterior_conditioned_on_mmse", start="noise", sees="mean"),
        Scheme("flow-from-input", "naive_flow", start="input"),
        Scheme("mean", "mmse", flow=False),
    )
}


@dataclass(frozen=True, slots=True)
class Shapes:
    """The networks of a scheme; those of the paper by default."""

    flow: HDiTShape = XL2
    regressor: SwinIRShape = M


class MeanNetwork(nn.Module):
    """A regressor by itself, under the prefix that a published ``mmse`` checkpoint has."""

    def __init__(self, regressor: SwinIR) -> None:
        super().__init__()
        self.model = regressor

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.model(images)


PAPER = Shapes()


@dataclass(frozen=True, slots=True)
class Results:
    """What a scheme made of a batch, each (B, 3, H, W): ``source`` and ``mean`` where it has them.

    ``restored`` and ``mean`` lie in [0, 1]; the source has noise on it and is not clipped.
    """

    restored: torch.Tensor
    source: torch.Tensor | None
    mean: torch.Tensor | None


class Restoration:
    """A scheme with its networks. ``sigma_s`` is the noise on a source that is not noise alone."""

    def __init__(self, scheme: Scheme, flow: HDiT | None, regressor: SwinIR | None, sigma_s: float) -> None:
        self.scheme = scheme
        self._flow = flow
        self._regressor = regressor
        self._sigma_s = sigma_s

    def restore(self, images: torch.Tensor, noise: torch.Tensor, steps: int) -> Results:
        """Degraded ``images`` (B, 3 or 1, H, W) in [0, 1] in ``steps`` of Euler's method, with standard normal
        ``noise`` (B, 3, H, W).
        """
        with torch.inference_mode():
            mean = self.mean(images)
            if self._flow is None:
                return Results(images if mean is None else mean, None, mean)
            flow, seen = self._flow, self.seen(images, mean)
            source = self.source(images, mean, noise)

            def velocity(state: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
                return flow(torch.cat([state, *seen], 1), times).float()

            return Results(euler(velocity, source, steps).clamp(0, 1), source, mean)

    def to(self, device: Device) -> "Restoration":
        """Its networks on ``device``."""
        for network in (self._flow, self._regressor):
            if network is not None:
                network.to(device)
        return self

    def mean(self, images: torch.Tensor) -> torch.Tensor | None:
        """The posterior mean, clipped, where the scheme takes it. It is computed once, not at every step."""
        return None if self._regressor is None else self._regressor(images).clamp(0, 1)

    def source(self, images: torch.Tensor, mean: torch.Tensor | None, noise: torch.Tensor) -> torch.Tensor:
        """Where the flow starts."""
        if self.scheme.start == "noise":
            return noise
        start = images if mean is None else mean
        return noisy(start.expand_as(noise), noise, self._sigma_s)

    def seen(self, images: torch.Tensor, mean: torch.Tensor | None) -> list[torch.Tensor]:
        """What the flow sees beside its state."""
        if self.scheme.sees == "nothing":
            return []
        return [images if mean is None else mean]


def networks(scheme: Scheme, given: int, shapes: Shapes = PAPER) -> nn.Module:
    """The networks of ``scheme`` for degraded images of ``given`` channels, with their published names."""
    if not scheme.flow:
        return MeanNetwork(SwinIR(shapes.regressor))
    regressor = SwinIR(shapes.regressor) if scheme.regressor else None
    return FlowNetworks(HDiT(shapes.flow, scheme.channels(given)), regressor)


def restoration(scheme: Scheme, made: nn.Module, sigma_s: float) -> Restoration:
    """``scheme`` with the networks that ``networks`` gave."""
    if isinstance(made, FlowNetworks):
        return Restoration(scheme, made.model, made.mmse_model, sigma_s)
    if isinstance(made, MeanNetwork):
        return Restoration(scheme, None, made.model, sigma_s)
    raise TypeError(type(made))


def load(
    scheme: Scheme, path: Path, given: int, sigma_s: float, weights: Weights = "raw", shapes: Shapes = PAPER
) -> Restoration:
    """``scheme`` from a published checkpoint or one of our training. Raises ``CheckpointMismatch``.

    The published figures were made with the raw weights, so they are the default here.
    """
    made = networks(scheme, given, shapes)
    if isinstance(made, FlowNetworks):
        load_flow(made, path, weights=weights, arguments=scheme.arguments())
    elif isinstance(made, MeanNetwork):
        load_regressor(made.model, path, weights=weights)
    return restoration(scheme, made, sigma_s)
