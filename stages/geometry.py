"""Where a face lies: templates, the similarity between photo and crop, cutting crops and warping them back.

Coordinates are OpenCV's: (0, 0) is the centre of the first pixel. Templates after ``xinntao/facexlib:facexlib/utils/
face_restoration_helper.py`` (FFHQ) and ``yangxy/GPEN:align_faces.py`` (ArcFace square).
"""

import math
from typing import Protocol, TypeVar, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from models.method import TemplateName
from stages.photo import Matrix, Pixels
from stages.picture import Window

Floats = NDArray[np.float32]
T = TypeVar("T", Pixels, Floats)


class Canvas(Protocol):
    """A page that is read window by window; ``stages.canvas.Canvas`` is one."""

    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...
    def rgb(self, window: Window) -> Pixels: ...


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

BLUR_PAST_BORDER = 0.02  # sigma, as a share of the crop's side
SOFT_AFTER = 0.03  # of the side past the border the mirror image is wholly blurred
FLAT_AFTER = 0.35  # of the side further out nothing is left of it

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


def residual_of(points: Matrix, target: Matrix, matrix: Matrix) -> float:
    """Root mean square distance, in crop pixels, of ``points`` (n, 2), taken there by ``matrix``, to ``target``."""
    off = points @ matrix[:, :2].T + matrix[:, 2] - target
    return float(np.sqrt((off**2).sum(axis=1).mean()))


def scale_of(matrix: Matrix) -> float:
    """Crop pixels a photo pixel."""
    return math.hypot(matrix[0, 0], matrix[1, 0])


def inverse(matrix: Matrix) -> Matrix:
    """The similarity back from crop to photo, (2, 3)."""
    whole = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))
    return whole[:2]


def corners_of(matrix: Matrix, size: int) -> Matrix:
    """The four corners of a crop's square in the photo, (4, 2)."""
    ends = np.array([[-0.5, -0.5, 1], [size - 0.5, -0.5, 1], [-0.5, size - 0.5, 1], [size - 0.5, size - 0.5, 1]])
    return ends @ inverse(matrix).T


def square(matrix: Matrix, size: int, width: int, height: int) -> Window:
    """The photo's pixels (x0, y0, x1, y1), end excluded, that a crop's square touches; empty (x1 <= x0) if it lies
    outside.
    """
    corners = corners_of(matrix, size)
    low, high = np.floor(corners.min(0)).astype(int), np.ceil(corners.max(0)).astype(int) + 1
    return max(0, int(low[0])), max(0, int(low[1])), min(width, int(high[0])), min(height, int(high[1]))


def reach(matrix: Matrix, size: int, width: int, height: int) -> Window:
    """The window of the photo that a crop is computed from: its square, what is mirrored past the border, a margin."""
    corners = corners_of(matrix, size)
    low, high = np.floor(corners.min(0)).astype(int) - 2, np.ceil(corners.max(0)).astype(int) + 3
    sizes = np.array([width, height])
    far_low, far_high = np.maximum(high - sizes, 0), np.maximum(-low, 0)  # mirrored: as far in as it goes out
    start = np.minimum(low, sizes - 1 - far_low).clip(0, sizes - 1)
    end = np.maximum(high, far_high + 1).clip(1, sizes)
    return int(start[0]), int(start[1]), int(max(end[0], start[0] + 1)), int(max(end[1], start[1] + 1))


def cut(photo: Pixels, matrix: Matrix, size: int) -> Pixels:
    """The crop, (size, size, 3), of ``photo`` (H, W, 3): area-correct when it shrinks, bilinear when it grows; past the
    border mirrored, and the further out the softer.
    """
    height, width = photo.shape[:2]
    x0, y0, x1, y1 = reach(matrix, size, width, height)
    region, moved = photo[y0:y1, x0:x1], shift(matrix, x0, y0)
    small, moved = shrink(region, moved, scale_of(matrix))
    warped = cv2.warpAffine(small, moved, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    return softened(np.asarray(warped, np.uint8), past_border(matrix, size, width, height))


def cut_from(canvas: Canvas, matrix: Matrix, size: int) -> Pixels:
    """The same crop of a page that is read window by window."""
    x0, y0, x1, y1 = reach(matrix, size, canvas.width, canvas.height)
    return cut(canvas.rgb((x0, y0, x1, y1)), shift(matrix, x0, y0), size)


def past_border(matrix: Matrix, size: int, width: int, height: int) -> Floats | None:
    """How far each pixel of a crop lies outside the photo, (size, size), in crop pixels; None if none does."""
    corners = corners_of(matrix, size)
    if (corners.min(0) >= -1).all() and (corners.max(0) <= [width, height]).all():
        return None
    back = inverse(matrix)
    steps = np.arange(size)
    x = back[0, 0] * steps[None, :] + back[0, 1] * steps[:, None] + back[0, 2]
    y = back[1, 0] * steps[None, :] + back[1, 1] * steps[:, None] + back[1, 2]
    outside = np.maximum(np.maximum(-x, x - (width - 1)), np.maximum(-y, y - (height - 1)))
    return (outside * scale_of(matrix)).clip(0).astype(np.float32)


def softened(crop: Pixels, outside: Floats | None) -> Pixels:
    """``crop`` with what lies ``outside`` the photo blurred, then faded to the photo's median colour, as FFHQ's own
    alignment does with its mirrored borders (``NVlabs/ffhq-dataset:download_ffhq.py``).
    """
    if outside is None or not outside.any() or outside.all():
        return crop
    size = crop.shape[0]
    soft = cv2.GaussianBlur(crop, (0, 0), BLUR_PAST_BORDER * size).astype(np.float32)
    median = np.median(crop[outside == 0], axis=0).astype(np.float32)
    blur = (outside / (SOFT_AFTER * size)).clip(0, 1)[..., None]
    fade = ((outside - SOFT_AFTER * size) / (FLAT_AFTER * size)).clip(0, 1)[..., None]
    mixed = crop + (soft - crop) * blur
    return np.rint(mixed + (median - mixed) * fade).astype(np.uint8)


def warp_back(layers: Floats, matrix: Matrix, window: Window) -> Floats:
    """Crop-space ``layers`` (S, S, C <= 4) seen in a window of the photo, (h, w, C); zero outside the crop."""
    x0, y0, x1, y1 = window
    small, back = shrink(layers, inverse(matrix), 1 / scale_of(matrix))
    placed = back.copy()
    placed[:, 2] -= [x0, y0]
    warped = cv2.warpAffine(
        small,
        placed,
        (x1 - x0, y1 - y0),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(0, 0, 0, 0),
    )
    return np.asarray(warped, np.float32).reshape(y1 - y0, x1 - x0, -1)


def enlarged(matrix: Matrix, scale: int) -> Matrix:
    """``matrix`` for the photo enlarged ``scale`` times: pixel x lies at scale * x + (scale - 1) / 2 there."""
    moved = matrix / [[scale, scale, 1]]
    moved[:, 2] += matrix[:, :2].sum(axis=1) * (0.5 / scale - 0.5)
    return moved


def reduced(
    layers: Floats, window: Window, factor: float, width: int, height: int
) -> tuple[int, int, int, int, Floats]:
    """What ``layers`` (h, w, C) in a window of a photo are in the photo reduced by ``factor`` to ``width`` x
    ``height``: the window x0, y0, x1, y1 there, and the layers in it; zero past the window.
    """
    x, y = window[:2]
    matrix = np.array([[factor, 0, factor * (x + 0.5) - 0.5], [0, factor, factor * (y + 0.5) - 0.5]])
    ends = (np.array(window, float).reshape(2, 2) * factor).round(6)
    low, high = np.floor(ends[0]).astype(int), np.ceil(ends[1]).astype(int)
    x0, y0, x1, y1 = max(0, int(low[0])), max(0, int(low[1])), min(width, int(high[0])), min(height, int(high[1]))
    small, moved = shrink(layers, matrix, factor)
    moved = moved.copy()
    moved[:, 2] -= [x0, y0]
    found = cv2.warpAffine(small, moved, (x1 - x0, y1 - y0), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return x0, y0, x1, y1, np.asarray(found, np.float32).reshape(y1 - y0, x1 - x0, -1)


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
