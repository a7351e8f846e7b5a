"""How an enhancer is trained to follow DR2: pairs of a face and what DR2 leaves of it, and the diffusion's own recipe.

Wang et al., "DR2: Diffusion-based Robust Degradation Remover for Blind Face Restoration", CVPR 2023, section 3.3: the
input is DR2 of the clean face under a Gaussian blur, and nothing else. The paper's code does not publish the ranges;
the defaults here are this project's.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn import functional

from models.dr2_parameters import AHEAD, FURTHEST, LAST, Removal
from models.handover import resized

Pixels = NDArray[np.uint8]

SIDE = 256  # of the diffusion model's pictures
LEARNING_RATE, BATCH, AVERAGE = 2e-5, 8, 0.9999  # of the diffusion model; of its weights' moving average


@dataclass(frozen=True, slots=True)
class Dr2Augmentation:
    """The ranges that each pair draws from, all bounds included. ``sigmas`` are pixels at 256 x 256."""

    factors: tuple[int, ...] = (4, 8, 16)
    stops: tuple[int, int] = (5, 35)
    sigmas: tuple[float, float] = (0.0, 3.0)

    def draw(self, generator: torch.Generator) -> tuple[Removal, float]:
        """N, tau and omega of one face, and the sigma of its blur."""
        factor = self.factors[int(torch.randint(len(self.factors), (), generator=generator))]
        stop = int(torch.randint(self.stops[0], self.stops[1] + 1, (), generator=generator))
        low, high = self.sigmas
        sigma = low + (high - low) * float(torch.rand((), generator=generator))
        return Removal(factor, stop, min(stop + AHEAD.get(factor, FURTHEST), LAST)), sigma


def enhancer_input(clean: torch.Tensor, sigmas: torch.Tensor, side: int = 512) -> torch.Tensor:
    """DR2's faces ``clean`` (B, 3, 256, 256) under blurs of ``sigmas`` (B,) pixels, at (B, 3, ``side``, ``side``).

    The range stays, here as there any; the target is the face itself at ``side``.
    """
    blurry = [blurred(face[None], float(sigma)) for face, sigma in zip(clean, sigmas, strict=True)]
    return resized(torch.cat(blurry), side)


def blurred(pictures: torch.Tensor, sigma: float) -> torch.Tensor:
    """``pictures`` (B, C, H, W) under a Gaussian of ``sigma`` pixels, mirrored at the border; 0 leaves them."""
    if sigma <= 0:
        return pictures
    reach = max(1, round(3 * sigma))
    taps = torch.arange(-reach, reach + 1, dtype=torch.float64).div(sigma).square().mul(-0.5).exp()
    taps = (taps / taps.sum()).to(pictures)
    planes = functional.pad(pictures, (reach,) * 4, mode="reflect").flatten(0, 1)[:, None]
    rows = functional.conv2d(planes, taps[None, None, None, :])
    return functional.conv2d(rows, taps[None, None, :, None]).view_as(pictures)


def diffusion_picture(photo: Pixels, flipped: bool) -> NDArray[np.float32]:
    """``photo`` (H, W, 3) RGB uint8 as the diffusion model learns it: (3, 256, 256) in [-1, 1].

    Halved by averages while the short side is 512 or more, then cubic to 256 with its middle cut out.
    """
    picture = Image.fromarray(photo)
    while min(picture.size) >= 2 * SIDE:
        picture = picture.resize((picture.width // 2, picture.height // 2), Image.Resampling.BOX)
    scale = SIDE / min(picture.size)
    width, height = (round(side * scale) for side in picture.size)
    levels = np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC))
    top, left = (height - SIDE) // 2, (width - SIDE) // 2
    cut = levels[top : top + SIDE, left : left + SIDE][:, :: -1 if flipped else 1]
    return np.ascontiguousarray(cut.transpose(2, 0, 1).astype(np.float32) / np.float32(127.5) - np.float32(1))


def diffusion_optimiser(network: torch.nn.Module) -> torch.optim.AdamW:
    """AdamW as published, without decay; the rate stays."""
    return torch.optim.AdamW(network.parameters(), LEARNING_RATE, betas=(0.9, 0.999), weight_decay=0.0)
