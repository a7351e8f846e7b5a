"""What the detectors that run in torch have in common: photos to a batch, full float32, suppression of double boxes."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.ops import nms

from models.checkpoint import Device
from models.pyramid import ONE_BY_ONE

Pixels = NDArray[np.uint8]

GPU_PIXELS = 4 * 1024 * 1024  # in one batch


def batch_pixels(device: Device) -> int:
    """How much of ``models.pyramid.Pyramid`` may go through a network together on ``device``.

    On the CPU a batch is no faster (77 ms a photo against 79) and oneDNN chooses other kernels for it, which move faces
    by up to 0.0001 px. One photo at a time comes out the same to the bit, whatever it came with.
    """
    return GPU_PIXELS if device == "cuda" else ONE_BY_ONE


def as_batch(photos: Sequence[Pixels], multiple: int, device: torch.device) -> torch.Tensor:
    """Photos (H, W, 3) uint8 as one tensor (B, H', W', 3), padded with black at the bottom and on the right.

    The padded sides are multiples of ``multiple`` and must be the same for all photos.
    """
    height, width = photos[0].shape[:2]
    shape = (len(photos), height + -height % multiple, width + -width % multiple, 3)
    batch = np.zeros(shape, np.uint8)
    for index, photo in enumerate(photos):
        batch[index, : photo.shape[0], : photo.shape[1]] = photo
    return torch.from_numpy(batch).to(device)


@contextmanager
def full_float32() -> Generator[None]:
    """Convolutions on a GPU in float32, not in TF32, which keeps 10 bits of each factor's mantissa."""
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False, fp32_precision="ieee"):
        yield


def best_of_each(boxes: torch.Tensor, scores: torch.Tensor, overlap: float, most: int | None = None) -> torch.Tensor:
    """Indices of the boxes (n, 4) x0, y0, x1, y1 that no better one overlaps, best score first.

    Only the ``most`` best boxes are looked at. Each photo is looked at by itself: shifting the boxes of a batch apart,
    as torchvision's ``batched_nms`` does, rounds them otherwise in every batch.
    """
    order = scores.argsort(descending=True, stable=True)[:most]
    return order[nms(boxes[order], scores[order], overlap)]
