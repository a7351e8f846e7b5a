"""Where a face lies: templates, the similarity between photo and crop, cutting crops and warping them back.

Coordinates are OpenCV's: (0, 0) is the centre of the first pixel. Templates after ``xinntao/facexlib:facexlib/utils/
face_restoration_helper.py`` (FFHQ) and ``yangxy/GPEN:align_faces.py`` (ArcFace square).
"""

import math
from typing import TypeVar, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from models.method import TemplateName
from stages.photo import Matrix, Pixels

Floats = NDArray[np.float32]
T = TypeVar("T", Pixels, Floats)

FFHQ_512 = np.array(
    [
        [192.98138, 239.94708],
        [318.90277, 240.1936],
        [256.63416, 314.01935],
        [201.26117, 371.41043],
        [313.08905, 371.15118],
    ]
)

ARCFACE_96_112 = np.array(
    [
        [30.29459953, 51.69630051],
        [65.53179932, 51.50139999],
        [48.02519989, 71.73660278],
        [33.54930115, 92.3655014],
        [62.72990036, 92.20410156],
    ]
)

# Centre and side of the LBP cascade's box on the FFHQ template at 512: medians over 28 portraits aligned by YuNet.
CASCADE_BOX_512 = (257.0, 279.0, 294.0)


def template(name: TemplateName, size: int) -> Matrix:
    """The five landmarks' places, (5, 2), in a crop of ``size`` pixels."""
    if name == "ffhq":
        return FFHQ_512 * (size / 512)
    return (ARCFACE_96_112 + [8 + 28, 28]) * (size / 168)


def similarity(points: Matrix, target: Matrix) -> Matrix:
    """The least-squares similarity, (2, 3), from ``points`` (n, 2) to ``target`` (n, 2); never a reflection.

    Umeyama (PAMI 1991), in its closed form for the plane: with points as complex numbers the map is z -> a z + b.
    """
    here, there = points @ [1, 1j], target @ [1, 1j]
    centred = here - here.mean()
    a = np.vdot(centred, there - there.mean()) / np.vdot(centred, centred).real
    b = there.mean() - a * here.mean()
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def from_box(box: tuple[float, float, float, float], size: int) -> Matrix:
    """The upright similarity for a face of which only a frontal box is known: its place on the template's mean face."""
    x, y, width, height = box
    centre_x, centre_y, side = (value * size / 512 for value in CASCADE_BOX_512)
    scale = side / math.sqrt(width * height)
    return np.array(
        [
            [scale, 0, centre_x - scale * (x + (width - 1) / 2)],
            [0, scale, centre_y - scale * (y + (height - 1) / 2)],
        ]
    )


def scale_of(matrix: Matrix) -> float:
    """Crop pixels a photo pixel."""
    return math.hypot(matrix[0, 0], matrix[1, 0])


def inverse(matrix: Matrix) -> Matrix:
    """The similarity back from crop to photo, (2, 3)."""
    whole = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))
    return whole[:2]


def square(matrix: Matrix, size: int, width: int, height: int) -> tuple[int, int, int, int]:
    """The photo's pixels (x0, y0, x1, y1), end excluded, that a crop's square touches; empty (x1 <= x0) if it lies
    outside.
    """
    ends = np.array([[-0.5, -0.5, 1], [size - 0.5, -0.5, 1], [-0.5, size - 0.5, 1], [size - 0.5, size - 0.5, 1]])
    corners = ends @ inverse(matrix).T
    low, high = np.floor(corners.min(0)).astype(int), np.ceil(corners.max(0)).astype(int) + 1
    return max(0, int(low[0])), max(0, int(low[1])), min(width, int(high[0])), min(height, int(high[1]))


def cut(photo: Pixels, matrix: Matrix, size: int) -> Pixels:
    """The crop, (size, size, 3), of ``photo`` (H, W, 3): area-correct when it shrinks, bilinear when it grows,
    mirrored past the border.
    """
    height, width = photo.shape[:2]
    x0, y0, x1, y1 = square(matrix, size, width, height)
    x0, y0, x1, y1 = max(0, x0 - 2), max(0, y0 - 2), min(width, max(x1, x0 + 1) + 2), min(height, max(y1, y0 + 1) + 2)
    x0, y0 = min(x0, width - 1), min(y0, height - 1)
    region, moved = photo[y0:y1, x0:x1], shift(matrix, x0, y0)
    small, moved = shrink(region, moved, scale_of(matrix))
    return np.asarray(
        cv2.warpAffine(small, moved, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101), np.uint8
    )


def warp_back(layers: Floats, matrix: Matrix, x0: int, y0: int, x1: int, y1: int) -> Floats:
    """Crop-space ``layers`` (S, S, C) seen in the photo's window (y1 - y0, x1 - x0, C); zero outside the crop."""
    factor = 1 / scale_of(matrix)
    small, moved = shrink(layers, inverse(matrix), factor)
    moved = moved.copy()
    moved[:, 2] -= [x0, y0]
    warped = cv2.warpAffine(
        small,
        moved,
        (x1 - x0, y1 - y0),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(0, 0, 0, 0),
    )
    return np.asarray(warped, np.float32)


def shift(matrix: Matrix, x: float, y: float) -> Matrix:
    """``matrix`` for a photo whose pixel (x, y) became (0, 0)."""
    moved = matrix.copy()
    moved[:, 2] += matrix[:, :2] @ [x, y]
    return moved


def shrink(source: T, matrix: Matrix, scale: float) -> tuple[T, Matrix]:
    """``source`` reduced by area to about the target's resolution, and the map from there; as it is when ``scale`` >=
    1.
    """
    if scale >= 1:
        return source, matrix
    height, width = source.shape[:2]
    new_width, new_height = max(1, math.ceil(width * scale)), max(1, math.ceil(height * scale))
    small = cv2.resize(source, (new_width, new_height), interpolation=cv2.INTER_AREA)
    step = np.diag([width / new_width, height / new_height])
    moved = np.hstack([matrix[:, :2] @ step, matrix[:, 2:]])
    moved[:, 2] += matrix[:, :2] @ (np.diag(step) / 2 - 0.5)
    return cast("T", small), moved
