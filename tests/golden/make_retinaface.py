"""Writes ``retinaface.npz``: what RetinaFace computes of noise with synthetic weights. Run it if the network's
arithmetic is changed on purpose, after ``pytest tests/parity -k retinaface`` has passed against the originals.

    python tests/golden/make_retinaface.py

For both bodies ``<body>/boxes``, ``classes`` and ``landmarks``, (P, 4), (P, 2) and (P, 10) float32: the values of each
prior for one image of 72 x 64 pixels.
"""

import hashlib
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from numpy.typing import NDArray

from models.nets.retinaface import BodyName, RetinaFace

FILE = Path(__file__).with_name("retinaface.npz")
SEED, HEIGHT, WIDTH = 1839, 64, 72
OUTPUTS = ("boxes", "classes", "landmarks")


def noise(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Standard normal noise that depends on the name alone."""
    key = int.from_bytes(hashlib.sha256(f"{SEED}/retinaface/{name}".encode()).digest()[:16], "little")
    return np.random.Generator(np.random.Philox(key=key)).standard_normal(shape, dtype=np.float32)


def synthetic(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Noise scaled so that activations neither vanish nor explode."""
    values = noise(name, shape)
    if len(shape) == 4:
        return values / np.float32(np.prod(shape[1:]) ** 0.5)
    around = 1 if name.endswith((".weight", "running_var")) else 0
    return np.float32(around) + values / np.float32(10)


def weights(body: BodyName) -> dict[str, torch.Tensor]:
    """Every tensor of the network by its published name."""
    return {
        name: torch.from_numpy(synthetic(name, tuple(tensor.shape))) if tensor.is_floating_point() else tensor
        for name, tensor in RetinaFace(body).state_dict().items()
    }


def outputs(network: RetinaFace) -> dict[str, NDArray[np.float32]]:
    """The three outputs for one image of noise."""
    with torch.inference_mode():
        found = network(torch.from_numpy(noise("input", (1, 3, HEIGHT, WIDTH))))
    return {name: output[0].numpy() for name, output in zip(OUTPUTS, found, strict=True)}


def main() -> None:
    arrays: dict[str, NDArray[np.float32]] = {}
    for body in get_args(BodyName):
        network = RetinaFace(body).eval()
        network.load_state_dict(weights(body))
        arrays |= {f"{body}/{name}": output for name, output in outputs(network).items()}
    np.savez_compressed(FILE, allow_pickle=False, **arrays)


if __name__ == "__main__":
    main()
