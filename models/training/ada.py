"""Adaptive discriminator augmentation: what the discriminator sees is moved and recoloured, so that it cannot learn few
pictures by heart.

Karras et al., "Training Generative Adversarial Networks with Limited Data", NeurIPS 2020. Facts from
``LonglongaaaGo/VSPBFR:non_leaking.py``. Switched off in the published training.
"""

from dataclasses import dataclass

import torch
from torch.nn import functional

SYM6 = (
    0.015404109327027373,
    0.0034907120842174702,
    -0.11799011114819057,
    -0.048311742585633,
    0.4910559419267466,
    0.787641141030194,
    0.3379294217276218,
    -0.07263752278646252,
    -0.021060292512300564,
    0.04472490177066578,
    0.0017677118642428036,
    -0.007800708325034148,
)  # a wavelet's low pass: Daubechies, "Ten Lectures on Wavelets", 1992
MARGIN = len(SYM6) // 2
TARGET, LENGTH, EVERY = 0.6, 500_000, 8


@dataclass(slots=True)
class Strength:
    """How probable each change is: it follows how sure the discriminator is of real pictures."""

    chance: float = 0.0
    signs: float = 0.0
    seen: int = 0
    calls: int = 0

    def tune(self, real_scores: torch.Tensor) -> float:
        """The probability after the scores (B, 1) of real pictures; it moves at every eighth call."""
        self.signs += float(real_scores.sign().sum())
        self.seen += len(real_scores)
        self.calls += 1
        if self.calls % EVERY == 0:
            direction = 1 if self.signs / self.seen > TARGET else -1
            self.chance = min(1.0, max(0.0, self.chance + direction * self.seen / LENGTH))
            self.signs, self.seen = 0.0, 0
        return self.chance


def augmented(images: torch.Tensor, inverse: torch.Tensor, colour: torch.Tensor) -> torch.Tensor:
    """``images`` (B, 3, H, W) in [-1, 1] moved by the inverse matrices (B, 3, 3) and recoloured by (B, 4, 4)."""
    return recoloured(moved(images, inverse), colour)


def moved(images: torch.Tensor, inverse: torch.Tensor) -> torch.Tensor:
    """``images`` (B, C, H, W), sampled where ``inverse`` (B, 3, 3) takes each pixel, in pixels about the middle.

    It is done at twice the size, between two wavelet filters, on a picture that is mirrored past its border.
    """
    height, width = images.shape[-2:]
    left, right, top, bottom = _padding(inverse, height, width)
    padded = functional.pad(images, (left, right, top, bottom), mode="reflect")
    grid = _shift((left - right) / 2, (top - bottom) / 2, inverse) @ inverse
    large = _resampled(_resampled(padded, -1, up=True), -2, up=True)
    half, double = _scale(0.5, 0.5, inverse), _scale(2, 2, inverse)
    grid = _shift(-0.5, -0.5, inverse) @ double @ grid @ half @ _shift(0.5, 0.5, inverse)
    sides = large.shape[-1], large.shape[-2]
    out = 2 * (width + MARGIN), 2 * (height + MARGIN)
    grid = _scale(2 / sides[0], 2 / sides[1], inverse) @ grid @ _scale(out[0] / 2, out[1] / 2, inverse)
    shape = (len(images), images.shape[1], out[1], out[0])
    places = functional.affine_grid(grid[:, :2], list(shape), align_corners=False)
    found = functional.grid_sample(large, places, mode="bilinear", padding_mode="zeros", align_corners=False)
    return _resampled(_resampled(found, -1, up=False), -2, up=False)


def recoloured(images: torch.Tensor, colour: torch.Tensor) -> torch.Tensor:
    """``images`` (B, 3, H, W) by affine maps of their colours, (B, 4, 4)."""
    mixed = torch.einsum("bij,bjhw->bihw", colour[:, :3, :3], images)
    return mixed + colour[:, :3, 3, None, None]


def _padding(inverse: torch.Tensor, height: int, width: int) -> tuple[int, int, int, int]:
    """Left, right, top, bottom: what the moved pictures need of what lies past their border."""
    x, y = (width - 1) / 2, (height - 1) / 2
    corners = torch.tensor([[-x, -y, 1], [x, -y, 1], [x, y, 1], [-x, y, 1]], dtype=inverse.dtype)
    places = inverse @ corners.T.to(inverse.device)
    reach = torch.stack([-places[:, 0], places[:, 0], -places[:, 1], places[:, 1]]).amax((1, 2))
    halves, most = torch.tensor([x, x, y, y]), torch.tensor([width - 1, width - 1, height - 1, height - 1])
    found = (reach.cpu() + MARGIN - halves).clamp(min=0).minimum(most).ceil().int().tolist()
    return found[0], found[1], found[2], found[3]


def _resampled(images: torch.Tensor, axis: int, *, up: bool) -> torch.Tensor:
    """Twice or half the length along ``axis``, -1 or -2."""
    channels = images.shape[1]
    taps = torch.tensor(SYM6).to(images)
    kernel = (taps.flip(0) if up else taps).view((1, 1, 1, -1) if axis == -1 else (1, 1, -1, 1))
    if up:
        images = _spread(images, axis)
        images = functional.pad(images, (6, 5, 0, 0) if axis == -1 else (0, 0, 6, 5))
    else:
        images = functional.pad(images, (-1, -1, 0, 0) if axis == -1 else (0, 0, -1, -1))
    stride = 1 if up else (1, 2) if axis == -1 else (2, 1)
    return functional.conv2d(images, kernel.expand(channels, 1, -1, -1), stride=stride, groups=channels)


def _spread(images: torch.Tensor, axis: int) -> torch.Tensor:
    """A zero after each sample along ``axis``."""
    zeros = torch.zeros_like(images)
    return torch.stack([images, zeros], axis if axis == -1 else -2).flatten(axis - 1 if axis == -1 else -3, axis)


def _matrix(rows: list[list[float]], like: torch.Tensor) -> torch.Tensor:
    return torch.tensor(rows, dtype=like.dtype, device=like.device)


def _shift(x: float, y: float, like: torch.Tensor) -> torch.Tensor:
    return _matrix([[1, 0, x], [0, 1, y], [0, 0, 1]], like)


def _scale(x: float, y: float, like: torch.Tensor) -> torch.Tensor:
    return _matrix([[x, 0, 0], [0, y, 0], [0, 0, 1]], like)
