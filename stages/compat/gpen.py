"""Alignment and paste-back of GPEN.

After ``yangxy/GPEN:face_enhancement.py``, ``align_faces.py`` and ``face_parse/face_parsing.py``.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from stages.compat.frame import Floats, blurred_twice, framed, label_mask, warped
from stages.geometry import template
from stages.photo import Matrix, Pixels

KEPT = (*range(1, 14), 15, 16, 17)  # of its own parser: all but background, hat and cloth
FRAME = 26
SIGMA = 4
LOWEST_SCORE = 0.9
SMALL_FACE = 100
BINOMIAL = np.outer([0.25, 0.5, 0.25], [0.25, 0.5, 0.25]).astype(np.float32)


def estimate(landmarks: Matrix, size: int = 512) -> Matrix:
    """Umeyama's similarity from ``landmarks`` (5, 2) to the ArcFace square, in single precision."""
    return single_similarity(single(landmarks), single(template("arcface", size)))[0]


def inverse(landmarks: Matrix, size: int = 512) -> Matrix:
    """The way back: a second fit that takes the reciprocal scale of the first, which makes it the exact inverse."""
    points, target = single(landmarks), single(template("arcface", size))
    scale = single_similarity(points, target)[1]
    return single_similarity(target, points, 1 / scale)[0]


def single(points: Matrix) -> Floats:
    return points.astype(np.float32)


def single_similarity(points: Floats, target: Floats, scale: float | None = None) -> tuple[Matrix, float]:
    """The similarity (2, 3) from ``points`` (n, 2) to ``target`` (n, 2) and its scale, which may be given.

    Umeyama (PAMI 1991), equations 38 to 43; the covariance, its decomposition and the scale are float32.
    """
    mean, target_mean = points.mean(axis=0), target.mean(axis=0)
    centred = points - mean
    covariance = (target - target_mean).T @ centred / np.float32(len(points))
    signs = np.array([1, -1 if np.linalg.det(covariance) < 0 else 1])
    left, spread, right = np.linalg.svd(covariance)
    turn: Matrix = left @ np.diag(signs) @ right
    found = float(1 / centred.var(axis=0).sum() * (spread @ signs)) if scale is None else scale
    return np.column_stack([found * turn, target_mean - found * (turn @ mean)]), found


def crop(photo: Pixels, matrix: Matrix, size: int = 512) -> Pixels:
    """The crop (size, size, 3), black outside. Bug: the source asks for INTER_AREA, which a warp takes as bilinear."""
    return warped(photo, matrix, (size, size))


def parse_mask(labels: Pixels) -> Floats:
    """The mask in the crop, (512, 512) in [0, 1], from the parser's ``labels`` (512, 512)."""
    return blurred_twice(framed(label_mask(labels, KEPT) / 255, FRAME), SIGMA).astype(np.float32)


def paste(
    photo: Pixels,
    inverses: Sequence[Matrix],
    restored: Sequence[Pixels],
    labels: Sequence[Pixels],
    boxes: Sequence[Matrix],
) -> Pixels:
    """The photo with all faces in it: at each pixel the face whose mask is larger, the first of equals.

    ``boxes`` are (x0, y0, x1, y1, score); faces with a score below 0.9 are dropped, small ones softened.
    """
    height, width = photo.shape[:2]
    weight, faces = np.zeros((height, width), np.float32), np.zeros_like(photo)
    for matrix, face, known, box in zip(inverses, restored, labels, boxes, strict=True):
        if box[4] < LOWEST_SCORE:
            continue
        mask = np.asarray(cv2.resize(parse_mask(known), face.shape[1::-1]), np.float32)
        placed = warped(mask, matrix, (width, height))
        larger = placed > weight
        weight[larger] = placed[larger]
        faces[larger] = warped(softened(face, box), matrix, (width, height))[larger]
    mixed = photo * (1 - weight[..., None]) + faces * weight[..., None]
    return np.asarray(cv2.convertScaleAbs(mixed), np.uint8)


def softened(face: Pixels, box: Matrix) -> Pixels:
    """``face`` through a 3 x 3 binomial kernel if a side of its ``box`` is below 100 px."""
    if min(box[2] - box[0], box[3] - box[1]) >= SMALL_FACE:
        return face
    return np.asarray(cv2.filter2D(face, -1, BINOMIAL), np.uint8)
