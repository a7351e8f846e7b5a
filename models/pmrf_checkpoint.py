"""The files in which PMRF's weights are published, each form loaded strictly.

- ``model.safetensors`` of the hub: flat, averaged already (the form cannot show it), with ``config.json`` beside it.
- Lightning ``.ckpt``: raw weights in ``state_dict``; averaged ones in ``ema.shadow_params``, a list without names in
  the order of the parameters; arguments in ``hyper_parameters``. Buffers and the regressor come from ``state_dict``.
- DifFace's ``.pth``: the regressor alone, below ``params_ema``, ``state_dict`` or nothing.

Facts from ``ohayonguy/PMRF:lightning_models/mmse_rectified_flow.py`` and ``zsyOAOA/DifFace``.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar, cast

import torch
from torch import nn

from models.checkpoint_file import TORCH, CheckpointUnreadable, first_line, torch_content
from models.load import CheckpointMismatch, Tensors, fill, read_tensors, renamed
from models.nets.hdit import HDiT
from models.nets.swinir import SwinIR

Network = TypeVar("Network", bound=nn.Module)
Weights = Literal["averaged", "raw"]
Arguments = Mapping[str, object]

ANY: Arguments = {}
CONTAINERS = ("params_ema", "state_dict")
METRICS = ("fid.", "inception_score.")  # two Inception networks of the validation, which every flow carries along
ALONE = {"model.module.": "", "model.": "", "module.": ""}  # prefixes of a regressor in a file of its own


class FlowNetworks(nn.Module):
    """A flow, and the regressor that gives its source or its condition, under the published prefixes."""

    def __init__(self, flow: HDiT, regressor: SwinIR | None) -> None:
        super().__init__()
        self.model = flow
        self.mmse_model = regressor

    def forward(self, images: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        """The flow's velocity; see ``HDiT``."""
        return self.model(images, times)


@dataclass(frozen=True, slots=True)
class Published:
    """What a file holds: tensors by name, the list of averaged ones if there is one, the constructor's arguments."""

    tensors: Tensors
    averaged: Sequence[torch.Tensor] | None
    arguments: Arguments


def load_flow(
    networks: FlowNetworks, path: Path, *, weights: Weights = "averaged", arguments: Arguments = ANY
) -> FlowNetworks:
    """``networks`` filled from ``path``, in eval mode and without gradients.

    ``weights`` decides in a Lightning file: PMRF's blind results used the averaged flow, its controlled experiments the
    raw one. ``arguments`` are the constructor's that the file must have been made with, as far as it states them.
    """
    found = read(path)
    check_arguments(path, found.arguments, arguments)
    tensors = found.tensors
    if weights == "averaged" and path.suffix.lower() in TORCH:
        tensors |= _named(path, found.averaged, networks.model, "model.")
    return _filled(networks, tensors, path)


def load_regressor(network: SwinIR, path: Path, *, weights: Weights = "averaged") -> SwinIR:
    """``network`` filled from a file that holds it alone: DifFace's, or a Lightning file of the method ``mmse``."""
    found = read(path)
    tensors = renamed(found.tensors, ALONE)
    if weights == "averaged" and found.averaged is not None:
        tensors |= _named(path, found.averaged, network, "")
    return _filled(network, tensors, path)


def read(path: Path) -> Published:
    """The content of ``path``, without the networks of the validation. Raises ``CheckpointUnreadable``."""
    if path.suffix.lower() not in TORCH:
        return Published(_useful(read_tensors(path)), None, _arguments_beside(path))
    content = _content(path)
    container = next((name for name in CONTAINERS if name in content), "")
    tensors = _useful(read_tensors(path, container))
    return Published(tensors, _averaged(content), _dictionary(path, content.get("hyper_parameters", ANY)))


def check_arguments(path: Path, stated: Arguments, expected: Arguments) -> None:
    """Raise ``CheckpointMismatch`` where ``stated`` differs from ``expected``; what is not stated may be anything."""
    pairs = [(name, stated[name], value) for name, value in expected.items() if name in stated]
    other = [f"{name} {found!r} for {value!r}" for name, found, value in pairs if found != value]
    if other:
        raise CheckpointMismatch(f"{path} was made with other arguments: {', '.join(other)}")


def _named(path: Path, averaged: Sequence[torch.Tensor] | None, network: nn.Module, prefix: str) -> Tensors:
    """The averaged list under the names of the network's parameters, whose order it has."""
    if averaged is None:
        raise CheckpointUnreadable(path, "it has no averaged weights (ema.shadow_params), only raw ones")
    parameters = list(network.named_parameters())
    if len(averaged) != len(parameters):
        raise CheckpointMismatch(f"{path} has {len(averaged)} averaged tensors for {len(parameters)} parameters")
    for (name, parameter), value in zip(parameters, averaged, strict=True):
        if value.shape != parameter.shape:
            sizes = f"{tuple(value.shape)} for {tuple(parameter.shape)}"
            raise CheckpointMismatch(f"{path} has averaged tensors in another order: {prefix}{name} would be {sizes}")
    return {prefix + name: value for (name, _), value in zip(parameters, averaged, strict=True)}


def _filled(network: Network, tensors: Tensors, path: Path) -> Network:
    fill(network, tensors, str(path))
    return network.eval().requires_grad_(False)


def _useful(tensors: Tensors) -> Tensors:
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(METRICS)}


def _content(path: Path) -> Mapping[str, object]:
    try:
        content = torch_content(path)
    except Exception as error:
        # As in ``models.load``: damaged files make torch raise nearly anything.
        raise CheckpointUnreadable(path, first_line(error)) from error
    return _dictionary(path, content)


def _averaged(content: Mapping[str, object]) -> Sequence[torch.Tensor] | None:
    ema = content.get("ema")
    found = cast("Mapping[str, object]", ema).get("shadow_params") if isinstance(ema, Mapping) else None
    if not isinstance(found, Sequence):
        return None
    return [value for value in cast("Sequence[object]", found) if isinstance(value, torch.Tensor)]


def _arguments_beside(path: Path) -> Arguments:
    """``config.json`` beside ``model.safetensors``, as on the hub, and ``<name>.json`` beside any other name."""
    beside = path.with_name("config.json") if path.name == "model.safetensors" else path.with_suffix(".json")
    if not beside.is_file():
        return ANY
    try:
        return _dictionary(beside, json.loads(beside.read_text(encoding="utf-8")))
    except ValueError as error:
        raise CheckpointUnreadable(beside, first_line(error)) from error


def _dictionary(path: Path, content: object) -> Mapping[str, object]:
    if not isinstance(content, Mapping):
        raise CheckpointUnreadable(path, "it holds no dictionary")
    return cast("Mapping[str, object]", content)
