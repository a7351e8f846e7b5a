"""Writes ``vqfr.npz``: what small networks of both versions of VQFR compute with synthetic weights. Run it if their
arithmetic is changed on purpose, after ``pytest tests/parity -k vqfr`` has passed against the original.

    python tests/golden/make_vqfr.py

``input`` is (2, 3, 32, 32) float32 in [-1, 1], ``v1`` and ``v2`` (fidelity 0.25 and 1) are the outputs.
"""

import hashlib
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from models.nets.vqfr_parts import VqfrSizes
from models.nets.vqfr_v1 import VQFRv1
from models.nets.vqfr_v2 import VQFRv2

FILE = Path(__file__).with_name("vqfr.npz")
SEED = 2022
SMALL = VqfrSizes(channels=(32, 32, 64), codes=64, code_width=32, input_width=8, deformable_groups=2)
FIDELITY = [0.25, 1.0]

Network = TypeVar("Network", VQFRv1, VQFRv2)


def synthetic(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Noise that depends on the tensor's name alone, at the scale of its kind."""
    key = int.from_bytes(hashlib.sha256(f"{SEED}/vqfr/{name}".encode()).digest()[:16], "little")
    noise = np.random.Generator(np.random.Philox(key=key)).standard_normal(shape, dtype=np.float32)
    if len(shape) == 1:
        return noise / np.float32(10) + np.float32(name.endswith("weight"))
    return noise if "embedding" in name else noise / np.float32(np.prod(shape[1:]) ** 0.5)


def weights(network: nn.Module) -> dict[str, torch.Tensor]:
    """Every tensor of ``network`` by the published name."""
    return {
        name: torch.from_numpy(synthetic(name, tuple(tensor.shape))) for name, tensor in network.state_dict().items()
    }


def filled(network: Network) -> Network:
    """``network`` with synthetic weights, ready for inference."""
    network.load_state_dict(weights(network))
    return network.eval().requires_grad_(False)


def main() -> None:
    faces = torch.from_numpy(np.tanh(synthetic("faces", (2, 3, 32, 32))))
    v1 = filled(VQFRv1(SMALL))(faces).numpy()
    v2 = filled(VQFRv2(SMALL))(faces, FIDELITY).numpy()
    np.savez_compressed(FILE, allow_pickle=False, input=faces.numpy(), v1=v1, v2=v2)


if __name__ == "__main__":
    main()
