"""Landmarks from a list: a CSV beside the photos says where their faces are, and no detector is asked for these photos.

Its header is ``path,x1,y1,x2,y2,x3,y3,x4,y4,x5,y5``: the photo's path as the manifest has it, then the eye on the left
of the picture, the eye on its right, the tip of the nose, the left and the right corner of the mouth, in pixels of the
upright photo's first page, (0, 0) the centre of the first pixel. Further columns are passed over. A photo of several
faces has a row for each.
"""

import csv
import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from infra.errors import ConfigError
from infra.storage import Storage
from stages.photo import Face, Matrix, Photo
from stages.stage import Stage

Landmarks = Mapping[str, Sequence[Matrix]]  # by the photo's path, (5, 2) a face

COLUMNS = tuple(f"{axis}{number}" for number in range(1, 6) for axis in "xy")
HINT = f"a list of landmarks has the columns path,{','.join(COLUMNS)}"


def read_landmarks(storage: Storage, uri: str) -> tuple[Landmarks, str]:
    """The list at ``uri``, and its SHA-256. What is wrong in it is the operator's ``ConfigError``."""
    data = storage.read(uri)
    try:
        rows = csv.DictReader(io.StringIO(data.decode("utf-8-sig")))
        missing = [name for name in ("path", *COLUMNS) if name not in (rows.fieldnames or ())]
    except UnicodeDecodeError:
        raise ConfigError(f"'{uri}' is not UTF-8", HINT) from None
    if missing:
        raise ConfigError(f"'{uri}' has no column {missing[0]}", HINT)
    found: dict[str, list[Matrix]] = {}
    for number, row in enumerate(rows, 1):
        found.setdefault(row["path"], []).append(points(row, f"row {number} of '{uri}'"))
    return found, hashlib.sha256(data).hexdigest()


def points(row: Mapping[str, str | None], where: str) -> Matrix:
    """One face's landmarks (5, 2)."""
    try:
        values = np.array([float(row[name] or "") for name in COLUMNS]).reshape(5, 2)
    except ValueError:
        raise ConfigError(f"{where} has a coordinate that is no number", HINT) from None
    if not np.isfinite(values).all() or np.ptp(values, axis=0).max() < 1:
        raise ConfigError(f"{where} has landmarks that are no face's", HINT)
    return values


class Listed:
    """Faces of listed photos come from the list, of others from ``detect``."""

    name = "detect"

    def __init__(self, landmarks: Landmarks, detect: Stage) -> None:
        self.landmarks = landmarks
        self.detect = detect

    def __call__(self, photos: list[Photo]) -> list[Photo]:
        others = iter(self.detect([photo for photo in photos if not self.knows(photo)]))
        return [self.listed(photo) if self.knows(photo) else next(others) for photo in photos]

    def knows(self, photo: Photo) -> bool:
        return photo.open and photo.picture is not None and photo.source.path in self.landmarks

    def listed(self, photo: Photo) -> Photo:
        every = enumerate(self.landmarks[photo.source.path])
        return replace(photo, faces=tuple(Face(index, box_of(one), 1.0, one) for index, one in every))


class ListedWhole:
    """Where each file is one aligned face, as ``whole`` finds it: the first row of a listed one has its landmarks."""

    name = "detect"

    def __init__(self, landmarks: Landmarks, whole: Stage) -> None:
        self.landmarks = landmarks
        self.whole = whole

    def __call__(self, photos: list[Photo]) -> list[Photo]:
        return [self.with_landmarks(photo) for photo in self.whole(photos)]

    def with_landmarks(self, photo: Photo) -> Photo:
        given = self.landmarks.get(photo.source.path)
        if given is None or not photo.faces:
            return photo
        return replace(photo, faces=(replace(photo.faces[0], landmarks=given[0]), *photo.faces[1:]))


def box_of(points: Matrix) -> tuple[float, float, float, float]:
    """x, y, width and height of what ``points`` (5, 2) span."""
    (x, y), (width, height) = points.min(0), np.ptp(points, axis=0)
    return float(x), float(y), float(width), float(height)
