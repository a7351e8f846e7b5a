"""How faces in archives grow old: the ageing that Daguerre's own restorer is trained on, and that it is judged by.

Lengths are for faces of 128 pixels and grow with the side. The tone belongs to the photo: truth and photo get it, so
that a restored face matches the photo that it is pasted back into.
"""

from typing import Literal

import cv2
import numpy as np

from models.degradations.chain import Ageing, Degradation, Image, compose, drawn, sometimes
from models.degradations.codec import jpeg, rounded
from models.degradations.film import grain, noise
from models.degradations.optics import at_scale, blur, motion, stretched_blur
from models.degradations.press import halftone
from models.degradations.surface import blotches, dust, folds, scratches
from models.degradations.tone import duotone, fade, gains, sepia

Rng = np.random.Generator
Strength = Literal["mild", "medium", "heavy"]

REFERENCE = 128  # side that the lengths below are for
SMALLEST = 16  # pixels; a face is never reduced below
CLEAN_SHARE = 0.12  # of the training faces are hardly damaged: what is good must stay as it is
DOWN = (cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC)
UP = (cv2.INTER_CUBIC, cv2.INTER_LINEAR)
SILVER = duotone((0, 0, 0), (1, 1, 1))


def training(side: int, gentle: float = 0.0, harsh: float = 0.0) -> Ageing:
    """The ageing for training on faces of ``side`` pixels, drawn anew for each: of the share ``gentle`` a mild one, of
    the share ``harsh`` of the others a severe one.
    """
    return Ageing(toned(), damaged(side, gentle, harsh))


def toned() -> Degradation:
    """Grey or sepia prints, faded prints, dyes that faded unevenly; many keep their colours."""
    brown = drawn(lambda rng: float(rng.uniform(0.3, 1)), sepia)
    return compose(
        sometimes(0.35, compose(SILVER, sometimes(0.5, brown))),
        sometimes(0.2, drawn(lambda rng: (rng.uniform(0.6, 1), rng.uniform(0, 0.12)), lambda drawn: fade(*drawn))),
        sometimes(0.25, drawn(_levels, lambda drawn: gains(*drawn))),
        sometimes(0.3, drawn(lambda rng: tuple(rng.uniform(0.85, 1.1, 3)), lambda drawn: gains(*drawn))),
    )


def damaged(side: int, gentle: float = 0.0, harsh: float = 0.0) -> Degradation:
    """What is to be undone: blur, low resolution, noise and grain, JPEG, scratches, folds, dust, stains, a screen.

    Of the share ``gentle`` there is little blur and noise, no screen, and the resolution is at least half the face's.
    Of the share ``harsh`` of the others there is much of each, and the resolution at most two fifths of the face's.
    """
    scale = side / REFERENCE
    scan = sometimes(0.85, drawn(lambda rng: _scan(rng, side), lambda inner: inner))
    paper = compose(
        sometimes(0.22, drawn(lambda rng: (int(rng.integers(1, 4)), _thick(rng, scale)), _scratched)),
        sometimes(0.08, drawn(lambda rng: (int(rng.integers(1, 3)), _thick(rng, scale)), _folded)),
        sometimes(0.2, drawn(lambda rng: int(rng.integers(1, 8)), lambda count: dust(count, scale, 0.8))),
        sometimes(0.06, drawn(lambda rng: int(rng.integers(1, 3)), lambda count: blotches(count, 6 * scale))),
    )
    worn = compose(sometimes(0.8, drawn(lambda rng: _softness(rng, scale), lambda inner: inner)), scan, paper)
    nearly_clean = sometimes(0.5, drawn(lambda rng: float(rng.uniform(0.5, 2) / 255), noise))

    def apply(image: Image, rng: Rng) -> Image:
        kind = nearly_clean if rng.random() < CLEAN_SHARE else worn
        if gentle and rng.random() < gentle:
            kind = little(scale)
        elif harsh and rng.random() < harsh:
            kind = compose(much(side), paper)
        return compose(kind, rounded())(image, rng)

    return apply


def little(scale: float) -> Degradation:
    """Damage of the gentle kind."""
    soft = drawn(lambda rng: scale * rng.uniform(0.2, 0.8), blur)
    specks = drawn(lambda rng: int(rng.integers(1, 4)), lambda count: dust(count, scale, 0.8))
    return compose(soft, drawn(_good_scan, lambda inner: inner), sometimes(0.3, specks))


def much(side: int) -> Degradation:
    """Damage of the harsh kind, but for that of the paper."""
    scale = side / REFERENCE
    soft = drawn(lambda rng: scale * rng.uniform(0.8, 2.4), blur)
    return compose(soft, drawn(lambda rng: _bad_scan(rng, side), lambda inner: inner))


def judged(strength: Strength, side: int) -> Degradation:
    """The damage that results are judged by, on top of the truth's own tone: fixed before anything was trained.

    "medium" leaves about 26 dB between a portrait's degraded crop and the truth.
    """
    scale = side / REFERENCE
    mild = compose(blur(0.5 * scale), at_scale(1.5, compose(grain(0.025, 0.6), jpeg(88))), dust(2, 0.7 * scale))
    medium = compose(
        blur(0.9 * scale), at_scale(2.2, compose(grain(0.045, 0.6), jpeg(75))), scratches(1, 0.6), dust(4, 0.8 * scale)
    )
    heavy = compose(
        blur(1.6 * scale),
        at_scale(3.5, compose(grain(0.07, 0.7), jpeg(55))),
        scratches(3, 0.8, max(1, round(scale))),
        dust(10, scale),
    )
    return compose({"mild": mild, "medium": medium, "heavy": heavy}[strength], rounded())


def _levels(rng: Rng) -> tuple[float, float, float, float]:
    contrast = float(rng.uniform(0.6, 1.1))
    return contrast, contrast, contrast, float(rng.uniform(-0.08, 0.1))


def _softness(rng: Rng, scale: float) -> Degradation:
    """A blur of 0.2 to 2.5 pixels at the reference side; 35 % have a direction, 5 % are the camera's motion."""
    sigma, angle, kind = scale * rng.uniform(0.2, 2.5), float(rng.uniform(0, 180)), rng.random()
    if kind < 0.05:
        return motion(1 + 2 * sigma, angle)
    if kind < 0.4:
        return stretched_blur(sigma, max(0.15, sigma * float(rng.uniform(0.3, 1))), angle)
    return blur(sigma)


def _scan(rng: Rng, side: int) -> Degradation:
    """Noise, grain, a screen and JPEG at a lower resolution; large factors are rare."""
    factor = min(float(1 + 5 * rng.beta(1.1, 2.0)), side / SMALLEST)
    strength, colour = float(rng.uniform(1, 20) / 255), bool(rng.random() < 0.5)
    size = float(rng.uniform(0.5, 1.1)) if rng.random() < 0.3 else 0.0
    film = grain(strength, size) if rng.random() < 0.4 else noise(strength, colour, size)
    screen = halftone(float(rng.uniform(2.5, 5)), float(rng.uniform(0, 90)), float(rng.uniform(0.2, 0.5)))
    inner = compose(sometimes(0.03, screen), sometimes(0.7, film), sometimes(0.7, jpeg(int(rng.integers(30, 96)))))
    return at_scale(factor, inner, DOWN[int(rng.integers(3))], UP[int(rng.integers(2))])


def _good_scan(rng: Rng) -> Degradation:
    """Grain or noise and weak JPEG, at half the resolution at worst."""
    strength, size = float(rng.uniform(1, 12) / 255), float(rng.uniform(0.4, 0.9))
    film = grain(strength, size) if rng.random() < 0.6 else noise(strength, bool(rng.random() < 0.5), size)
    inner = compose(film, sometimes(0.7, jpeg(int(rng.integers(70, 97)))))
    return at_scale(float(rng.uniform(1, 2)), inner, DOWN[int(rng.integers(3))], UP[int(rng.integers(2))])


def _bad_scan(rng: Rng, side: int) -> Degradation:
    """Much grain or noise and JPEG, at two fifths of the resolution at best."""
    strength, size = float(rng.uniform(8, 24) / 255), float(rng.uniform(0.4, 1))
    film = grain(strength, size) if rng.random() < 0.6 else noise(strength, bool(rng.random() < 0.5), size)
    inner = compose(film, sometimes(0.8, jpeg(int(rng.integers(30, 90)))))
    factor = min(float(rng.uniform(2.5, 4.5)), side / SMALLEST)
    return at_scale(factor, inner, DOWN[int(rng.integers(3))], UP[int(rng.integers(2))])


def _thick(rng: Rng, scale: float) -> int:
    """The width of a line on the paper, 1 to 3 pixels at 256."""
    return max(1, round(float(rng.uniform(0.5, 1.5)) * scale))


def _scratched(figures: tuple[int, int]) -> Degradation:
    return scratches(figures[0], 0.95, figures[1])


def _folded(figures: tuple[int, int]) -> Degradation:
    return folds(figures[0], 0.8, figures[1])
