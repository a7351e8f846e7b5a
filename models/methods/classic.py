"""Classic: a baseline without weights. Denoise, deblur and, on request, raise local contrast.

A small face is enlarged to the crop's size, and its grain with it. So the crop is looked at in several sizes, and grain
is taken away in the size in which it is about a pixel wide; only the change is enlarged and added to the crop.

It invents no detail: what the damage has taken away stays away. It is the line that every network must beat.
"""

from collections.abc import Mapping
from math import sqrt
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from models.checkpoint import Device, Dtype
from models.method import Faces, MethodSpec, Parameters, Restored
from models.quality.noise import sigma_of
from models.quality.sharpness import sharpness_of

Plane = NDArray[np.float32]

LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601
TEXTURE = 2.0  # grey levels that the noise estimate finds in clean faces
SMALLEST_VIEW = 64  # side in pixels; in smaller views a face's features look like grain
FINE_GRAIN = 0.25  # the working size is the largest with this share of the strongest view's noise
PATCH, SEARCH = 7, 13  # sides of the windows of non-local means, in pixels
NLM_GAIN = 2.0  # filter strength for each grey level of noise, at denoise = 1
CHROMA_GAIN = 0.3  # blur of the colours in pixels for each grey level of noise, at denoise = 1
SHARP = 0.5  # a face at least this sharp is not deblurred
UNSHARP_SIGMA = 2.5 / 512  # of the crop's side
CONTRAST_GAIN = 0.25
CONTRAST_BAND = (4 / 512, 48 / 512)  # sigmas of the band that is raised, of the crop's side


class ClassicParameters(Parameters):
    """Strengths from 0 (off) to 1. The defaults gave the best mean PSNR on faces degraded by blur, grain and JPEG.

    Local contrast is off by default: it can please the eye, but moves every tone away from the truth.
    """

    size: int = Field(default=512, ge=32, le=2048)
    denoise: float = Field(default=0.5, ge=0, le=1)
    deblur: float = Field(default=0.5, ge=0, le=1)
    contrast: float = Field(default=0.0, ge=0, le=1)


class Classic:
    """The three steps, face by face on the CPU, so that a face comes out the same in any batch."""

    def __init__(self, parameters: ClassicParameters) -> None:
        self._parameters = parameters

    def restore(self, faces: Faces) -> Restored:
        """See ``models.method.Restorer``. Nothing is drawn at random."""
        done = [self._restore(face.permute(1, 2, 0).cpu().numpy()) for face in faces.crops]
        if not done:
            return Restored(faces.crops.clone())
        return Restored(torch.from_numpy(np.stack(done)).permute(0, 3, 1, 2).contiguous().to(faces.crops.device))

    def _restore(self, face: Plane) -> Plane:
        """One face (S, S, 3) float32 RGB in [0, 1]. Sharpening and contrast change the luma alone."""
        smooth: Plane = np.add(face, take_grain(face, self._parameters.denoise), dtype=np.float32)
        luma = smooth @ LUMA
        sharp = raise_contrast(deblur(luma, self._parameters.deblur), self._parameters.contrast)
        restored: Plane = np.add(smooth, (sharp - luma)[..., None], dtype=np.float32)
        return np.clip(restored, 0, 1)


def take_grain(face: Plane, strength: float) -> Plane:
    """The change (S, S, 3) that takes the grain from ``face`` (S, S, 3) RGB in [0, 1], found in its working size."""
    side, grain = grain_of(face @ LUMA) if strength else (face.shape[0], 0.0)
    if grain == 0:
        return np.zeros_like(face)
    view = resized(face, side)
    luma = view @ LUMA
    colour: Plane = np.subtract(view, luma[..., None], dtype=np.float32)
    luma = denoise(luma, grain, strength)
    colour = smooth_colour(colour, grain, strength)
    return resized((luma[..., None] + colour - view).astype(np.float32), face.shape[0])


def grain_of(luma: Plane) -> tuple[int, float]:
    """The working size of ``luma`` (S, S) in [0, 1], and the grain there in grey levels of 0 to 255.

    White noise is strongest in full size and halves with every halving. Noise that was enlarged, softened or compressed
    is strongest in a smaller view. The grain is read from the view half as large as the working size, because JPEG
    removes the finest grain and leaves the coarser; what a clean face would give is taken off.
    """
    sides = view_sides(luma.shape[0])
    noises = [255 * sigma_of(resized(luma, side).astype(np.float64)) for side in sides]
    enough = FINE_GRAIN * max(noises)
    work = next((index for index, noise in enumerate(noises[:-2]) if noise >= enough), len(noises) - 3)
    return sides[work], sqrt(max((2 * noises[work + 2]) ** 2 - TEXTURE**2, 0.0))


def view_sides(side: int) -> list[int]:
    """Sides of the views, each smaller by the root of 2: three or more, further ones of ``SMALLEST_VIEW`` or more."""
    sides = [round(side / 2 ** (step / 2)) for step in range(side.bit_length() * 2)]
    return sides[:3] + [view for view in sides[3:] if view >= SMALLEST_VIEW]


def resized(picture: Plane, side: int) -> Plane:
    """``picture`` (S, S) or (S, S, 3) at ``side`` pixels: by area when it shrinks, smoothly when it grows."""
    if side == picture.shape[0]:
        return picture
    way = cv2.INTER_AREA if side < picture.shape[0] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, (side, side), interpolation=way), np.float32)


def denoise(luma: Plane, grain: float, strength: float) -> Plane:
    """Non-local means on ``luma`` (S, S) in [0, 1] with ``grain`` in grey levels; the change is found in 8 bits.

    Buades, Coll, Morel, "A non-local algorithm for image denoising", CVPR 2005.
    """
    levels = np.rint(np.clip(luma, 0, 1) * 255).astype(np.uint8)
    smooth = cv2.fastNlMeansDenoising(levels, None, NLM_GAIN * strength * grain, PATCH, SEARCH)
    change: Plane = np.subtract(smooth, levels, dtype=np.float32)
    return (luma + change / 255).astype(np.float32)


def smooth_colour(colour: Plane, grain: float, strength: float) -> Plane:
    """Gaussian blur of the colour differences (S, S, 3) as wide as ``grain``, in grey levels, asks for."""
    return cv2.GaussianBlur(colour, (0, 0), CHROMA_GAIN * strength * grain).astype(np.float32)


def deblur(luma: Plane, strength: float) -> Plane:
    """Unsharp mask on ``luma`` (S, S) in [0, 1], stronger the less sharp the face is, none where it is sharp."""
    lack = min(max(2 * (1 - sharpness_of(luma) / SHARP), 0.0), 1.0) if strength else 0.0
    if lack == 0:
        return luma
    blurred = cv2.GaussianBlur(luma, (0, 0), UNSHARP_SIGMA * luma.shape[0])
    return (luma + np.float32(strength * lack) * (luma - blurred)).astype(np.float32)


def raise_contrast(luma: Plane, strength: float) -> Plane:
    """Raise the band of ``luma`` (S, S) between fine structure and overall shading."""
    if strength == 0:
        return luma
    fine, coarse = (cv2.GaussianBlur(luma, (0, 0), sigma * luma.shape[0]) for sigma in CONTRAST_BAND)
    return (luma + np.float32(CONTRAST_GAIN * strength) * (fine - coarse)).astype(np.float32)


def _build(weights: Mapping[str, Path], parameters: Parameters, device: Device, dtype: Dtype) -> Classic:
    return Classic(ClassicParameters.model_validate(parameters.model_dump()))


METHOD = MethodSpec(
    name="classic",
    summary="Baseline without weights: non-local means, unsharp mask, local contrast on request; invents no detail",
    paper="Buades, Coll, Morel: A non-local algorithm for image denoising, CVPR 2005",
    code="https://github.com/opencv/opencv (fastNlMeansDenoising)",
    licence="none (no weights)",
    commercial=True,
    template="ffhq",
    parameters=ClassicParameters,
    checkpoints=(),
    build=_build,
)
