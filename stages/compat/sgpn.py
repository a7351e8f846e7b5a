"""Alignment and paste-back of SGPN's demo, with the results that OpenCV 4 gave.

After ``TencentYoutuResearch/FaceRestoration-sgpn:demo_face_restoration.py``. OpenCV 4 rounds the coordinates of a warp
to 1/32 px, and of a transparent border it writes those pixels whose coordinates, rounded down, lie in the source.
OpenCV 5.0.0 writes others, too (opencv issue 29412), so the warps here give ``remap`` their own coordinates.
"""

import cv2
import numpy as np

from stages.compat.frame import Floats, blurred_twice, truncated
from stages.geometry import inverse, similarity, template
from stages.photo import Matrix, Pixels

MARGIN = 26
SIGMA = 4
FINE = 1024  # steps a pixel to which OpenCV 4 rounds the parts of a coordinate
STEPS = 32  # and their sum


def estimate(landmarks: Matrix, size: int = 512) -> Matrix:
    """Umeyama's similarity from ``landmarks`` (5, 2) to the ArcFace square, (2, 3)."""
    return similarity(landmarks, template("arcface", size))


def crop_points(landmarks: Matrix, matrix: Matrix) -> Matrix:
    """``landmarks`` (5, 2) of the photo in the crop."""
    return landmarks @ matrix[:, :2].T + matrix[:, 2]


def crop(photo: Pixels, matrix: Matrix, size: int = 512) -> Pixels:
    """The crop (size, size, 3): bicubic, black outside."""
    x, y = places(inverse(matrix), size, size)
    return np.asarray(cv2.remap(photo, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_CONSTANT), np.uint8)


def places(matrix: Matrix, width: int, height: int) -> tuple[Floats, Floats]:
    """Where ``matrix`` (2, 3) takes each pixel of an image, as OpenCV 4 rounds it: x and y, (height, width) each."""
    across = [np.rint(FINE * line[0] * np.arange(width)) for line in matrix]
    down = [np.rint(FINE * (line[1] * np.arange(height) + line[2])) for line in matrix]
    fine = [a[None] + b[:, None] for a, b in zip(across, down, strict=True)]
    x, y = ((np.floor(STEPS / FINE * one + 0.5) / STEPS).astype(np.float32) for one in fine)
    return x, y


def soft_mask(size: int = 512) -> Floats:
    """The fixed mask in the crop, (size, size) in [0, 1]: a rectangle with a narrow soft edge."""
    mask = np.zeros((size, size), np.float32)
    cv2.rectangle(mask, (MARGIN, MARGIN), (size - MARGIN, size - MARGIN), (1.0,), -1, cv2.LINE_AA)
    return blurred_twice(mask, SIGMA)


def blended(crop: Pixels, restored: Pixels) -> Pixels:
    """``restored`` over ``crop`` inside the fixed mask, (S, S, 3), truncated."""
    mask = soft_mask(crop.shape[0])[..., None]
    mixed = signed(restored) * mask + signed(crop) * (1 - mask)
    return truncated(mixed * np.float32(127.5) + np.float32(127.5))


def signed(image: Pixels) -> Floats:
    return (image.astype(np.float32) - np.float32(127.5)) / np.float32(127.5)


def paste(photo: Pixels, matrix: Matrix, face: Pixels) -> Pixels:
    """The photo under the whole square of ``face`` (S, S, 3), which ``blended`` gives; bicubic, with a hard edge.

    Bugs: the background inside the square is resampled twice, and the next face is cut from this result.
    """
    height, width = photo.shape[:2]
    x, y = places(matrix, width, height)
    inside = (x >= 0) & (y >= 0) & (x < face.shape[1]) & (y < face.shape[0])
    square = np.asarray(cv2.remap(face, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101), np.uint8)
    return np.where(inside[..., None], square, photo)
