"""Writes ``gpen.npz``: what a small GPEN computes with synthetic weights. Run it if the network's arithmetic is changed
on purpose, after ``pytest tests/parity -k gpen`` has passed against the original.

    python tests/golden/make_gpen.py

``input`` and ``output`` are (2, 3, 32, 32) float32 in about [-1, 1].
"""

import hashlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from models.nets.gpen import GPEN, GpenSizes

FILE = Path(__file__).with_name("gpen.npz")
SEED = 2021
SMALL = GpenSizes(side=32, width=16)


def synthetic(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Noise that depends on the tensor's name alone, at the scale of its kind."""
    key = int.from_bytes(hashlib.sha256(f"{SEED}/gpen/{name}".encode()).digest()[:16], "little")
    noise = np.random.Generator(np.random.Philox(key=key)).standard_normal(shape, dtype=np.float32)
    if name.endswith(("modulation.bias", "noise.weight")):
        return np.float32(1) + noise / np.float32(10)
    scale = 0.1 if name.endswith("bias") else 1
    return noise * np.float32(100 * scale if ".style." in name else scale)


def weights(sizes: GpenSizes = SMALL) -> dict[str, torch.Tensor]:
    """Every tensor of the network by the published name; constants of the architecture as they are."""
    network = GPEN(sizes)
    drawn = {name for name, _ in network.named_parameters()}
    return {
        name: torch.from_numpy(synthetic(name, tuple(tensor.shape))) if name in drawn else tensor
        for name, tensor in network.state_dict().items()
    }


def network() -> GPEN:
    """The small network."""
    found = GPEN(SMALL).eval().requires_grad_(False)
    found.load_state_dict(weights())
    return found


def main() -> None:
    faces = np.tanh(synthetic("faces", (2, 3, 32, 32)))
    output = network()(torch.from_numpy(faces)).numpy()
    np.savez_compressed(FILE, allow_pickle=False, input=faces, output=output)


if __name__ == "__main__":
    main()
