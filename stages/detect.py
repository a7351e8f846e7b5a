"""Decode and detect: the faces of each photo, with the detector of the recipe."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from models.detector import Detection, Detector
from stages.canvas import Canvas
from stages.codec import Limits, open_picture
from stages.colour import profile_name
from stages.photo import Face, Fault, FaultClass, Matrix, Photo, PhotoFault, Pixels
from stages.picture import Picture
from stages.stage import each, one, spent

Weights = dict[str, Path]


class Decode:
    """Opens each photo's file: its headers are read, its caps checked, and nothing decoded before somebody asks."""

    name = "decode"

    def __init__(self, limits: Limits) -> None:
        self.limits = limits

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
        return photo


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


@dataclass(frozen=True, slots=True)
class View:
    """A page as the detector sees it: (h, w, 3) uint8 sRGB, reduced from the page's ``width`` and ``height``.

    ``photo`` is its photo's place in the batch.
    """

    photo: int
    page: int
    rgb: Pixels
    width: int
    height: int


class Detect:
    """Every face that the detector finds, page by page, best first.

    Pages are decoded so far that their longer side has at least ``longest`` pixels, and go through the detector
    ``together`` at a time, whatever photos they are of. ``smallest`` is the shorter side of the smallest box that
    counts, in pixels of the photo.
    """

    name = "detect"

    def __init__(self, detector: Detector, smallest: float, longest: int, together: int = 1) -> None:
        self.detector = detector
        self.smallest = smallest
        self.longest = longest
        self.together = together

    def __call__(self, photos: list[Photo]) -> list[Photo]:
        work = list(photos)
        pages = [
            (index, page)
            for index, photo in enumerate(photos)
            if photo.open and photo.picture is not None
            for page, facts in enumerate(photo.picture.pages)
            if not facts.passed
        ]
        for start in range(0, len(pages), self.together):
            views = [view for place in pages[start : start + self.together] if (view := self.look(work, *place))]
            self.search(work, views)
        return work

    def look(self, work: list[Photo], index: int, page: int) -> View | None:
        """One page for the detector; None if its photo has failed, or fails now."""
        if not work[index].open:
            return None
        found: list[View] = []

        def view(photo: Photo) -> Photo:
            if photo.picture is not None:
                canvas = Canvas(photo.picture, page)
                found.append(View(index, page, canvas.view(self.longest), canvas.width, canvas.height))
                if self.together > 1:  # the pictures of a whole batch are open
                    photo.picture.let_go()
            return photo

        work[index] = one(Decode.name, work[index], view)
        return found[0] if found else None

    def search(self, work: list[Photo], views: Sequence[View]) -> None:
        """Add what the detector finds in ``views`` to their photos."""
        started = time.perf_counter()
        found = self.detector.detect([view.rgb for view in views]) if views else []
        share = (time.perf_counter() - started) / max(1, len(views))
        for view, finds in zip(views, found, strict=True):
            photo = work[view.photo]
            work[view.photo] = spent(self.with_faces(photo, view, finds), self.name, share)

    def with_faces(self, photo: Photo, view: View, finds: Sequence[Detection]) -> Photo:
        """``photo`` with those finds in a view that are large enough."""
        placed = [enlarged(find, view) for find in finds]
        large = [find for find in placed if min(find.box[2:]) >= self.smallest]
        faces = (
            Face(len(photo.faces) + index, find.box, find.score, find.landmarks, page=view.page)
            for index, find in enumerate(large)
        )
        return replace(photo, faces=(*photo.faces, *faces))


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
