"""What light and time do to the whole print: lost contrast and changed colour."""

import numpy as np

from models.degradations.chain import Degradation, Image, clipped, luminance

# The matrix of the `sepia()` filter in W3C Filter Effects, at full amount.
SEPIA = np.array([[0.393, 0.769, 0.189], [0.349, 0.686, 0.168], [0.272, 0.534, 0.131]], np.float32)

Colour = tuple[float, float, float]


def fade(contrast: float, black: float) -> Degradation:
    """A faded print: ``contrast`` in [0, 1] is left around mid-grey, then black rises to ``black`` in [0, 1]."""

    def apply(image: Image, _rng: np.random.Generator) -> Image:
        flat = 0.5 + contrast * (image - 0.5)
        return clipped(black + (1 - black) * flat)

    return apply


def gains(red: float, green: float, blue: float, offset: float = 0.0) -> Degradation:
    """Each channel times its gain, plus ``offset``: dyes that faded unevenly, a lamp's colour."""

    def apply(image: Image, _rng: np.random.Generator) -> Image:
        return clipped(image * np.array((red, green, blue), np.float32) + np.float32(offset))

    return apply


def sepia(amount: float) -> Degradation:
    """Sepia toning, ``amount`` in [0, 1]. The darkest and the lightest tones keep their lightness."""

    def apply(image: Image, _rng: np.random.Generator) -> Image:
        toned = image @ (SEPIA / SEPIA.sum(axis=1).max()).T
        return clipped((1 - amount) * image + amount * toned)

    return apply


def duotone(shadow: Colour, light: Colour, amount: float = 1.0) -> Degradation:
    """Black and white between two colours, each RGB in [0, 1]: a grey print is ``duotone((0, 0, 0), (1, 1, 1))``."""

    def apply(image: Image, _rng: np.random.Generator) -> Image:
        grey = luminance(image)
        toned = (1 - grey) * np.array(shadow, np.float32) + grey * np.array(light, np.float32)
        return clipped((1 - amount) * image + amount * toned)

    return apply
