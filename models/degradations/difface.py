"""How faces are degraded for blind restoration: blur, loss of resolution, noise, JPEG, and back to the old size.

The model of DifFace (Yue, Loy, arXiv 2212.06512), which PMRF's blind networks are trained with. Facts from
``ohayonguy/PMRF:utils/create_degradation.py``.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.degradations.chain import Aged, Image, clipped
from models.degradations.codec import to_bytes

KERNEL = 41  # pixels
SIGMAS = (0.1, 15.0)  # pixels
FACTORS = (0.8, 32.0)  # of the resolution; below 1 the picture grows for a while
NOISES = (0.0, 20.0)  # standard deviations in levels of 255
QUALITIES = (30.0, 100.0)  # of the JPEG, rounded down
FLIPPED, ANISOTROPIC, GREY = 0.5, 0.5, 0.01  # probabilities


@dataclass(frozen=True, slots=True)
class Draws:
    """All that is drawn for one face, but its noise."""

    flip: bool
    sigmas: tuple[float, float]
    theta: float
    factor: float
    noise: float
    quality: int
    grey: bool

    def reduced(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the picture while it is small."""
        return int(height // self.factor), int(width // self.factor)


@dataclass(frozen=True, slots=True)
class Steps:
    """The picture on its way, each (H, W, 3) RGB, and the kernel (41, 41) that blurred it."""

    kernel: NDArray[np.float64]
    small: Image
    noisy: Image
    coded: Image
    aged: Aged


def draw(rng: np.random.Generator) -> Draws:
    """The published ranges. The order is the original's, but not its generators."""
    flip, anisotropic = rng.random() < FLIPPED, rng.random() < ANISOTROPIC
    along = rng.uniform(*SIGMAS)
    across, theta = (rng.uniform(*SIGMAS), rng.uniform(-np.pi, np.pi)) if anisotropic else (along, 0.0)
    factor, noise = rng.uniform(*FACTORS), rng.uniform(*NOISES)
    return Draws(flip, (along, across), theta, factor, noise, int(rng.uniform(*QUALITIES)), rng.random() < GREY)


def age(image: Image, rng: np.random.Generator) -> Aged:
    """``image`` (H, W, 3) RGB in [0, 1] and its degraded form, both flipped or grey where that was drawn."""
    drawn = draw(rng)
    noise = rng.standard_normal((*drawn.reduced(*image.shape[:2]), 3), np.float32)
    return degrade(image, drawn, noise).aged


def degrade(image: Image, drawn: Draws, noise: Image, *, coded: bool = True) -> Steps:
    """``image`` (H, W, 3) RGB in [0, 1] under ``drawn``, with standard normal ``noise`` of ``drawn.reduced``.

    ``coded=False`` leaves out the JPEG, whose bytes depend on the library.
    """
    truth: Image = np.ascontiguousarray(image[:, ::-1]) if drawn.flip else image
    height, width = image.shape[:2]
    kernel = gaussian(drawn.sigmas, drawn.theta)
    blurred = cv2.filter2D(truth, -1, kernel, borderType=cv2.BORDER_REFLECT_101)
    rows, columns = drawn.reduced(height, width)
    small: Image = cv2.resize(blurred, (columns, rows), interpolation=cv2.INTER_LINEAR).astype(np.float32)
    noisy = clipped(small + noise * np.float32(drawn.noise / 255))
    stored = as_jpeg(noisy, drawn.quality) if coded else noisy
    photo: Image = cv2.resize(stored, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.float32)
    if drawn.grey:
        truth, photo = as_grey(truth), as_grey(photo)
    rounded: Image = np.rint(np.clip(photo, 0, 1) * 255).astype(np.float32) / np.float32(255)
    return Steps(kernel, small, noisy, stored, Aged(clipped(truth), rounded))


def gaussian(sigmas: tuple[float, float], theta: float) -> NDArray[np.float64]:
    """A Gaussian (41, 41) of sum 1: ``sigmas`` pixels along its axes, the first turned by ``theta`` from x to y."""
    place = np.arange(KERNEL) - KERNEL // 2
    y, x = np.meshgrid(place, place, indexing="ij")
    along, across = x * np.cos(theta) + y * np.sin(theta), y * np.cos(theta) - x * np.sin(theta)
    bell = np.exp(-((along / sigmas[0]) ** 2 + (across / sigmas[1]) ** 2) / 2)
    return bell / bell.sum()


def as_jpeg(image: Image, quality: int) -> Image:
    """``image`` written as a JPEG by OpenCV, and read again."""
    _, file = cv2.imencode(".jpg", to_bytes(image)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(file, cv2.IMREAD_COLOR))[..., ::-1].astype(np.float32) / np.float32(255)


def as_grey(image: Image) -> Image:
    """Luma by Rec. 601 in all three channels."""
    return np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, 2).astype(np.float32)
