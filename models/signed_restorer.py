"""A network of faces in [-1, 1] as a method: brought to its size and range, and back."""

from collections.abc import Callable

import torch
from torch.nn import functional

from models.batches import apart_on_cpu
from models.checkpoint import Device, Dtype
from models.method import Faces, Restored
from models.torch_scale import full_float32

TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

Network = Callable[[torch.Tensor, Faces], torch.Tensor]
"""Faces (B, 3, S, S) RGB in [-1, 1], and what else is known of them, to the same shape, unbounded."""


class SignedRestorer:
    """Runs ``network`` on faces of ``side`` pixels; on the CPU each face by itself."""

    def __init__(self, network: Network, side: int, device: Device, dtype: Dtype) -> None:
        self._network = network
        self._side = side
        self._device: Device = device
        self._dtype = TYPES[dtype]

    def restore(self, faces: Faces) -> Restored:
        """See ``models.method.Restorer``."""
        return apart_on_cpu(faces, self._device, self._restored)

    def _restored(self, faces: Faces) -> Restored:
        mixed = self._dtype != torch.float32
        with full_float32(), torch.inference_mode(), torch.autocast(self._device, self._dtype, enabled=mixed):
            output = self._network(signed(faces.crops, self._side), faces).float()
        return Restored(unsigned(output, faces.crops.shape[-1]))


def signed(crops: torch.Tensor, side: int) -> torch.Tensor:
    """``crops`` (B, 3, S, S) in [0, 1] as (B, 3, ``side``, ``side``) in [-1, 1], resized bilinearly as OpenCV does."""
    return (at_side(crops, side) - 0.5) / 0.5


def unsigned(output: torch.Tensor, side: int) -> torch.Tensor:
    """(B, 3, S, S) in about [-1, 1] as (B, 3, ``side``, ``side``) clipped to [0, 1]; what is not finite stays so."""
    levels = at_side(output * 0.5 + 0.5, side)
    return torch.where(levels.isfinite(), levels.clamp(0, 1), levels)


def at_side(images: torch.Tensor, side: int) -> torch.Tensor:
    """``images`` (B, 3, S, S) at (B, 3, ``side``, ``side``), with a low pass where they shrink."""
    if images.shape[-1] == side:
        return images
    shrinks = images.shape[-1] > side
    return functional.interpolate(images, (side, side), mode="bilinear", align_corners=False, antialias=shrinks)
