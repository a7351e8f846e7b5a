"""What the printing press leaves: halftone dots."""

import numpy as np

from models.degradations.chain import Degradation, Image, clipped, luminance


def halftone(pitch: float, angle: float, amount: float = 1.0) -> Degradation:
    """A newspaper's screen: dots ``pitch`` pixels apart (> 1.5) at ``angle`` degrees, larger where it is darker.

    ``amount`` in [0, 1] mixes it with the image. The threshold is the classical clustered dot, cos x cos y (Ulichney,
    "Digital Halftoning", MIT Press 1987, section 5), with an edge of about a pixel; the ink is grey.
    """

    def apply(image: Image, _rng: np.random.Generator) -> Image:
        height, width = image.shape[:2]
        y, x = np.mgrid[:height, :width]
        turn = np.deg2rad(angle)
        u, v = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
        screen = 0.5 + 0.5 * np.cos(2 * np.pi * u / pitch) * np.cos(2 * np.pi * v / pitch)
        soft = min(1.0, np.pi / pitch)
        dots = np.clip((luminance(image)[..., 0] - screen) / soft + 0.5, 0, 1)
        return clipped((1 - amount) * image + amount * dots[..., None])

    return apply
