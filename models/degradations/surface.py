"""What happens to the paper: scratches and dust, laid over the image as light or dark matter.

The kinds of damage are those of "Bringing Old Photos Back to Life" (Wan et al., CVPR 2020, arXiv:2004.09484), drawn
here instead of collected.
"""

import cv2
import numpy as np

from models.degradations.chain import Degradation, Image, clipped

FRACTION_BITS = 4  # OpenCV draws at 1/16 of a pixel


def scratches(count: int, opacity: float = 0.7, width: int = 1) -> Degradation:
    """``count`` long thin lines, mostly upright and a little crooked, two of three light (bare paper), the others dark.

    ``opacity`` in [0, 1] is that of the strongest; ``width`` in pixels.
    """

    def apply(image: Image, rng: np.random.Generator) -> Image:
        for _ in range(count):
            shape = np.zeros(image.shape[:2], np.uint8)
            path = crooked_path(image.shape[0], image.shape[1], rng)
            cv2.polylines(shape, [path], False, 255, width, cv2.LINE_AA, FRACTION_BITS)
            image = lay_over(image, shape, shade(rng), opacity * rng.uniform(0.5, 1))
        return image

    return apply


def dust(count: int, radius: float = 1.5, opacity: float = 0.8) -> Degradation:
    """``count`` specks of up to ``radius`` pixels, each an ellipse, ``opacity`` in [0, 1]."""

    def apply(image: Image, rng: np.random.Generator) -> Image:
        height, width = image.shape[:2]
        for tint in (0.06, 0.94):
            shape = np.zeros((height, width), np.uint8)
            for _ in range(count // 2 + (count % 2 if tint > 0.5 else 0)):
                centre = fixed(rng.uniform(0, width), rng.uniform(0, height))
                axes = fixed(*rng.uniform(0.3 * radius, radius, 2))
                cv2.ellipse(shape, centre, axes, rng.uniform(0, 180), 0, 360, 255, -1, cv2.LINE_AA, FRACTION_BITS)
            image = lay_over(image, shape, tint, opacity)
        return image

    return apply


def folds(count: int, opacity: float = 0.7, width: int = 2) -> Degradation:
    """``count`` creases right across, mostly level, each a light line with a dark edge; ``width`` in pixels."""

    def apply(image: Image, rng: np.random.Generator) -> Image:
        for _ in range(count):
            shape = np.zeros(image.shape[:2], np.uint8)
            path = crooked_path(image.shape[1], image.shape[0], rng)[:, ::-1].copy()
            path[:, 0] = np.linspace(0, fixed(image.shape[1], 0)[0], len(path))
            cv2.polylines(shape, [path], False, 255, width, cv2.LINE_AA, FRACTION_BITS)
            strength = opacity * rng.uniform(0.5, 1)
            image = lay_over(image, np.roll(shape, width, axis=0), 0.1, strength / 2)
            image = lay_over(image, shape, 0.95, strength)
        return image

    return apply


def blotches(count: int, radius: float, opacity: float = 0.4) -> Degradation:
    """``count`` soft stains of about ``radius`` pixels, light or dark, ``opacity`` in [0, 1]."""

    def apply(image: Image, rng: np.random.Generator) -> Image:
        height, width = image.shape[:2]
        for _ in range(count):
            shape = np.zeros((height, width), np.uint8)
            centre = fixed(rng.uniform(0, width), rng.uniform(0, height))
            axes = fixed(*rng.uniform(0.5 * radius, 1.5 * radius, 2))
            cv2.ellipse(shape, centre, axes, rng.uniform(0, 180), 0, 360, 255, -1, cv2.LINE_AA, FRACTION_BITS)
            soft = cv2.GaussianBlur(shape, (0, 0), max(radius / 4, 0.5)).astype(np.uint8)
            image = lay_over(image, soft, shade(rng), opacity * rng.uniform(0.3, 1))
        return image

    return apply


def crooked_path(height: int, width: int, rng: np.random.Generator) -> np.ndarray[tuple[int, ...], np.dtype[np.int32]]:
    """(8, 2) points, x then y in 1/16 pixels, of a line across 20 to 100 % of the height."""
    top = rng.uniform(-0.2, 0.7) * height
    bottom = top + rng.uniform(0.2, 1) * height
    x = rng.uniform(0, width) + np.cumsum(rng.normal(rng.normal(0, 0.01), 0.004, 8)) * width
    points = np.stack([x, np.linspace(top, bottom, 8)], axis=1)
    return np.round(points * 2**FRACTION_BITS).astype(np.int32)


def fixed(x: float, y: float) -> tuple[int, int]:
    """Pixels as OpenCV's fixed-point numbers."""
    return round(x * 2**FRACTION_BITS), round(y * 2**FRACTION_BITS)


def shade(rng: np.random.Generator) -> float:
    """Nearly white twice out of three times, else nearly black."""
    return 0.95 if rng.random() < 2 / 3 else 0.08


def lay_over(
    image: Image, shape: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], tint: float, opacity: float
) -> Image:
    """``image`` under a grey of ``tint`` where ``shape``, (H, W) uint8, is 255; in between where it is less."""
    cover = (opacity / 255) * shape.astype(np.float32)[..., None]
    return clipped((1 - cover) * image + cover * tint)
