"""Writes ``elsface.npz``: what ELSFace computes of a drawn face with synthetic weights. Run it if the network's
arithmetic is changed on purpose, after ``pytest tests/parity -k elsface`` has passed against the original.

    python tests/golden/make_elsface.py

``input`` is (32, 32, 3) uint8 BGR; ``x4`` and ``x8`` are every fourth and eighth pixel, in both directions, of the
outputs, (3, 32, 32) float32.
"""

import hashlib
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from models.nets.elsface import ELSFace, Factor

FILE = Path(__file__).with_name("elsface.npz")
SEED, SIDE = 1839, 32
FACTORS: tuple[Factor, ...] = (4, 8)
GAIN = 0.8  # of weights: with it the signal neither vanishes nor explodes on its way


def face_like() -> NDArray[np.uint8]:
    """A drawing with shading, edges and colour, (32, 32, 3) BGR."""
    rows, columns = np.mgrid[0:SIDE, 0:SIDE]
    picture = np.stack([120 - rows, 60 + 2 * columns, 90 + 2 * rows], axis=-1).astype(np.uint8)
    cv2.ellipse(picture, (16, 17), (9, 12), 0, 0, 360, (135, 160, 205), -1)
    for eye in (12, 20):
        cv2.circle(picture, (eye, 14), 1, (30, 30, 40), -1)
    cv2.ellipse(picture, (16, 23), (4, 1), 0, 0, 360, (60, 60, 150), -1)
    return picture


def synthetic(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Noise that depends on the tensor's name alone, scaled by its layer's inputs."""
    key = int.from_bytes(hashlib.sha256(f"{SEED}/elsface/{name}".encode()).digest()[:16], "little")
    noise = np.random.Generator(np.random.Philox(key=key)).standard_normal(shape, dtype=np.float32)
    if "norm" in name and name.endswith("weight"):
        return np.float32(1) + noise / np.float32(10)
    if len(shape) > 1 and not name.endswith("bias_table"):
        return noise * np.float32(GAIN / np.prod(shape[1:]) ** 0.5)
    return noise / np.float32(10)


def weights(factor: Factor = 4) -> dict[str, torch.Tensor]:
    """Every tensor of the network by our name; constants of the architecture as they are."""
    network = ELSFace(factor)
    drawn = {name for name, _ in network.named_parameters()}
    return {
        name: torch.from_numpy(synthetic(name, tuple(tensor.shape))) if name in drawn else tensor
        for name, tensor in network.state_dict().items()
    }


def output(network: torch.nn.Module, factor: Factor, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The strided output for ``picture`` (32, 32, 3) uint8 BGR."""
    face = torch.from_numpy(picture.astype(np.float32) / 255).permute(2, 0, 1)[None].contiguous()
    with torch.inference_mode():
        return network(face)[0, :, ::factor, ::factor].numpy()


def main() -> None:
    arrays: dict[str, NDArray[np.float32]] = {}
    for factor in FACTORS:
        network = ELSFace(factor).eval()
        network.load_state_dict(weights(factor))
        arrays[f"x{factor}"] = output(network, factor, face_like())
    np.savez_compressed(FILE, allow_pickle=False, input=face_like(), **arrays)


if __name__ == "__main__":
    main()
