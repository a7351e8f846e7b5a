"""Writes synthetic weights for SGPN in the published containers, and the stand-in face, as the parity kit makes them.

    python -m benchmarks.sgpn_weights KIT FOLDER

With ``DAGUERRE_WEIGHTS=FOLDER``, ``daguerre restore SOURCE SINK --method sgpn`` then runs without any published file.
What it paints is no face.
"""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.io import savemat

from models.face_model_file import FACE_MODELS
from models.methods.sgpn import FINETUNED, NETWORK
from models.nets.sgpn import SGPN

SEED = 0


def kit(folder: Path) -> Any:
    """The kit's module ``parity.py``."""
    spec = importlib.util.spec_from_file_location("parity_kit", folder / "parity.py")
    if spec is None or spec.loader is None:
        raise ImportError(f"{folder}/parity.py cannot be imported")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def tensors(parity: Any, folder: Path, part: str) -> dict[str, torch.Tensor]:
    drawn = parity.synthetic_weights(parity.load_manifest(folder / "sgpn"), part, SEED)
    return {name: torch.from_numpy(value) for name, value in drawn.items()}


def main(source: Path, folder: Path) -> None:
    parity = kit(source)
    folder.mkdir(parents=True, exist_ok=True)
    fixed = {name: value for name, value in SGPN().state_dict().items() if name.endswith("kernel")}
    torch.save(tensors(parity, source, "sgpn") | fixed, folder / NETWORK.name)
    torch.save(tensors(parity, source, "d3dfr"), folder / FINETUNED.name)
    with np.load(source / "sgpn" / "bfm_standin.npz") as stored:
        arrays = {name: stored[name] for name in stored.files}
    control = arrays.pop("control_weights")
    for name, drawn in tensors(parity, source, "bfm").items():
        basis = np.einsum("vp,pck->vck", control, drawn.numpy())
        arrays[name.removesuffix("_control")] = basis.reshape(-1, basis.shape[-1])
    savemat(folder / FACE_MODELS[0].name, arrays)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
