"""Strict loading of published checkpoints: every tensor of the file finds its place, every place its tensor.

ValueError
├── CheckpointUnreadable   the file holds no tensors that can be read safely (see ``models.checkpoint_file``)
└── CheckpointMismatch     names or shapes are not those of the network
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeVar, cast

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn

from models.checkpoint_file import READERS, CheckpointUnreadable, first_line, torch_content

Tensors = dict[str, torch.Tensor]
Network = TypeVar("Network", bound=nn.Module)
NO_RENAMES: Mapping[str, str] = {}
MOST_NAMED = 8  # of each kind in an error


class CheckpointMismatch(ValueError):  # noqa: N818 - says what is wrong, as the tree above does
    """The tensors do not fit the network. The message lists what is missing, extra and of another shape."""


def load(network: Network, path: Path, *, container: str = "", renames: Mapping[str, str] = NO_RENAMES) -> Network:
    """``network`` with the tensors of the checkpoint ``path``, ready for inference: in eval mode and without gradients.

    ``container`` and ``renames`` are those of ``read_tensors`` and ``renamed``.
    """
    fill(network, renamed(read_tensors(path, container), renames), str(path))
    return network.eval().requires_grad_(False)


def read_tensors(path: Path, container: str = "") -> Tensors:
    """The tensors of a checkpoint by name, on the CPU: .safetensors, .npz, .pth, .pt, .ckpt, .pkl, .zip with one .pth.

    ``container`` names the dictionary that holds them in a torch file, with dots between levels: "params_ema". No code
    in the file is ever run. Raises ``CheckpointUnreadable``.
    """
    try:
        return _tensors(path, container)
    except CheckpointUnreadable:
        raise
    except Exception as error:
        # Damaged files make each of the libraries raise nearly anything, from EOFError to KeyError.
        raise CheckpointUnreadable(path, first_line(error)) from error


def renamed(tensors: Mapping[str, torch.Tensor], renames: Mapping[str, str]) -> Tensors:
    """The tensors by our names. ``renames`` gives, for the start of a published name, the start of ours.

    The first start that fits a name is replaced: ``{"module.": ""}`` cuts that prefix off where it stands. Two tensors
    that would have the same name are a ``CheckpointMismatch``.
    """
    found: Tensors = {}
    for name, tensor in tensors.items():
        ours = _renamed(name, renames)
        if ours in found:
            raise CheckpointMismatch(f"{ours} comes twice once the names are ours: one of the two is {name}")
        found[ours] = tensor
    return found


def fill(network: nn.Module, tensors: Mapping[str, torch.Tensor], source: str) -> None:
    """Copy ``tensors`` into ``network``; raise ``CheckpointMismatch``, and change nothing, unless all of them fit.

    ``source`` says in the error where the tensors come from.
    """
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    shared = sorted(expected.keys() & found.keys())
    problems = {
        "missing": sorted(expected.keys() - found.keys()),
        "extra": sorted(found.keys() - expected.keys()),
        "of another shape": [f"{n} {found[n]} for {expected[n]}" for n in shared if found[n] != expected[n]],
    }
    said = [f"{kind}: {_listed(names)}" for kind, names in problems.items() if names]
    if said:
        raise CheckpointMismatch(f"{source} does not fit {type(network).__name__}; {'; '.join(said)}")
    network.load_state_dict(tensors, strict=True)


def _tensors(path: Path, container: str) -> Tensors:
    suffix = path.suffix.lower()
    if suffix not in READERS:
        raise CheckpointUnreadable(path, f"endings that are known are {', '.join(READERS)}")
    if suffix == ".safetensors":
        return load_file(path)
    if suffix == ".npz":
        with np.load(path, allow_pickle=False) as arrays:
            return {name: torch.from_numpy(arrays[name]) for name in arrays.files}
    return _level(torch_content(path), container, path)


def _level(content: object, container: str, path: Path) -> Tensors:
    """The tensors in the dictionary ``container`` of nested ones; anything else in it is refused."""
    for key in container.split(".") if container else []:
        if not isinstance(content, Mapping) or key not in content:
            raise CheckpointUnreadable(path, f"it has no {container}, but {_keys(content)}")
        content = cast("Mapping[str, object]", content)[key]
    if not isinstance(content, Mapping):
        raise CheckpointUnreadable(path, "it holds no dictionary of tensors")
    tensors = cast("Mapping[object, object]", content)
    if other := [str(name) for name, value in tensors.items() if not isinstance(value, torch.Tensor)]:
        raise CheckpointUnreadable(path, f"not all of it are tensors: {_listed(other)}")
    return {str(name): cast("torch.Tensor", value) for name, value in tensors.items()}


def _keys(content: object) -> str:
    return (
        _listed([str(key) for key in cast("Mapping[object, object]", content)]) if isinstance(content, Mapping) else ""
    )


def _renamed(name: str, renames: Mapping[str, str]) -> str:
    fitting = (start for start in renames if name.startswith(start))
    start = next(fitting, "")
    return renames.get(start, "") + name.removeprefix(start)


def _listed(names: Iterable[str]) -> str:
    """The first few names, and how many more there are."""
    every = list(names)
    more = f" and {len(every) - MOST_NAMED} more" if len(every) > MOST_NAMED else ""
    return ", ".join(every[:MOST_NAMED]) + more
