"""Decode and detect: the faces of each photo, with the detector of the recipe."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from models.detector import Detection, Detector
from stages.canvas import Canvas
from stages.codec import Limits, open_picture
from stages.colour import profile_name
from stages.photo import Face, Fault, FaultClass, Matrix, Photo, PhotoFault, View
from stages.picture import Picture
from stages.stage import each, spent

Weights = dict[str, Path]


class Decode:
    """Opens each photo's file. With ``longest``, its pages are decoded so far that their longer side has at least so
    many pixels, for the detector; without it nothing is decoded before a later stage asks.
    """

    name = "decode"

    def __init__(self, limits: Limits, longest: int | None = None) -> None:
        self.limits = limits
        self.longest = longest

    def __call__(self, photos: list[Photo]) -> list[Photo]:
        return each(self.name, photos, self.decode)

    def decode(self, photo: Photo) -> Photo:
        if photo.data is None:
            return photo
        picture = open_picture(photo.data, photo.source.path, self.limits)
        photo = with_facts(photo, picture)
        passed = sorted({page.passed for page in picture.pages})
        if all(passed):
            return photo.failed(Fault(self.name, FaultClass.PASSED, f"handed through untouched: {', '.join(passed)}"))
        return replace(photo, views=views(picture, self.longest)) if self.longest else photo


def with_facts(photo: Photo, picture: Picture) -> Photo:
    """``photo`` opened."""
    first = picture.pages[0]
    return replace(
        photo,
        picture=picture,
        width=first.width,
        height=first.height,
        format=picture.format,
        mode=first.mode,
        depth=first.depth,
        pages=len(picture.pages),
        profile=profile_name(first.icc),
    )


def views(picture: Picture, longest: int) -> tuple[View, ...]:
    """Every page that is worked on, as the detector sees it."""
    wanted = [index for index, page in enumerate(picture.pages) if not page.passed]
    canvases = [Canvas(picture, index) for index in wanted]
    return tuple(View(canvas.page, canvas.view(longest), canvas.width, canvas.height) for canvas in canvases)


class Detect:
    """Every face that the detector finds, page by page, best first; photos go through the detector together.

    ``smallest`` is the shorter side of the smallest box that counts, in pixels of the photo.
    """

    name = "detect"

    def __init__(self, detector: Detector, smallest: float) -> None:
        self.detector = detector
        self.smallest = smallest

    def __call__(self, photos: list[Photo]) -> list[Photo]:
        started = time.perf_counter()
        seen = [view for photo in photos if photo.open for view in photo.views]
        found = iter(self.detector.detect([view.rgb for view in seen]) if seen else [])
        done = [replace(photo, faces=self.faces(photo.views, found)) if photo.open else photo for photo in photos]
        share = (time.perf_counter() - started) / max(1, len(seen))
        return [
            spent(replace(photo, views=()), self.name, share * len(photo.views)) if photo.open else photo
            for photo in done
        ]

    def faces(self, views: Sequence[View], found: Iterator[list[Detection]]) -> tuple[Face, ...]:
        """The faces of one photo, whose views take the next results."""
        pairs = [(view, enlarged(one, view)) for view in views for one in next(found)]
        kept = [(view, one) for view, one in pairs if min(one.box[2:]) >= self.smallest]
        return tuple(
            Face(index, one.box, one.score, one.landmarks, page=view.page) for index, (view, one) in enumerate(kept)
        )


def enlarged(found: Detection, view: View) -> Detection:
    """A find in a view, in pixels of its page."""
    scale = np.array([view.width / view.rgb.shape[1], view.height / view.rgb.shape[0]])
    (x, y), (width, height) = placed(np.array([found.box[:2]]), scale)[0], scale * found.box[2:]
    landmarks = None if found.landmarks is None else placed(found.landmarks, scale)
    return Detection((float(x), float(y), float(width), float(height)), landmarks, found.score)


def placed(points: Matrix, scale: Matrix) -> Matrix:
    """Points (n, 2) of a reduced picture in the whole one; (0, 0) is the centre of the first pixel in both."""
    return (points + 0.5) * scale - 0.5


class WholePhoto:
    """In place of ``Detect`` where each file already is one aligned face."""

    name = "detect"

    def __call__(self, photos: list[Photo]) -> list[Photo]:
        return each(self.name, photos, self.whole)

    def whole(self, photo: Photo) -> Photo:
        if photo.picture is None:
            return photo
        pages = [(index, page) for index, page in enumerate(photo.picture.pages) if not page.passed]
        for _, page in pages:
            if page.height != page.width:
                message = f"{page.width} x {page.height} is not square, as an aligned face must be"
                raise PhotoFault(FaultClass.WRONG_SIZE, message)
        faces = [
            Face(number, (0.0, 0.0, float(page.width), float(page.height)), 1.0, page=index)
            for number, (index, page) in enumerate(pages)
        ]
        return replace(photo, faces=tuple(faces))
