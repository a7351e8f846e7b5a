"""How far a restored face still is what its crop showed: low frequencies compared, structure and colour apart.

What a degraded crop shows for certain are its low frequencies: noise, blur and compression spare them. Both pictures
are reduced to a few cells over the face, so coarse that the photo's own pixels can fill them.
"""

from functools import lru_cache

import cv2
import numpy as np

from stages.colour import Floats, floats
from stages.photo import Pixels

MOST_CELLS, FEWEST_CELLS = 32, 12  # along the crop's side
PIXELS_PER_CELL = 2  # of the photo, at least
FINER = 4  # the low pass is computed on this many pixels a cell
LIGHT = 1 / 8  # sigma of what is taken away before structures are compared, as a share of the side
CENTRE, SPREAD = (0.5, 0.56), (0.17, 0.2)  # of the window over the face, x and y, as shares of the side
LUMA = (0.299, 0.587, 0.114)
FLAT = 1.0  # levels: less structure than that says nothing


def structure(crop: Pixels, restored: Pixels, side: float) -> float | None:
    """The correlation of the lightness patterns of two pictures (S, S, 3), in [-1, 1]; None where the crop has none.

    ``side`` is that of the crop's square in the photo, in pixels. The light's slow course is taken away first, and a
    change of contrast does not count.
    """
    count = cells_for(side)
    one, other = (pattern(picture, count) for picture in (crop, restored))
    weight = window(count)
    spread = [float(np.sqrt((weight * values**2).sum())) for values in (one, other)]
    if spread[0] < FLAT:
        return None
    return float((weight * one * other).sum()) / (spread[0] * max(spread[1], FLAT / 10))


def colour(crop: Pixels, restored: Pixels, side: float) -> float:
    """The distance of the mean colours of two faces (S, S, 3), in units of CIELAB (CIE 1976)."""
    count = cells_for(side)
    one, other = (
        cv2.cvtColor(cells(picture, count) / np.float32(255), cv2.COLOR_RGB2LAB) for picture in (crop, restored)
    )
    shift = ((other - one) * window(count)[..., None]).sum((0, 1))
    return float(np.linalg.norm(shift))


def cells_for(side: float) -> int:
    """How many cells along its side a face of this size in the photo can fill."""
    return int(np.clip(side / PIXELS_PER_CELL, FEWEST_CELLS, MOST_CELLS))


def cells(picture: Pixels, count: int) -> Floats:
    """(S, S, 3) levels as (count, count, 3), each the mean about its cell under a soft edge."""
    finer = (FINER * count,) * 2
    reduced = floats(cv2.resize(floats(picture), finer, interpolation=cv2.INTER_AREA))
    smooth = cv2.GaussianBlur(reduced, (0, 0), FINER / 2)
    return floats(cv2.resize(smooth, (count, count), interpolation=cv2.INTER_AREA))


def pattern(picture: Pixels, count: int) -> Floats:
    """The lightness of ``cells``, (count, count), without the light's slow course and of mean 0 in the window."""
    light = floats(cells(picture, count) @ np.array(LUMA, np.float32))
    light = light - floats(cv2.GaussianBlur(light, (0, 0), LIGHT * count))
    return floats(light - (window(count) * light).sum())


@lru_cache(maxsize=32)
def window(count: int) -> Floats:
    """The weight of each cell, (count, count), of sum 1: a bell over the face."""
    place = (np.arange(count) + 0.5) / count
    x, y = (np.exp(-(((place - middle) / spread) ** 2) / 2) for middle, spread in zip(CENTRE, SPREAD, strict=True))
    bell = np.outer(y, x)
    found = (bell / bell.sum()).astype(np.float32)
    found.setflags(write=False)
    return found
