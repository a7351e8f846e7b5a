"""Score: the same measures after as before, for each restored face and for the photo."""

import math
from dataclasses import replace

import cv2
import numpy as np

from models.quality_measure import measure
from stages.align import standard_crop
from stages.photo import Face, FaceStatus, Photo, Pixels
from stages.stage import each

VIEW = 1024  # a photo's own quality is measured at this longer side


class Score:
    """Faces are measured on the standard crop of the pasted photo, photos on a view of at most 1024 pixels."""

    name = "score"

    def __init__(self, aligned: bool) -> None:
        self.aligned = aligned

    def __call__(self, photos: list[Photo]) -> list[Photo]:
        return each(self.name, photos, self.score)

    def score(self, photo: Photo) -> Photo:
        if photo.picture is None or photo.pasted is None:
            return photo
        faces = tuple(self.face(face, photo.pasted) for face in photo.faces)
        before, after = measure(view(photo.picture.rgb)), measure(view(photo.pasted))
        return replace(photo, faces=faces, before=before, after=after)

    def face(self, face: Face, pasted: Pixels) -> Face:
        if face.status is not FaceStatus.RESTORED:
            return face
        crop = pasted if self.aligned else standard_crop(face, pasted)[1]
        return replace(face, after=measure(crop))


def view(photo: Pixels) -> Pixels:
    """``photo`` (H, W, 3) reduced by area so that its longer side is at most ``VIEW``."""
    height, width = photo.shape[:2]
    factor = VIEW / max(height, width)
    if factor >= 1:
        return photo
    size = max(1, math.floor(width * factor)), max(1, math.floor(height * factor))
    return np.asarray(cv2.resize(photo, size, interpolation=cv2.INTER_AREA), np.uint8)
