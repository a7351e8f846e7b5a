"""What the emulsion adds: grain."""

import cv2
import numpy as np

from models.degradations.chain import Degradation, Image, clipped, luminance


def grain(strength: float, size: float = 1.0, colour: float = 0.0) -> Degradation:
    """Film grain that follows the light and hangs together in clumps.

    ``strength`` is the standard deviation at mid-grey, in [0, 1]. As in the Boolean model of Newson, Delon and Galerne
    ("A stochastic film grain model for resolution-independent rendering", CGF 2017) a patch of mean u varies by
    u (1 - u): strongest at mid-grey, gone in pure black and white. ``size`` is the clumps' standard deviation in
    pixels; ``colour`` in [0, 1] how far the three layers have grain of their own (0: silver, one grain for all).
    """

    def apply(image: Image, rng: np.random.Generator) -> Image:
        height, width = image.shape[:2]
        layers = (1 - colour) * clumps(height, width, 1, size, rng)
        if colour:
            layers = layers + colour * clumps(height, width, 3, size, rng)
        light = np.clip(luminance(image), 0, 1)
        spread = 2 * strength * np.sqrt(light * (1 - light))
        return clipped(image + spread * layers / np.hypot(1 - colour, colour))

    return apply


def noise(strength: float, colour: bool = False, size: float = 0.0) -> Degradation:
    """Normal noise of standard deviation ``strength`` in [0, 1], the same in all channels unless ``colour``.

    ``size`` is the standard deviation of its clumps in pixels; 0 is white noise.
    """

    def apply(image: Image, rng: np.random.Generator) -> Image:
        height, width = image.shape[:2]
        return clipped(image + strength * clumps(height, width, 3 if colour else 1, size, rng))

    return apply


def clumps(height: int, width: int, layers: int, size: float, rng: np.random.Generator) -> Image:
    """(height, width, layers) correlated normal noise of mean 0 and standard deviation 1; white where ``size`` is 0."""
    noise = rng.standard_normal((height, width, layers), np.float32)
    if size <= 0:
        return noise
    soft = cv2.GaussianBlur(noise, (0, 0), size).reshape(noise.shape)
    return (soft / max(float(soft.std()), 1e-6)).astype(np.float32)
