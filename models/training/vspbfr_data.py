"""VSPBFR's pictures: how the original reads and writes them, and how its training makes degraded ones.

Facts from ``LonglongaaaGo/VSPBFR:dataset.py``, ``my_basicsr/my_degradations.py`` and ``restoration_test.py``. The
original hands RGB to OpenCV as if it were BGR; so does this where it matters (JPEG, grey).
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]

BLUR_SIDES = (39, 41)
BLUR_SIGMA, SCALE, NOISE = (0.1, 10.0), (0.8, 8.0), (0.0, 20.0)
QUALITY = (60.0, 100.0)
HAZE, HAZE_CHANCE, GREY_CHANCE = (0.75, 0.95), 0.008, 0.008  # of the restoration network's data alone
GREY = (0.114, 0.587, 0.299)


@dataclass(frozen=True, slots=True)
class Degradation:
    """One draw. ``noise_sigma`` is in levels of 255; ``haze`` is the share that stays of the picture, 1: none."""

    kernel_side: int
    sigma_x: float
    sigma_y: float
    rotation: float
    haze: float
    scale: float
    noise_sigma: float
    quality: int


@dataclass(frozen=True, slots=True)
class Stages:
    """The steps of a degradation, each (h, w, 3) float32 RGB; ``lq`` is as large as the picture, in steps of 1/255."""

    blurred: Floats
    small: Floats
    noisy: Floats
    jpeg: Floats
    lq: Floats


def drawn(rng: np.random.Generator, *, haze: bool) -> Degradation:
    """A degradation by the published ranges; ``haze`` as in the restoration network's data."""
    sigma_x = float(rng.uniform(*BLUR_SIGMA))
    isotropic = rng.random() < 0.5
    hazy = haze and rng.random() < HAZE_CHANCE
    return Degradation(
        kernel_side=int(rng.choice(BLUR_SIDES)),
        sigma_x=sigma_x,
        sigma_y=sigma_x if isotropic else float(rng.uniform(*BLUR_SIGMA)),
        rotation=0.0 if isotropic else float(rng.uniform(-np.pi, np.pi)),
        haze=float(rng.uniform(*HAZE)) if hazy else 1.0,
        scale=float(rng.uniform(*SCALE)),
        noise_sigma=float(rng.uniform(*NOISE)),
        quality=int(rng.uniform(*QUALITY)),
    )


def blur_kernel(side: int, sigma_x: float, sigma_y: float, rotation: float) -> Floats:
    """A Gaussian (side, side) of sum 1, its axes turned by ``rotation`` (radians); x runs along the columns."""
    turn = np.array([[np.cos(rotation), -np.sin(rotation)], [np.sin(rotation), np.cos(rotation)]])
    inverse = np.linalg.inv(turn @ np.diag([sigma_x**2, sigma_y**2]) @ turn.T)
    offsets = np.arange(side) - (side - 1) / 2
    grid = np.stack(np.meshgrid(offsets, offsets), -1)
    weights = np.exp(-0.5 * np.einsum("yxi,ij,yxj->yx", grid, inverse, grid))
    return (weights / weights.sum()).astype(np.float32)


def small_size(side: int, scale: float) -> int:
    """The side of a picture of ``side`` pixels once it is reduced; a scale below 1 enlarges."""
    return int(side // scale)


def degraded(image: Floats, how: Degradation, noise: Floats) -> Stages:
    """``image`` (S, S, 3) RGB in [0, 1] degraded, with standard normal ``noise`` (s, s, 3), s being ``small_size``."""
    side, small_side = image.shape[0], small_size(image.shape[0], how.scale)
    blurred = _floats(cv2.filter2D(image, -1, blur_kernel(how.kernel_side, how.sigma_x, how.sigma_y, how.rotation)))
    hazy = blurred * np.float32(how.haze) + np.float32(1 - how.haze)
    small = _floats(cv2.resize(hazy, (small_side, small_side), interpolation=cv2.INTER_LINEAR))
    noisy = _floats(np.clip(small + noise * np.float32(how.noise_sigma / 255), 0, 1))
    jpeg = _through_jpeg(noisy, how.quality)
    large = cv2.resize(jpeg, (side, side), interpolation=cv2.INTER_LINEAR)
    return Stages(blurred, small, noisy, jpeg, _floats(np.clip(np.rint(large * 255), 0, 255) / 255))


def grey(image: Floats) -> Floats:
    """(H, W, 3) with its luma in all channels, red and blue exchanged as in the original."""
    return _floats(np.repeat((image @ np.array(GREY, np.float32))[..., None], 3, 2))


def covering(picture: Pixels, side: int) -> Pixels:
    """``picture`` (H, W, 3) RGB as (side, side, 3): reduced or enlarged to cover the square (Lanczos), its middle."""
    height, width = picture.shape[:2]
    if (height, width) == (side, side):
        return picture
    factor = max(side / height, side / width)
    size = int(factor * width), int(factor * height)
    resized = np.array(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS))
    left, top = (size[0] - side) // 2, (size[1] - side) // 2
    return resized[top : top + side, left : left + side]


def levels(faces: Floats) -> Pixels:
    """Grey levels of ``faces`` in [-1, 1], any shape, halves upwards, as the original writes them."""
    return np.clip((np.clip(faces, -1, 1) + 1) / 2 * 255 + 0.5, 0, 255).astype(np.uint8)


def _through_jpeg(image: Floats, quality: int) -> Floats:
    _, coded = cv2.imencode(".jpg", np.rint(image * 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return _floats(np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR)) / np.float32(255))


def _floats(values: NDArray[np.generic]) -> Floats:
    return values.astype(np.float32)
