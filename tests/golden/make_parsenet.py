"""Writes ``parsenet.npz``: what ParseNet computes of a drawn face with synthetic weights. Run it if the network's
arithmetic is changed on purpose.

    python tests/golden/make_parsenet.py

``input`` is (64, 64, 3) uint8 RGB; ``logits`` and ``picture`` are every fourth pixel, in both directions, of the two
outputs, (19, 16, 16) and (3, 16, 16) float32.

When it was written, facexlib 0.3.0's own network gave the very same bits with these weights (torch 2.15, CPU).
"""

import hashlib
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from models.nets.parsenet import ParseNet

FILE = Path(__file__).with_name("parsenet.npz")
SEED, SIDE, STRIDE = 1839, 64, 4


def face_like() -> NDArray[np.uint8]:
    """A drawing with shading, edges and colour, (64, 64, 3) RGB."""
    rows, columns = np.mgrid[0:SIDE, 0:SIDE]
    picture = np.stack([90 + rows, 60 + columns, 120 - rows // 2], axis=-1).astype(np.uint8)
    cv2.ellipse(picture, (32, 34), (19, 25), 0, 0, 360, (205, 160, 135), -1)
    for eye in (24, 40):
        cv2.circle(picture, (eye, 28), 3, (40, 30, 30), -1)
    cv2.ellipse(picture, (32, 46), (8, 3), 0, 0, 360, (150, 60, 60), -1)
    return picture


def synthetic(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Noise that depends on the tensor's name alone, scaled so that activations neither vanish nor explode."""
    key = int.from_bytes(hashlib.sha256(f"{SEED}/parsenet/{name}".encode()).digest()[:16], "little")
    noise = np.random.Generator(np.random.Philox(key=key)).standard_normal(shape, dtype=np.float32)
    if name.endswith("conv2d.weight"):
        return noise / np.float32(np.prod(shape[1:]) ** 0.5)
    if name.endswith(("norm.weight", "running_var")):
        return np.float32(1) + noise / np.float32(10)
    return noise / np.float32(10)


def weights() -> dict[str, torch.Tensor]:
    """Every tensor of the network by its published name, in the published order."""
    return {
        name: torch.from_numpy(synthetic(name, tuple(tensor.shape))) if tensor.is_floating_point() else tensor
        for name, tensor in ParseNet().state_dict().items()
    }


def outputs(network: torch.nn.Module, picture: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    """Both outputs, strided, for ``picture`` (H, W, 3) uint8 RGB."""
    faces = torch.from_numpy(picture.astype(np.float32) / 127.5 - 1).permute(2, 0, 1)[None]
    with torch.inference_mode():
        logits, image = network(faces)
    return {name: out[0, :, ::STRIDE, ::STRIDE].numpy() for name, out in (("logits", logits), ("picture", image))}


def main() -> None:
    network = ParseNet().eval()
    network.load_state_dict(weights())
    found = outputs(network, face_like())
    np.savez_compressed(FILE, input=face_like(), logits=found["logits"], picture=found["picture"])


if __name__ == "__main__":
    main()
