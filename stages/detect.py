"""Decode and detect: the faces of each photo, with the detector of the recipe."""

from dataclasses import replace
from pathlib import Path

from models.detector import Detector
from stages.imaging import Limits, decode
from stages.photo import Face, FaultClass, Photo, PhotoFault
from stages.stage import each

Weights = dict[str, Path]


class Decode:
    """The pixels of each photo, for the stages of one process."""

    name = "decode"

    def __init__(self, limits: Limits) -> None:
        self.limits = limits

    def __call__(self, photos: list[Photo]) -> list[Photo]:
        return each(self.name, photos, self.decode)

    def decode(self, photo: Photo) -> Photo:
        if photo.data is None:
            return photo
        picture = decode(photo.data, photo.source.path, self.limits)
        height, width = picture.rgb.shape[:2]
        how = picture.encoding
        return replace(photo, picture=picture, width=width, height=height, format=how.format, mode=how.mode)


class Detect:
    """Every face that the detector finds, best first."""

    name = "detect"

    def __init__(self, detector: Detector) -> None:
        self.detector = detector

    def __call__(self, photos: list[Photo]) -> list[Photo]:
        return each(self.name, photos, self.detect)

    def detect(self, photo: Photo) -> Photo:
        if photo.picture is None:
            return photo
        found = self.detector.detect([photo.picture.rgb])[0]
        faces = (Face(index, face.box, face.score, face.landmarks) for index, face in enumerate(found))
        return replace(photo, faces=tuple(faces))


class WholePhoto:
    """In place of ``Detect`` where each file already is one aligned face."""

    name = "detect"

    def __call__(self, photos: list[Photo]) -> list[Photo]:
        return each(self.name, photos, self.whole)

    def whole(self, photo: Photo) -> Photo:
        if photo.picture is None:
            return photo
        height, width = photo.picture.rgb.shape[:2]
        if height != width:
            raise PhotoFault(FaultClass.WRONG_SIZE, f"{width} x {height} is not square, as an aligned face must be")
        return replace(photo, faces=(Face(0, (0.0, 0.0, float(width), float(height)), 1.0),))
