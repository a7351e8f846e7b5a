"""Stages for ``benchmarks/engine.py``: they read a photo and wait; a run's children import this module."""

import time
from dataclasses import replace

import numpy as np

from pipeline.job import Job
from stages.geometry import template
from stages.photo import Face, FaceStatus, Photo, Pixels
from stages.read import Read
from stages.stage import Stage, spent
from stages.write import Conclude

SIDE = 512
SECONDS = 1.0  # of fake GPU work a batch


class Cut:
    """One face a photo, its crop made of the file's first bytes."""

    name = "align"

    def __call__(self, photos: list[Photo]) -> list[Photo]:
        return [replace(photo, faces=(face(photo.data),)) if photo.data is not None else photo for photo in photos]


def face(data: Pixels) -> Face:
    crop = np.resize(data[: SIDE * SIDE * 3], (SIDE, SIDE, 3))
    box = (0.0, 0.0, float(SIDE), float(SIDE))
    return Face(0, box, 1.0, template("ffhq", SIDE), method="classic", crop=crop, seed=1, matrix=np.eye(2, 3))


class Sleep:
    """A method on a GPU, as the CPU sees it: the batch is away for a second and comes back."""

    name = "restore"

    def __call__(self, photos: list[Photo]) -> list[Photo]:
        time.sleep(SECONDS)
        return [spent(restored(photo), self.name, SECONDS / len(photos)) for photo in photos]


def restored(photo: Photo) -> Photo:
    faces = (replace(face, status=FaceStatus.RESTORED, restored=face.crop) for face in photo.faces)
    return replace(photo, faces=tuple(faces))


class Forget:
    """The end of the way: nothing is stored."""

    name = "write"

    def __call__(self, photos: list[Photo]) -> list[Photo]:
        left = (replace(face, status=FaceStatus.LEFT, restored=None) for photo in photos for face in photo.faces)
        return [replace(photo, faces=(next(left),)) if photo.faces else photo for photo in photos]


def prepare(job: Job) -> list[Stage]:
    return [Read(job.storage, job.limits), Cut()]


def restore(job: Job, name: str) -> list[Stage]:
    return [Sleep()]


def finish(job: Job) -> list[Stage]:
    return [Forget(), Conclude()]
