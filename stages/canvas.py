"""A page as sRGB levels, window by window: what detectors and networks see of a photo in any colour space and depth."""

from collections.abc import Sequence
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.codec import decoder_faults
from stages.colour import Colour, Floats
from stages.enlarged import Enlarged
from stages.geometry import enlarged
from stages.photo import Matrix, Pixels
from stages.picture import Edit, Raster, Samples, Window

MOST_PIXELS = 4_000_000  # that are turned into floats at once
Scalar = TypeVar("Scalar", bound=np.generic)


class Canvas:
    """One page of ``raster``, with ``edits`` laid over it. Reads what it is asked for, and keeps nothing.

    What a decoder raises becomes the photo's fault here (``PhotoFault``).
    """

    def __init__(self, raster: Raster, page: int = 0, edits: Sequence[Edit] = ()) -> None:
        self.raster = raster
        self.page = page
        self.facts = raster.pages[page]
        self.colour = Colour(self.facts)
        self._edits = [edit for edit in edits if edit.page == page]

    @property
    def scale(self) -> int:
        """How many times larger the page is than the photo that the faces were found in."""
        return self.raster.scale if isinstance(self.raster, Enlarged) else 1

    def matrix(self, matrix: Matrix) -> Matrix:
        """A face's matrix, from the photo to its crop, for this page."""
        return matrix if self.scale == 1 else enlarged(matrix, self.scale)

    @property
    def width(self) -> int:
        return self.facts.width

    @property
    def height(self) -> int:
        return self.facts.height

    def samples(self, window: Window) -> Samples:
        """The file's own samples in a window, (h, w, channels), the edits in their places."""
        with decoder_faults():
            found = self.raster.window(self.page, window)
        touching = [edit for edit in self._edits if overlap(edit.window, window)]
        if not touching:
            return found
        result = np.array(found)
        for edit in touching:
            shared = common(edit.window, window)
            view(result, moved(shared, window))[...] = view(edit.samples, moved(shared, edit.window))
        return result

    def levels(self, window: Window) -> Floats:
        """sRGB levels (h, w, 3), float32, 0 to 255."""
        return self.colour.to_srgb(self.samples(window))

    def rgb(self, window: Window) -> Pixels:
        """sRGB (h, w, 3) uint8, rounded."""
        x0, y0, x1, y1 = window
        found = np.empty((y1 - y0, x1 - x0, 3), np.uint8)
        for band in bands(window):
            found[band[1] - y0 : band[3] - y0] = rounded(self.levels(band))
        return found

    def view(self, longest: int) -> Pixels:
        """The whole page in sRGB, (h, w, 3) uint8, its longer side at most ``longest`` pixels; never enlarged.

        Edits are not in it.
        """
        with decoder_faults():
            found = self.raster.samples(self.page, longest)
        factor = longest / max(found.shape[:2])
        if factor < 1:
            size = max(1, round(found.shape[1] * factor)), max(1, round(found.shape[0] * factor))
            found = np.asarray(cv2.resize(found, size, interpolation=cv2.INTER_AREA), found.dtype)
            found = found.reshape(*found.shape[:2], -1)
        return rounded(self.colour.to_srgb(found))


def bands(window: Window) -> list[Window]:
    """``window`` in horizontal bands of at most ``MOST_PIXELS``, so that a large one needs no more memory."""
    x0, y0, x1, y1 = window
    rows = max(1, MOST_PIXELS // max(1, x1 - x0))
    return [(x0, top, x1, min(top + rows, y1)) for top in range(y0, y1, rows)]


def rounded(levels: Floats) -> Pixels:
    return np.rint(levels).clip(0, 255).astype(np.uint8)


def overlap(one: Window, other: Window) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def common(one: Window, other: Window) -> Window:
    """The window that two windows share."""
    return max(one[0], other[0]), max(one[1], other[1]), min(one[2], other[2]), min(one[3], other[3])


def moved(window: Window, origin: Window) -> Window:
    """``window`` as it lies inside ``origin``."""
    x, y = origin[:2]
    return window[0] - x, window[1] - y, window[2] - x, window[3] - y


def view(array: NDArray[Scalar], window: Window) -> NDArray[Scalar]:
    """The window (x0, y0, x1, y1) of an image."""
    x0, y0, x1, y1 = window
    return array[y0:y1, x0:x1]
