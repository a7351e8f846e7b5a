"""Writes ``classic.npz``: what ``classic`` makes of two small synthetic crops. Run it when ``classic``'s version rises.

    python tests/golden/make_classic.py

``input`` is (2, 64, 64, 3) uint8 RGB, ``output`` the same as float16 in [0, 1].
"""

from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from models.methods.classic import Classic, ClassicParameters

SIDE = 64
FILE = Path(__file__).with_name("classic.npz")


def face_like() -> NDArray[np.uint8]:
    """A drawing with shading, edges and colour, (64, 64, 3) RGB."""
    rows, columns = np.mgrid[0:SIDE, 0:SIDE]
    picture = np.stack([90 + rows, 60 + columns, 120 - rows // 2], axis=-1).astype(np.uint8)
    cv2.ellipse(picture, (32, 34), (19, 25), 0, 0, 360, (205, 160, 135), -1)
    for eye in (24, 40):
        cv2.circle(picture, (eye, 28), 3, (40, 30, 30), -1)
    cv2.ellipse(picture, (32, 46), (8, 3), 0, 0, 360, (150, 60, 60), -1)
    return picture


def damaged(grain: float, blur: float) -> NDArray[np.uint8]:
    """The drawing, blurred by ``blur`` pixels and with a seeded grain of ``grain`` grey levels."""
    soft = cv2.GaussianBlur(face_like(), (0, 0), blur).astype(np.float64)
    noise = np.random.default_rng(1839).normal(0, grain, (SIDE, SIDE, 1))
    return np.clip(np.rint(soft + noise), 0, 255).astype(np.uint8)


def main() -> None:
    crops = np.stack([damaged(grain=12, blur=0.8), damaged(grain=2, blur=2)])
    tensor = torch.from_numpy(crops.astype(np.float32) / 255).permute(0, 3, 1, 2)
    restored = Classic(ClassicParameters(size=SIDE)).restore(tensor, [0, 0])
    np.savez_compressed(FILE, input=crops, output=restored.permute(0, 2, 3, 1).numpy().astype(np.float16))


if __name__ == "__main__":
    main()
