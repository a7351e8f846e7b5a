"""The low-pass filter of ILVR and DR2: a picture made smaller and large again, by cubic weights.

Choi, Kim, Jeong, Gwon, Yoon, "ILVR: Conditioning Method for Denoising Diffusion Probabilistic Models", ICCV 2021. Facts
from ``Kaldwin0106/DR2_Drgradation_Remover:DRDR/resizer.py``. At its borders it is neither PyTorch's cubic nor Pillow's:
the picture is mirrored with its edge repeated.
"""

from functools import cache

import torch

SHARPNESS = -0.5  # of the cubic (Keys 1981)


def low_pass(images: torch.Tensor, factor: int) -> torch.Tensor:
    """``images`` (B, C, H, W) without what is finer than ``factor`` pixels; both sides are multiples of it."""
    return enlarged(reduced(images, factor), factor)


def reduced(images: torch.Tensor, factor: int) -> torch.Tensor:
    """(B, C, H, W) to (B, C, H / ``factor``, W / ``factor``)."""
    height, width = images.shape[-2:]
    return _both(images, _weights(height, height // factor), _weights(width, width // factor))


def enlarged(images: torch.Tensor, factor: int) -> torch.Tensor:
    """(B, C, H, W) to (B, C, H * ``factor``, W * ``factor``)."""
    height, width = images.shape[-2:]
    return _both(images, _weights(height, height * factor), _weights(width, width * factor))


def _both(images: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    return rows.to(images) @ images @ columns.to(images).T


@cache
def _weights(size: int, result: int) -> torch.Tensor:
    """(result, size): what each pixel counts in each pixel of the result. float64, rounded to float32."""
    stretch = max(1.0, size / result)
    centres = (torch.arange(result, dtype=torch.float64) + 0.5) * size / result - 0.5
    reach = int(2 * stretch) + 1
    taps = centres.floor()[:, None] + torch.arange(-reach, reach + 1)
    weights = _cubic((centres[:, None] - taps) / stretch)
    weights /= weights.sum(1, keepdim=True)
    wrapped = taps.long() % (2 * size)
    places = torch.where(wrapped < size, wrapped, 2 * size - 1 - wrapped)
    return torch.zeros(result, size).double().scatter_add_(1, places, weights).float()


def _cubic(distance: torch.Tensor) -> torch.Tensor:
    a, d = SHARPNESS, distance.abs()
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = a * (((d - 5) * d + 8) * d - 4)
    return torch.where(d <= 1, near, torch.where(d < 2, far, 0.0))
