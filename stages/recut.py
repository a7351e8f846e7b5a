"""Cut faces once more out of photos that are done: by the matrices in their rows, from the bytes that the rows know.

Used where training data is taken out of an archive (``pipeline.export``).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from infra.storage import Storage
from stages.canvas import Canvas
from stages.codec import Limits, open_picture
from stages.geometry import cut, cut_from, enlarged, inverse
from stages.photo import FaultClass, Matrix, PhotoFault, Pixels


@dataclass(frozen=True, slots=True)
class Cut:
    """One crop: of ``page``, by ``matrix`` (2, 3) from photo to crop, of ``size`` pixels."""

    page: int
    matrix: Matrix
    size: int


class Changed(PhotoFault):
    """The object is there, and has other content than its row says."""

    def __init__(self, uri: str) -> None:
        super().__init__(FaultClass.NOT_FOUND, f"{uri} has other content than its row says")


def recut(
    storage: Storage, uri: str, name: str, sha256: str, limits: Limits, cuts: Sequence[Cut], scale: int = 1
) -> list[Pixels]:
    """The crops (size, size, 3) uint8 sRGB of the photo at ``uri``, in the order of ``cuts``.

    ``name`` tells the format that is expected, ``sha256`` the content. ``scale`` is how many times larger the photo is
    than the one that the matrices are of. Raises ``StorageFault``, ``Changed``, or ``PhotoFault``.
    """
    data = storage.read(uri)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise Changed(uri)
    picture = open_picture(np.frombuffer(data, np.uint8), name, limits)
    canvases = {page: Canvas(picture, page) for page in {one.page for one in cuts}}
    return [cut_from(canvases[one.page], at_scale(one.matrix, scale), one.size) for one in cuts]


def at_scale(matrix: Matrix, scale: int) -> Matrix:
    return matrix if scale == 1 else enlarged(matrix, scale)


def resized(matrix: Matrix, size: int, wanted: int) -> Matrix:
    """``matrix`` of a crop of ``size`` pixels for one of ``wanted`` pixels with the same square."""
    factor = wanted / size
    moved = matrix * factor
    moved[:, 2] += (factor - 1) / 2
    return moved


def from_crop(crop: Pixels, matrix: Matrix, wanted: Matrix, size: int) -> Pixels:
    """The crop by ``wanted``, (size, size, 3), out of another ``crop`` that ``matrix`` made of the same photo."""
    back = inverse(matrix)
    step = np.hstack([wanted[:, :2] @ back[:, :2], (wanted[:, :2] @ back[:, 2] + wanted[:, 2])[:, None]])
    if size == crop.shape[0] and np.allclose(step, np.eye(2, 3), atol=1e-6):
        return crop
    return cut(crop, step, size)
