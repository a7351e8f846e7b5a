"""What the originals share: bilinear warps over a whole image, blurred label masks, casts to bytes."""

from collections.abc import Collection
from typing import Any, TypeVar, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.photo import Matrix, Pixels

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Image = NDArray[Any]
Scalar = TypeVar("Scalar", np.uint8, np.float32, np.float64)

BLUR = (101, 101)  # the kernel of every label mask


def warped(
    image: NDArray[Scalar],
    matrix: Matrix,
    size: tuple[int, int],
    border: int = cv2.BORDER_CONSTANT,
    colour: tuple[int, int, int] = (0, 0, 0),
) -> NDArray[Scalar]:
    """``image`` (H, W[, C]) taken by ``matrix`` to ``size`` (width, height), bilinear; of the same type."""
    found = cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR, borderMode=border, borderValue=colour)
    return cast("NDArray[Scalar]", found)


def label_mask(labels: Pixels, kept: Collection[int]) -> Doubles:
    """255 where ``labels`` (512, 512) is one of ``kept``, else 0."""
    return np.where(np.isin(labels, list(kept)), 255.0, 0.0)


def blurred_twice(mask: NDArray[Scalar], sigma: float) -> NDArray[Scalar]:
    """``mask`` (h, w) through two Gaussians of kernel 101."""
    once = cv2.GaussianBlur(mask, BLUR, sigma)
    return cast("NDArray[Scalar]", cv2.GaussianBlur(once, BLUR, sigma))


def framed(mask: NDArray[Scalar], margin: int) -> NDArray[Scalar]:
    """``mask`` (h, w) with ``margin`` pixels of zeros along its edges."""
    result = np.zeros_like(mask)
    inside = np.s_[margin:-margin, margin:-margin]
    result[inside] = mask[inside]
    return result


def truncated(image: Image) -> Pixels:
    """``image`` as bytes: cut off, not rounded; what is out of range wraps, as on x86."""
    return image.astype(np.int16).astype(np.uint8)
