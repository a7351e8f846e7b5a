"""Alignment and paste-back of CodeFormer (DifFace has the same), where they differ from facexlib's.

After ``sczhou/CodeFormer:facelib/utils/face_restoration_helper.py`` and ``facelib/utils/misc.py``. Everything refers to
the photo as ``enlarged`` returns it; landmarks of the photo itself are multiplied by ``enlargement``. ``estimate``,
``crop`` and ``inverse`` are those of ``stages.compat.facexlib``.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.compat.facexlib import hard_mask, offset, placed_parse_mask, soft_mask
from stages.compat.frame import Doubles, Image, truncated, warped
from stages.photo import Matrix, Pixels

SHORTEST = 512
GREY_VARIANCE = 10
LUMA = np.array([0.2989, 0.5870, 0.1140])
EPSILON = 1e-5


def enlargement(photo: Pixels) -> float:
    """How many times ``enlarged`` enlarges a photo (H, W, 3)."""
    return max(1.0, SHORTEST / min(photo.shape[:2]))


def enlarged(photo: Pixels) -> Pixels:
    """``photo`` (H, W, 3) with its shorter side at least 512, bilinear. Bug: the result comes out at that size."""
    factor = enlargement(photo)
    if factor == 1:
        return photo
    found = cv2.resize(photo, (0, 0), fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR)
    return np.asarray(found, np.uint8)


def is_grey(photo: Pixels, threshold: float = GREY_VARIANCE) -> bool:
    """Whether the channels of ``photo`` (H, W) or (H, W, 3) differ by nearly a constant.

    Bug: the mean variance of the differences is compared with an absolute threshold, so sepia and tinted photos fail.
    """
    if photo.ndim == 2:
        return True
    red, green, blue = np.moveaxis(photo.astype(np.int16), 2, 0)
    return float(((red - green).var() + (green - blue).var() + (blue - red).var()) / 3) <= threshold


def grey(face: Pixels) -> Doubles:
    """The grey levels (S, S) of ``face`` (S, S, 3), neither rounded nor adding up to all of white (0.9999)."""
    return face.astype(np.float64) @ LUMA


def adain(content: Image, style: Image) -> Doubles:
    """``content`` (H, W, 3) with each channel's mean and deviation set to those of ``style``, in levels.

    Bug: nothing keeps the result within 0..255.
    """
    mean, deviation = moments(content)
    wanted_mean, wanted_deviation = moments(style)
    return (content - mean) / deviation * wanted_deviation + wanted_mean


def moments(image: Image) -> tuple[Doubles, Doubles]:
    """Mean and deviation of each channel, (3,) each; 1e-5 is added to the variance."""
    flat = image.reshape(-1, image.shape[2]).astype(np.float64)
    return flat.mean(axis=0), np.sqrt(flat.var(axis=0) + EPSILON)


def matched(restored: Pixels, crop: Pixels) -> Doubles:
    """The ``restored`` face (S, S, 3) of a grey photo as it is pasted: its grey, three times, in the crop's tone."""
    return adain(np.repeat(grey(restored)[..., None], 3, axis=2), crop)


def paste(
    photo: Pixels,
    inverses: Sequence[Matrix],
    restored: Sequence[Image],
    upscale: float = 1,
    labels: Sequence[Pixels] | None = None,
    upsampled: bool = False,
) -> NDArray[np.uint8 | np.uint16]:
    """The photo, enlarged ``upscale`` times, with every face in it.

    ``restored`` are (S, S, 3), uint8 or what ``matched`` gives; with ``upsampled`` an upsampler has made them
    ``upscale`` times larger than the crops. With ``labels`` (512, 512) the smaller of both masks counts.
    Bugs: one level over 256 makes the result a uint16 image, nearly black; negative levels wrap.
    """
    size = int(photo.shape[1] * upscale), int(photo.shape[0] * upscale)
    result: Image = cv2.resize(photo, size, interpolation=cv2.INTER_LINEAR)
    parsed: Sequence[Pixels | None] = [None] * len(restored) if labels is None else labels
    for stored, face, known in zip(inverses, restored, parsed, strict=True):
        matrix = upsampled_inverse(stored, upscale) if upsampled else offset(stored, upscale)
        hard = hard_mask(matrix, face.shape[0], size, upscale)
        mask: Image = soft_mask(hard)
        if known is not None:
            mask = np.minimum(mask, placed_parse_mask(known, matrix, face.shape[0], size))
        layer = hard[..., None] * warped(face, matrix, size)
        result = mask[..., None] * layer + (1 - mask[..., None]) * result
    return result.astype(np.int64).astype(np.uint16) if result.max() > 256 else truncated(result)


def upsampled_inverse(inverse: Matrix, upscale: float) -> Matrix:
    """``inverse`` for a crop that an upsampler has enlarged ``upscale`` times.

    Bug: pixel 0 is taken to stay where it is; enlarging moves it by half the factor less 0.5, in crop and photo.
    """
    moved = inverse / upscale
    moved[:, 2] *= upscale
    return moved
