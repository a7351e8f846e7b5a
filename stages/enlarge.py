"""Enlarge: the photo at two or four times its size, for results that are to be larger than their photos.

The background is enlarged by Lanczos, or by a network through spandrel; the faces are pasted into it afterwards, at the
larger size, from the same crops.
"""

from dataclasses import replace
from typing import Protocol

import cv2
import numpy as np

from stages.canvas import Canvas
from stages.codec import Limits
from stages.colour import floats
from stages.enlarged import Enlarged
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
    """Photos that have a restored face get an enlarged picture in place of their own."""

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
        if len(photo.picture.pages) > 1:
            raise PhotoFault(FaultClass.UNWRITABLE, "a file of several pages cannot be enlarged")
        page = photo.picture.pages[0]
        if page.width * page.height * self.scale**2 > self.limits.max_pixels:
            raise PhotoFault(FaultClass.TOO_LARGE, f"{self.scale} times larger it has too many pixels")
        return replace(photo, picture=Enlarged(photo.picture, self.scale, self.samples(Canvas(photo.picture))))

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
        network = self.upscaler.enlarge(canvas.rgb(whole))
        network = np.asarray(cv2.resize(network, size, interpolation=cv2.INTER_AREA), np.uint8)
        levels = canvas.colour.to_srgb(plain)
        change = tone_of(canvas.view(TONE_VIEW)).along(levels, floats(network - levels))
        return canvas.colour.changed(plain, change)
