"""The parity kit: what a published network computed from given inputs, and the synthetic weights that it used.

The format is described in the kit's own ``parity.py``.
"""

import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Case:
    """One ``.npz``: arrays by their names without the prefix; ``kit`` is the folder with the weights' facts.

    ``means`` and ``stds`` are those of whole outputs of which every n-th pixel is stored.
    """

    name: str
    method: str
    part: str
    seed: int
    inputs: dict[str, Array]
    outputs: dict[str, Array]
    strides: dict[str, int]
    kit: Path
    means: dict[str, float] = field(default_factory=dict[str, float])
    stds: dict[str, float] = field(default_factory=dict[str, float])

    def thinned(self, name: str, actual: Array) -> Array:
        """Those pixels of ``actual`` that are stored of the output ``name``."""
        stride = self.strides.get(name, 1)
        return actual[..., ::stride, ::stride] if stride > 1 else actual

    def relative_error(self, name: str, actual: Array) -> float:
        """||actual - expected|| / ||expected|| for the output ``name``, of which every n-th pixel may be stored."""
        expected = self.outputs[name].astype(np.float64)
        found = self.thinned(name, actual).astype(np.float64)
        return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))

    def weights(self) -> dict[str, Array]:
        """The synthetic tensors that the original had, by their published names."""
        path = self.kit / "parity.py"
        spec = importlib.util.spec_from_file_location("parity_kit", path)
        if spec is None or spec.loader is None:
            raise ImportError(f"{path} cannot be imported")
        parity = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(parity)
        return parity.synthetic_weights(parity.load_manifest(self.kit / self.method), self.part, self.seed)


def case_files(folder: Path, known: Iterable[str]) -> list[Path]:
    """The case files in ``folder``; none where there is no such folder. A pattern that fits none stands as a file."""
    if not folder.is_dir():
        return []
    missing = {folder / f"{pattern}.npz" for pattern in known if not any(folder.glob(f"{pattern}.npz"))}
    return sorted({*folder.glob("*.npz"), *missing})


def is_known(file: Path, known: Iterable[str]) -> bool:
    """Whether one of the patterns fits the name of the file."""
    return any(fnmatchcase(file.stem, pattern) for pattern in known)


def load_case(file: Path, kit: Path) -> Case:
    """Read one case; its folder's name is the method's."""
    with np.load(file, allow_pickle=False) as arrays:
        stored: dict[str, Array] = {name: arrays[name] for name in arrays.files}
    return Case(
        name=file.stem,
        method=file.parent.name,
        part=str(stored["part"]),
        seed=int(stored["seed"]),
        inputs=_below("input.", stored),
        outputs=_below("output.", stored),
        strides={name: int(value) for name, value in _below("stride.", stored).items()},
        kit=kit,
        means={name: float(value) for name, value in _below("mean.", stored).items()},
        stds={name: float(value) for name, value in _below("std.", stored).items()},
    )


def _below(prefix: str, stored: dict[str, Array]) -> dict[str, Array]:
    return {name.removeprefix(prefix): value for name, value in stored.items() if name.startswith(prefix)}
