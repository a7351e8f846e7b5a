"""The tone line of a photo without colours: grey, sepia or any other tint.

A network paints lips red in a sepia photo. In a photo whose colours all lie near one line from dark to light, the line
says which colour a lightness has; a change then moves a pixel along that line, and its distance to the line stays.
"""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from stages.colour import LUMA, Floats, floats, luma_of
from stages.photo import Pixels

VIEW = 384  # longer side on which the line is sought; averaging takes chroma noise away
BINS = 24
FINE = 16  # steps a level in which the line is read
GREY = 1.5  # levels between channels, nearly everywhere: grey
NEAR, FAR = 6.5, 20.0  # levels off the line that 95 and 99.5 % of a tinted photo's pixels may have at most

Kind = Literal["grey", "tinted", "colour"]


@dataclass(frozen=True, slots=True)
class Tone:
    """``red`` and ``blue`` (256,) are red and blue less luma at each luma; both are zero for grey."""

    kind: Kind
    red: Floats
    blue: Floats

    def along(self, levels: Floats, change: Floats) -> Floats:
        """``change`` (h, w, 3) of ``levels`` (h, w, 3), both sRGB, kept on the line; as it is in a colour photo."""
        if self.kind == "colour":
            return change
        step = luma_of(change)
        if self.kind == "grey":
            return floats(cv2.merge([step, step, step]))
        luma = luma_of(levels)
        return floats(self.at(luma + step) - self.at(luma) + step[..., None])

    def at(self, luma: Floats) -> Floats:
        """What the line adds to grey of a luma (h, w), as (h, w, 3), to 1/16 of a level; its own luma is zero."""
        place = (luma * np.float32(FINE) + np.float32(0.5)).clip(0, 255 * FINE).astype(np.intp)
        red, blue = finer(self.red).take(place), finer(self.blue).take(place)
        green = np.float32(-LUMA[0] / LUMA[1]) * red - np.float32(LUMA[2] / LUMA[1]) * blue
        return floats(cv2.merge([red, green, blue]))


def finer(line: Floats) -> Floats:
    """``line`` (256,) at every 1/16 level, (4081,)."""
    return floats(np.interp(np.arange(255 * FINE + 1) / FINE, np.arange(256), line))


NONE = np.zeros(256, np.float32)
COLOUR = Tone("colour", NONE, NONE)


def tone_of(view: Pixels) -> Tone:
    """The tone of a photo, seen in any size, (h, w, 3) uint8 sRGB."""
    factor = VIEW / max(view.shape[:2])
    if factor < 1:
        size = max(1, round(view.shape[1] * factor)), max(1, round(view.shape[0] * factor))
        view = np.asarray(cv2.resize(view, size, interpolation=cv2.INTER_AREA), np.uint8)
    levels = view.astype(np.float32)
    luma = luma_of(levels)
    chroma = (levels[..., [0, 2]] - luma[..., None]).astype(np.float32)
    if np.quantile(np.abs(chroma).max(axis=2), 0.995) <= GREY:
        return Tone("grey", NONE, NONE)
    line = fitted(luma.ravel(), chroma.reshape(-1, 2))
    off = np.linalg.norm(chroma - line[np.rint(luma).astype(int).clip(0, 255)], axis=2)
    if np.quantile(off, 0.95) > NEAR or np.quantile(off, 0.995) > FAR:
        return COLOUR
    return Tone("tinted", line[:, 0].copy(), line[:, 1].copy())


def fitted(luma: Floats, chroma: Floats) -> Floats:
    """The mean chroma (256, 2) at each luma, from bins of luma that hold something; straight between and beyond."""
    which = (luma * (BINS / 256)).astype(int).clip(0, BINS - 1)
    count = np.bincount(which, minlength=BINS)
    held = count > max(4, luma.size // 5000)
    if not held.any():
        held = count > 0
    centre = np.bincount(which, luma, BINS)[held] / count[held]
    sums = [np.bincount(which, chroma[:, axis], BINS)[held] / count[held] for axis in (0, 1)]
    return np.stack([np.interp(np.arange(256), centre, mean) for mean in sums], axis=1).astype(np.float32)
