"""Align: measure each face, choose its method, and cut its crop from the untouched photo."""

import hashlib
from dataclasses import replace

import numpy as np

from models.method import TemplateName
from models.quality_measure import measure
from stages.geometry import cut, from_box, scale_of, similarity, template
from stages.photo import Face, FaceStatus, FaultClass, Matrix, Photo, PhotoFault, Pixels
from stages.recipe import Recipe
from stages.rules import choose
from stages.stage import each

STANDARD = 512  # quality before and after is measured on this crop, whatever the method


class Align:
    """Faces get their rule, method, seed, matrix and crop, or the reason why they are left."""

    name = "align"

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe

    def __call__(self, photos: list[Photo]) -> list[Photo]:
        return each(self.name, photos, self.align)

    def align(self, photo: Photo) -> Photo:
        if photo.picture is None:
            return photo
        rgb = photo.picture.rgb
        faces = [
            self.aligned(photo, face, rgb) if self.recipe.aligned else self.face(photo, face, rgb)
            for face in photo.faces
        ]
        return replace(photo, faces=tuple(faces))

    def face(self, photo: Photo, face: Face, rgb: Pixels) -> Face:
        """A detected face: quality on the standard crop, then the rule, then the method's own crop."""
        if not usable(face):
            return face.failed("the landmarks or the box are no face's")
        standard, crop = standard_crop(face, rgb)
        face = replace(face, side=STANDARD / scale_of(standard), before=measure(crop))
        choice = choose(self.recipe, photo.source.path, face)
        face = replace(face, rule=choice.rule, strength=choice.strength, reason=choice.reason)
        if choice.method is None:
            return replace(face, status=FaceStatus.LEFT, matrix=standard)
        method = self.recipe.methods[choice.method]
        matrix = locate(face, method.template, method.size)
        same = method.template == "ffhq" and method.size == STANDARD
        crop = crop if same else cut(rgb, matrix, method.size)
        return self.ready(photo, replace(face, matrix=matrix, side=method.size / scale_of(matrix)), choice.method, crop)

    def aligned(self, photo: Photo, face: Face, rgb: Pixels) -> Face:
        """A photo that is one aligned face: it must have the size of its method's crop."""
        face = replace(face, side=float(rgb.shape[0]), before=measure(rgb), matrix=np.eye(2, 3))
        choice = choose(self.recipe, photo.source.path, face)
        face = replace(face, rule=choice.rule, strength=choice.strength, reason=choice.reason)
        if choice.method is None:
            return replace(face, status=FaceStatus.LEFT)
        size = self.recipe.methods[choice.method].size
        if rgb.shape[0] != size:
            message = f"{rgb.shape[1]} x {rgb.shape[0]}, but {choice.method} restores {size} x {size}"
            raise PhotoFault(FaultClass.WRONG_SIZE, message)
        return self.ready(photo, face, choice.method, rgb)

    def ready(self, photo: Photo, face: Face, method: str, crop: Pixels) -> Face:
        seed = seed_of(photo.sha256 or "", face.index, method, self.recipe.seed)
        return replace(face, method=method, crop=crop, seed=seed)


def usable(face: Face) -> bool:
    """Whether there is a crop at all: finite points that do not all coincide, or a box that has a size."""
    points = np.reshape(face.box, (2, 2)) if face.landmarks is None else face.landmarks
    spread = min(face.box[2:]) if face.landmarks is None else float(np.ptp(points, axis=0).max())
    return bool(np.isfinite(points).all()) and spread > 1e-3


def standard_crop(face: Face, rgb: Pixels) -> tuple[Matrix, Pixels]:
    """The matrix and the crop on which every face's quality is measured."""
    matrix = locate(face, "ffhq", STANDARD)
    return matrix, cut(rgb, matrix, STANDARD)


def locate(face: Face, name: TemplateName, size: int) -> Matrix:
    """The matrix that takes the photo to the crop: by landmarks, or by the box where the detector has none."""
    if face.landmarks is None:
        return from_box(face.box, size)
    return similarity(face.landmarks, template(name, size))


def seed_of(sha256: str, index: int, method: str, seed: int) -> int:
    """The face's own 63-bit seed: it depends on the photo's content, the face, the method's name and the run's seed
    alone.
    """
    digest = hashlib.sha256(f"{sha256}/{index}/{method}/{seed}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
