"""Align: measure each face, choose its method, and cut its crop from the untouched photo."""

import hashlib
from dataclasses import replace

import numpy as np

from models.method import TemplateName
from models.quality_measure import measure
from stages.canvas import Canvas
from stages.geometry import cut_from, from_box, residual_of, scale_of, similarity, template
from stages.photo import Face, FaceStatus, FaultClass, Matrix, Photo, PhotoFault, Pixels
from stages.recipe import Recipe
from stages.rules import STANDARD, choose
from stages.stage import each


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
        place = self.aligned if self.recipe.aligned else self.face
        canvases = {page: Canvas(photo.picture, page) for page in {face.page for face in photo.faces}}
        return replace(photo, faces=tuple(place(photo, face, canvases[face.page]) for face in photo.faces))

    def face(self, photo: Photo, face: Face, canvas: Canvas) -> Face:
        """A detected face: quality on the standard crop, then the rule, then the method's own crop."""
        if not usable(face):
            return face.failed("the landmarks or the box are no face's")
        standard, crop = standard_crop(face, canvas)
        face = replace(
            face, side=STANDARD / scale_of(standard), before=measure(crop), residual=residual(face, standard)
        )
        limit = self.recipe.detect.residual if self.recipe.detect else 0
        if face.residual is not None and face.residual > limit:
            reason = f"the landmarks are {face.residual:.0f} px from a face's, more than {limit:g}"
            return replace(face, status=FaceStatus.REJECTED, reason=reason, matrix=standard)
        choice = choose(self.recipe, photo.source.path, face)
        face = replace(face, rule=choice.rule, strength=choice.strength, paste=choice.paste, reason=choice.reason)
        if choice.method is None:
            return replace(face, status=FaceStatus.LEFT, matrix=standard)
        method = self.recipe.methods[choice.method]
        matrix = locate(face, method.template, method.size)
        same = method.template == "ffhq" and method.size == STANDARD
        crop = crop if same else cut_from(canvas, matrix, method.size)
        return self.ready(photo, replace(face, matrix=matrix, side=method.size / scale_of(matrix)), choice.method, crop)

    def aligned(self, photo: Photo, face: Face, canvas: Canvas) -> Face:
        """A page that is one aligned face: it must have the size of its method's crop."""
        rgb = canvas.rgb((0, 0, canvas.width, canvas.height))
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


def standard_crop(face: Face, canvas: Canvas) -> tuple[Matrix, Pixels]:
    """The matrix and the crop on which every face's quality is measured."""
    matrix = locate(face, "ffhq", STANDARD)
    return matrix, cut_from(canvas, canvas.matrix(matrix), STANDARD)


def residual(face: Face, standard: Matrix) -> float | None:
    """How far the landmarks are from the template's in the standard crop; None without landmarks."""
    if face.landmarks is None:
        return None
    return residual_of(face.landmarks, template("ffhq", STANDARD), standard)


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
