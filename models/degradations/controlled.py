"""The degradations of PMRF's controlled experiments, on images (3, H, W) RGB in [0, 1].

Ohayon, Michaeli, Elad, "Posterior-Mean Rectified Flow", ICLR 2025, section 5.2; facts from
``ohayonguy/PMRF:utils/create_degradation.py``. Noise is an argument, standard normal.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional

DENOISING, SUPER_RESOLUTION, INPAINTING, COLORIZATION = 0.35, 0.05, 0.1, 0.25  # standard deviations
FACTOR = 8  # of the super-resolution
DROPPED = 0.9  # share of the pixels


def denoising(image: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """Noise of 0.35 on everything."""
    return (image + DENOISING * noise).clamp(0, 1)


def super_resolution(image: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """An eighth of the resolution with ``noise`` (3, H / 8, W / 8) of 0.05, enlarged again by copying pixels."""
    sides = [side // FACTOR for side in image.shape[-2:]]
    small = functional.interpolate(image[None], sides, mode="bicubic", align_corners=False, antialias=True)
    noisy = small.clamp(0, 1) + SUPER_RESOLUTION * noise
    return functional.interpolate(noisy, scale_factor=float(FACTOR), mode="nearest-exact")[0].clamp(0, 1)


def inpainting(image: torch.Tensor, noise: torch.Tensor, dropped: torch.Tensor) -> torch.Tensor:
    """The pixels ``dropped`` (row * W + column) are black, and noise of 0.1 lies on everything, holes too."""
    kept = image.clone()
    kept.flatten(1)[:, dropped] = 0
    return (kept + INPAINTING * noise).clamp(0, 1)


def colorization(image: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """One channel (1, H, W), the plain mean of the three, with ``noise`` of that shape of 0.25."""
    return (image.mean(0, keepdim=True) + COLORIZATION * noise).clamp(0, 1)


def _denoising(image: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return denoising(image, torch.randn(image.shape, generator=generator))


def _super_resolution(image: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    sides = (side // FACTOR for side in image.shape[-2:])
    return super_resolution(image, torch.randn(3, *sides, generator=generator))


def _inpainting(image: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    pixels = image[0].numel()
    dropped = torch.randperm(pixels, generator=generator)[: int(DROPPED * pixels)]
    return inpainting(image, torch.randn(image.shape, generator=generator), dropped)


def _colorization(image: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return colorization(image, torch.randn(1, *image.shape[1:], generator=generator))


@dataclass(frozen=True, slots=True)
class Experiment:
    """One of the four. ``published`` is its folder among the published checkpoints, ``sigma_s`` the noise on the
    source of its flows, ``channels`` those of the degraded image. ``degrade`` draws from the generator alone.
    """

    name: str
    published: str
    sigma_s: float
    channels: int
    degrade: Callable[[torch.Tensor, torch.Generator], torch.Tensor]


EXPERIMENTS = {
    one.name: one
    for one in (
        Experiment("denoising", "gaussian_noise_035", 0.025, 3, _denoising),
        Experiment("super-resolution", "sr_bicubic_x8_gaussian_noise_005", 0.1, 3, _super_resolution),
        Experiment("inpainting", "random_inpainting_gaussian_noise_01", 0.1, 3, _inpainting),
        Experiment("colorization", "colorization_gaussian_noise_025", 0.1, 1, _colorization),
    )
}
