"""Names and shapes of the tensors in a checkpoint file, and which published checkpoint a file is.

CheckpointUnreadable(ValueError)   not a checkpoint, damaged, or a pickle that would run code
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import cast
from zipfile import is_zipfile

import numpy as np
import torch
from safetensors import safe_open

from models.checkpoint import Checkpoint, Shapes


class CheckpointUnreadable(ValueError):  # noqa: N818 - says what is wrong, as the tree above does
    """The file holds no tensors that can be read safely. The message says which file and why."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} cannot be read as a checkpoint: {reason}")


def tensor_shapes(path: Path) -> Shapes:
    """Names and shapes of the tensors in ``path``: .safetensors, .pth, .pt, .ckpt or .npz.

    Containers are flattened: ``{"params_ema": {"conv.weight": ...}}`` gives ``params_ema.conv.weight``. No code in the
    file is ever run.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise CheckpointUnreadable(path, f"endings that are known are {', '.join(READERS)}")
    try:
        shapes = reader(path)
    except Exception as error:
        # Damaged files make each of the three libraries raise nearly anything, from EOFError to KeyError.
        raise CheckpointUnreadable(path, _first_line(error)) from error
    if not shapes:
        raise CheckpointUnreadable(path, "it holds no tensors")
    return shapes


def recognise(path: Path, checkpoints: Iterable[Checkpoint]) -> Checkpoint | None:
    """The checkpoint that the file ``path`` is: by SHA-256 where that is known, else by its tensors, else None.

    A checkpoint with a known SHA-256 is never taken for a file with another one. Raises ``CheckpointUnreadable`` for a
    file with a checkpoint's ending that cannot be read.
    """
    known = list(checkpoints)
    digest = _sha256(path)
    same = [checkpoint for checkpoint in known if checkpoint.sha256 == digest]
    candidates = [checkpoint for checkpoint in known if checkpoint.sha256 is None and checkpoint.tensors]
    if same or not candidates or path.suffix.lower() not in READERS:
        return same[0] if same else None
    shapes = tensor_shapes(path)
    matching = [checkpoint for checkpoint in candidates if checkpoint.tensors.items() <= shapes.items()]
    return matching[0] if matching else None


def _safetensors(path: Path) -> Shapes:
    with safe_open(path, framework="np") as file:
        return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 - not a dict


def _numpy(path: Path) -> Shapes:
    with np.load(path, allow_pickle=False) as arrays:
        return {name: tuple(arrays[name].shape) for name in arrays.files}


def _torch(path: Path) -> Shapes:
    """Files older than torch 1.6 are no zip archives and cannot be mapped into memory."""
    content: object = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zipfile(path))
    return dict(_flat(content, ""))


def _flat(content: object, prefix: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of the tensors in nested containers; what is no tensor is passed over."""
    if isinstance(content, torch.Tensor):
        yield prefix, tuple(content.shape)
    elif isinstance(content, Mapping):
        for name, value in cast("Mapping[object, object]", content).items():
            yield from _flat(value, f"{prefix}.{name}" if prefix else str(name))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


READERS: dict[str, Callable[[Path], Shapes]] = {
    ".safetensors": _safetensors,
    ".pth": _torch,
    ".pt": _torch,
    ".ckpt": _torch,
    ".npz": _numpy,
}
