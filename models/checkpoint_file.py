"""Names and shapes of the tensors in a checkpoint file, and which published checkpoint a file is.

CheckpointUnreadable(ValueError)   not a checkpoint, damaged, or a pickle that would run code
"""

import hashlib
import io
import re
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import cast
from zipfile import ZipFile, is_zipfile

import numpy as np
import torch
from safetensors import safe_open
from scipy.io import whosmat

from models.checkpoint import Checkpoint, Shapes

MOST_EXPANDED, MEGABYTE = 20, 1_000_000  # weights in fp32 compress to a half at best
TORCH = (".pth", ".pt", ".ckpt", ".pkl")
NUMERIC = ("double", "single", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)))  # in MATLAB
HASH_IN_NAME = re.compile(r"-(?=[0-9]*[a-f])([0-9a-f]{8,64})\.[a-z]+$")  # eight decimal digits are a date


class CheckpointUnreadable(ValueError):  # noqa: N818 - says what is wrong, as the tree above does
    """The file holds no tensors that can be read safely. The message says which file and why."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} cannot be read as a checkpoint: {reason}")


def tensor_shapes(path: Path) -> Shapes:
    """Names and shapes of the tensors in ``path``: one of ``READERS``, where a .zip holds one .pth.

    Containers are flattened: ``{"params_ema": {"conv.weight": ...}}`` gives ``params_ema.conv.weight``. No code in the
    file is ever run.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise CheckpointUnreadable(path, f"endings that are known are {', '.join(READERS)}")
    try:
        shapes = reader(path)
    except CheckpointUnreadable:
        raise
    except Exception as error:
        # Damaged files make each of the three libraries raise nearly anything, from EOFError to KeyError.
        raise CheckpointUnreadable(path, first_line(error)) from error
    if not shapes:
        raise CheckpointUnreadable(path, "it holds no tensors")
    return shapes


def recognise(path: Path, checkpoints: Iterable[Checkpoint]) -> Checkpoint | None:
    """The checkpoint that the file ``path`` is: by SHA-256 where that is known, else by its tensors, else None.

    Of several with the same tensors it is the one that has the file's name, else the first. A checkpoint with a known
    SHA-256, or one whose start stands in its name, is never taken for a file with another one, nor a .zip for what it
    holds. Raises ``CheckpointUnreadable`` for a file with a checkpoint's ending that cannot be read.
    """
    known = list(checkpoints)
    digest = sha256_of(path)
    same = [checkpoint for checkpoint in known if checkpoint.sha256 == digest]
    unhashed = [checkpoint for checkpoint in known if checkpoint.sha256 is None and checkpoint.tensors]
    candidates = [
        checkpoint
        for checkpoint in unhashed
        if digest.startswith(hash_start(checkpoint.name)) and _is_zip(path.name) == _is_zip(checkpoint.name)
    ]
    if same or not candidates or path.suffix.lower() not in READERS:
        return same[0] if same else None
    shapes = tensor_shapes(path)
    matching = [checkpoint for checkpoint in candidates if checkpoint.tensors.items() <= shapes.items()]
    return min(matching, key=lambda checkpoint: checkpoint.name != path.name, default=None)


def hash_start(name: str) -> str:
    """The start of a file's SHA-256 if its name has it, as names for torch.hub do ("x-f168fae3c.zip"), else nothing."""
    found = HASH_IN_NAME.search(name)
    return found[1] if found else ""


def check_hash_start(path: Path, name: str) -> None:
    """Refuse the file ``path`` if its SHA-256 does not begin as the published name says."""
    start = hash_start(name)
    if start and not (digest := sha256_of(path)).startswith(start):
        raise CheckpointUnreadable(path, f"its sha256 begins with {digest[: len(start)]}, but {name} says {start}")


def torch_content(path: Path) -> object:
    """What ``torch.save`` wrote to ``path``, or to the one .pth in the plain .zip ``path``, on the CPU. Runs no code.

    Files older than torch 1.6 are no zip archives and cannot be mapped into memory. Options of a training script
    (``argparse.Namespace``, a bag of values) may stand beside the tensors. TorchScript is refused: such a file is a
    program.
    """
    with torch.serialization.safe_globals([Namespace]):
        if _is_zip(path.name):
            return torch.load(io.BytesIO(_only_member(path)), map_location="cpu", weights_only=True)
        if is_zipfile(path):
            refuse_programs(path)
        return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zipfile(path))


def refuse_programs(path: Path) -> None:
    """Raise ``CheckpointUnreadable`` if the archive ``path`` holds TorchScript, which ``torch.jit.save`` writes."""
    with ZipFile(path) as archive:
        if any("/code/" in name or name.endswith("/constants.pkl") for name in archive.namelist()):
            raise CheckpointUnreadable(path, "it is a TorchScript program, and code in weights files is never run")


def sha256_of(path: Path) -> str:
    """In hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def first_line(error: Exception) -> str:
    """Of its message, or its class."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _is_zip(name: str) -> bool:
    return name.lower().endswith(".zip")


def _only_member(path: Path) -> bytes:
    with ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.lower().endswith(TORCH)]
        if len(names) != 1:
            raise CheckpointUnreadable(
                path, f"it holds {len(names)} files with the endings {', '.join(TORCH)}, not one"
            )
        member = archive.getinfo(names[0])
        if member.file_size > MOST_EXPANDED * member.compress_size + MEGABYTE:
            raise CheckpointUnreadable(
                path, f"{names[0]} in it grows from {member.compress_size} to {member.file_size} bytes: no weights do"
            )
        return archive.read(member)


def _safetensors(path: Path) -> Shapes:
    with safe_open(path, framework="np") as file:
        return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 - not a dict


def _numpy(path: Path) -> Shapes:
    with np.load(path, allow_pickle=False) as arrays:
        return {name: tuple(arrays[name].shape) for name in arrays.files}


def _matlab(path: Path) -> Shapes:
    return {str(name): tuple(shape) for name, shape, kind in whosmat(path) if kind in NUMERIC}


def _torch(path: Path) -> Shapes:
    return dict(_flat(torch_content(path), ""))


def _flat(content: object, prefix: str) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of the tensors in nested containers; what is no tensor is passed over."""
    if isinstance(content, torch.Tensor):
        yield prefix, tuple(content.shape)
    elif isinstance(content, Mapping):
        for name, value in cast("Mapping[object, object]", content).items():
            yield from _flat(value, f"{prefix}.{name}" if prefix else str(name))


READERS: dict[str, Callable[[Path], Shapes]] = {
    ".safetensors": _safetensors,
    ".npz": _numpy,
    ".zip": _torch,
    ".mat": _matlab,
    **dict.fromkeys(TORCH, _torch),
}
