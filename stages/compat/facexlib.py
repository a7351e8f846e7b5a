"""Alignment and paste-back of facexlib 0.3.0, as GFPGAN, VQFR, RestoreFormer++ and the PMRF demo use them.

After ``xinntao/facexlib:facexlib/utils/face_restoration_helper.py``. Photos and crops are (H, W, 3) uint8 RGB, matrices
(2, 3) float64 from photo to crop; ``inverse`` goes from the crop to the enlarged photo.
"""

from collections.abc import Sequence
from typing import Literal, cast

import cv2
import numpy as np

from stages.compat.frame import Doubles, Floats, Image, blurred_twice, framed, label_mask, truncated, warped
from stages.geometry import FFHQ_512
from stages.photo import Matrix, Pixels

Border = Literal["constant", "reflect101", "reflect"]

THREE_POINTS_512 = np.array([[192.0, 240.0], [319.0, 240.0], [257.0, 371.0]])
GREY = (132, 133, 135)  # RGB; the source gives it as BGR
BORDERS = {"constant": cv2.BORDER_CONSTANT, "reflect101": cv2.BORDER_REFLECT_101, "reflect": cv2.BORDER_REFLECT}
KEPT = (*range(1, 14), 15)  # ParseNet's classes that are pasted: all of the head but the hat
PARSE_SIGMA = 11
PARSE_FRAME = 10


def estimate(landmarks: Matrix, size: int = 512) -> Matrix:
    """The similarity from five ``landmarks`` (5, 2) to the FFHQ template: least median of squares, with OpenCV's fixed
    random state. It drops landmarks without a word, and jumps where another pair of points becomes the best.
    """
    return least_median(landmarks, FFHQ_512 * (size / 512))


def estimate_by_three(landmarks: Matrix, size: int = 512) -> Matrix:
    """The same for ``template_3points``. Bug: the third landmark, a nose, is taken to the place of a mouth."""
    return least_median(landmarks[:3], THREE_POINTS_512 * (size / 512))


def least_median(points: Matrix, target: Matrix) -> Matrix:
    """The least-median-of-squares similarity, (2, 3), from ``points`` (n, 2) to ``target`` (n, 2)."""
    found = cast("Matrix | None", cv2.estimateAffinePartial2D(points, target, method=cv2.LMEDS)[0])
    if found is None:
        raise ArithmeticError(f"no similarity takes the landmarks {points.tolist()} to a template")
    return found


def crop(photo: Pixels, matrix: Matrix, size: int = 512, border: Border = "constant") -> Pixels:
    """The crop (size, size, 3): bilinear, no low-pass filter, grey outside unless ``border`` mirrors."""
    return warped(photo, matrix, (size, size), BORDERS[border], GREY)


def inverse(matrix: Matrix, upscale: float = 1) -> Matrix:
    """The similarity from the crop to the photo enlarged ``upscale`` times, before the offset of the paste."""
    return np.asarray(cv2.invertAffineTransform(matrix), np.float64) * upscale


def offset(inverse: Matrix, upscale: float) -> Matrix:
    """``inverse`` as a paste uses it, and leaves it.

    Bugs: 0.5 * ``upscale`` is 0.5 px too much, and it is added to the stored matrix: a second paste shifts again.
    """
    moved = inverse.copy()
    moved[:, 2] += 0.5 * upscale if upscale > 1 else 0
    return moved


def hard_mask(inverse: Matrix, crop_size: int, size: tuple[int, int], upscale: float) -> Floats:
    """Where the square of the crop lies in an image of ``size`` (width, height), less a pixel: (H, W) in [0, 1]."""
    whole = warped(np.ones((crop_size, crop_size), np.float32), inverse, size)
    return eroded(whole, int(2 * upscale))


def soft_mask(hard: Floats) -> Floats:
    """``hard`` (H, W) with a soft inner edge whose width goes with the root of its area.

    Bug: under 400 px of area there is no blur, only a hard edge.
    """
    edge = int(float(np.sum(hard)) ** 0.5) // 20
    return np.asarray(cv2.GaussianBlur(eroded(hard, 2 * edge), (2 * edge + 1, 2 * edge + 1), 0), np.float32)


def eroded(mask: Floats, side: int) -> Floats:
    """``mask`` eroded by a square; OpenCV takes an empty one (``side`` 0) for 3 x 3."""
    return np.asarray(cv2.erode(mask, np.ones((side, side), np.uint8)), np.float32)


def parse_mask(labels: Pixels) -> Doubles:
    """The mask in the crop from the parser's ``labels`` (512, 512), 0..255; cut at the frame without any softness."""
    return framed(blurred_twice(label_mask(labels, KEPT), PARSE_SIGMA), PARSE_FRAME)


def placed_parse_mask(labels: Pixels, inverse: Matrix, crop_size: int, size: tuple[int, int]) -> Doubles:
    """``parse_mask`` of the crop as an image of ``size`` (width, height) sees it, (H, W) in [0, 1]."""
    mask = cv2.resize(parse_mask(labels) / 255, (crop_size, crop_size))
    return warped(np.asarray(mask, np.float64), inverse, size)


def paste(
    photo: Pixels,
    inverses: Sequence[Matrix],
    restored: Sequence[Pixels],
    upscale: float = 1,
    labels: Sequence[Pixels] | None = None,
    background: Pixels | None = None,
) -> Pixels:
    """The photo enlarged ``upscale`` times with every face in it, one over the other in the order given.

    ``inverses`` are those of ``inverse``. With ``labels`` (512, 512) the mask is the parser's, else the square's.
    Bugs: see ``offset``; each face covers its neighbour with its own background; truncation darkens by 0.2 levels.
    """
    height, width = int(photo.shape[0] * upscale), int(photo.shape[1] * upscale)
    size = width, height
    result: Image = cv2.resize(photo if background is None else background, size, interpolation=cv2.INTER_LANCZOS4)
    parsed: Sequence[Pixels | None] = [None] * len(restored) if labels is None else labels
    for stored, face, known in zip(inverses, restored, parsed, strict=True):
        matrix = offset(stored, upscale)
        mask, layer = layers(face, known, matrix, size, upscale)
        result = mask[..., None] * layer + (1 - mask[..., None]) * result
    return truncated(result)


def layers(
    face: Pixels, labels: Pixels | None, matrix: Matrix, size: tuple[int, int], upscale: float
) -> tuple[Image, Image]:
    """The soft mask (H, W) and what it blends in (H, W, 3) of one face over an image of ``size`` (width, height)."""
    layer = warped(face, matrix, size)
    if labels is not None:
        return placed_parse_mask(labels, matrix, face.shape[0], size), layer
    hard = hard_mask(matrix, face.shape[0], size, upscale)
    return soft_mask(hard), hard[..., None] * layer
