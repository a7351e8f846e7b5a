"""What lies between two methods that work one after the other: sizes, ranges, landmarks and seeds."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import torch
from torch.nn import functional

from models.method import Faces


def handed(faces: Faces, pictures: torch.Tensor, name: str) -> Faces:
    """``faces`` for the method ``name`` that goes on with ``pictures`` (B, 3, T, T) in [0, 1] in place of their crops.

    Measures and settings were those of the crops and their method: they are left behind. Seeds are new, so that the
    second method does not draw the first one's noise again.
    """
    scale = pictures.shape[-1] / faces.crops.shape[-1]
    nothing = [dict[str, float]() for _ in faces.seeds]
    return replace(
        faces,
        crops=pictures,
        seeds=seeds_for(faces.seeds, name),
        landmarks=(faces.landmarks + 0.5) * scale - 0.5,
        measures=nothing,
        settings=nothing,
        keep=frozenset(),
    )


def seeds_for(seeds: Sequence[int], name: str) -> list[int]:
    """A 63-bit seed for each of ``seeds``, another one for each ``name``."""
    digests = [hashlib.sha256(f"{seed}/{name}".encode()).digest() for seed in seeds]
    return [int.from_bytes(digest[:8], "big") >> 1 for digest in digests]


def resized(pictures: torch.Tensor, side: int) -> torch.Tensor:
    """``pictures`` (B, C, T, T) at (B, C, ``side``, ``side``), not clipped: cubic, with a low pass where they shrink.

    Where they grow it is PyTorch's old cubic (a = -0.75), which DR2's enhancer was trained with.
    """
    now = pictures.shape[-1]
    if side == now:
        return pictures
    return functional.interpolate(pictures, (side, side), mode="bicubic", align_corners=False, antialias=side < now)


def by_file(pictures: torch.Tensor, side: int) -> torch.Tensor:
    """``pictures`` (B, 3, T, T) in [0, 1] as a script finds them that reads an 8-bit file and calls ``cv2.resize``.

    Rounded (halves to even), then bilinear in 8 bits; (B, 3, ``side``, ``side``) in [0, 1].
    """
    found: list[torch.Tensor] = []
    for levels in pictures.clamp(0, 1).mul(255).round().byte().permute(0, 2, 3, 1).cpu().numpy():
        picture = np.ascontiguousarray(levels)
        large = picture if side == len(picture) else cv2.resize(picture, (side, side), interpolation=cv2.INTER_LINEAR)
        found.append(torch.from_numpy(large).permute(2, 0, 1))
    return torch.stack(found).to(pictures.device, torch.float32).div(255)
