"""Enlarge: the photo at two or four times its size, for results that are to be larger than their photos.

The background is enlarged by Lanczos, or by a network through spandrel; the faces are pasted into it afterwards, at the
larger size, from the same crops.
"""

from dataclasses import replace
from typing import Protocol

import cv2
import numpy as np

from stages.canvas import Canvas, bands
from stages.codec import Limits
from stages.colour import floats
from stages.enlarged import Enlarged
from stages.output import single
from stages.photo import FaultClass, Photo, PhotoFault, Pixels
from stages.picture import Samples
from stages.stage import each
from stages.tone import tone_of

TONE_VIEW = 1024


class Upscaler(Protocol):
    """A network that enlarges photos; ``models.upscaler.Upscaler`` is one."""

    @property
    def scale(self) -> int: ...
    def enlarge(self, photo: Pixels) -> Pixels: ...


class Enlarge:
    """Photos that have a restored face get an enlarged raster beside their picture."""

    name = "enlarge"

    def __init__(self, scale: int, limits: Limits, upscaler: Upscaler | None = None) -> None:
        self.scale = scale
        self.limits = limits
        self.upscaler = upscaler

    def __call__(self, photos: list[Photo]) -> list[Photo]:
        return each(self.name, photos, self.enlarge)

    def enlarge(self, photo: Photo) -> Photo:
        if photo.picture is None or not any(face.restored is not None for face in photo.faces):
            return photo
        if not single(photo.picture):
            raise PhotoFault(FaultClass.UNWRITABLE, "a file of several pages cannot be enlarged")
        page = photo.picture.pages[0]
        if page.width * page.height * self.scale**2 > self.limits.max_pixels:
            raise PhotoFault(FaultClass.TOO_LARGE, f"{self.scale} times larger it has too many pixels")
        return replace(photo, enlarged=Enlarged(photo.picture, self.scale, self.samples(Canvas(photo.picture))))

    def samples(self, canvas: Canvas) -> Samples:
        """The page's samples, enlarged. What a network makes of them is taken as a change of colour, too: a photo
        without colours gets none.
        """
        whole = (0, 0, canvas.width, canvas.height)
        size = canvas.width * self.scale, canvas.height * self.scale
        stored = canvas.samples(whole)
        plain = cv2.resize(stored, size, interpolation=cv2.INTER_LANCZOS4).reshape(size[1], size[0], -1)
        plain = np.asarray(plain, stored.dtype)
        if self.upscaler is None:
            return plain
        return self.with_network(canvas, plain, self.upscaler)

    def with_network(self, canvas: Canvas, plain: Samples, upscaler: Upscaler) -> Samples:
        """``plain`` with what the network makes of the page, along the photo's own tone line; writes into ``plain``."""
        height, width = plain.shape[:2]
        network = enlarged_by(upscaler, canvas, (width, height))
        tone = tone_of(canvas.view(TONE_VIEW))
        for x0, y0, x1, y1 in bands((0, 0, width, height)):
            part = plain[y0:y1, x0:x1]
            levels = canvas.colour.to_srgb(part)
            change = tone.along(levels, floats(network[y0:y1, x0:x1] - levels))
            plain[y0:y1, x0:x1] = canvas.colour.changed(part, change)
        return plain


def enlarged_by(upscaler: Upscaler, canvas: Canvas, size: tuple[int, int]) -> Pixels:
    """What a network makes of a page, at the ``size`` (width, height) that was asked for."""
    try:
        found = upscaler.enlarge(canvas.rgb((0, 0, canvas.width, canvas.height)))
    except FloatingPointError as error:
        raise PhotoFault(FaultClass.UNWRITABLE, f"the upscaler failed: {error}") from error
    how = cv2.INTER_AREA if found.shape[1] > size[0] else cv2.INTER_CUBIC
    return found if found.shape[1] == size[0] else np.asarray(cv2.resize(found, size, interpolation=how), np.uint8)
