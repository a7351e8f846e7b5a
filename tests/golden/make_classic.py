"""Writes ``classic.npz``: what ``classic`` makes of two small synthetic crops. Run it when ``classic``'s version rises.

    python tests/golden/make_classic.py

``input`` is (2, 64, 64, 3) uint8 RGB, ``output`` the same as float16 in [0, 1]. ``enlarged`` is every fourth pixel, in
both directions, of what becomes of the first input enlarged four times: the way of grain that is too coarse to be seen
at the crop's own size.
"""

from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from models.method import Faces
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


def enlarged(crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """``crop`` four times as large, as a small face is enlarged to its crop."""
    return np.asarray(cv2.resize(crop, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC), np.uint8)


def as_tensor(crops: NDArray[np.uint8]) -> torch.Tensor:
    """(n, S, S, 3) uint8 as (n, 3, S, S) float32 in [0, 1]."""
    return torch.from_numpy(crops.astype(np.float32) / 255).permute(0, 3, 1, 2)


def as_array(restored: torch.Tensor) -> NDArray[np.float16]:
    """(n, 3, S, S) as (n, S, S, 3) float16."""
    return restored.permute(0, 2, 3, 1).numpy().astype(np.float16)


def main() -> None:
    crops = np.stack([damaged(grain=12, blur=0.8), damaged(grain=2, blur=2)])
    restored = Classic(ClassicParameters(size=SIDE)).restore(Faces.plain(as_tensor(crops), [0, 0])).faces
    large = enlarged(crops[0])
    coarse = Classic(ClassicParameters(size=4 * SIDE)).restore(Faces.plain(as_tensor(large[None]), [0])).faces
    seen = as_array(coarse)[0, ::4, ::4]
    np.savez_compressed(FILE, input=crops, output=as_array(restored), enlarged=seen)


if __name__ == "__main__":
    main()
