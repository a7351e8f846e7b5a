"""How much fine detail there is, place by place: what L1 alone takes away where it is unsure.

The energy of a picture's bands is what textures are told by: Heeger and Bergen, "Pyramid-Based Texture
Analysis/Synthesis", SIGGRAPH 1995. Here that of each small window is compared with the truth's own, so that an edge
which a network half believes in is drawn with the contrast that such an edge has. Where the detail is, L1 says; and a
band in which a network finds nothing is left alone, or it would be filled with a pattern (docs/decisions/0019).
"""

import math
from functools import cache

import torch
from torch.nn import functional

BLURS = (0.7, 1.4, 2.8, 5.6)  # pixels: the sigmas between which the bands lie
WINDOW = 4.0  # pixels: the sigma of a window
FLOOR = 1 / 255  # of the range: amplitudes below it hardly count
SUPPORT = 3  # sigmas
TINY = 1e-8
GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601


def detail_loss(found: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """(B,) for ``found`` and ``wanted``, (B, 3, H, W) RGB in [0, 1], sides above 17.

    The mean absolute difference of the amplitudes, band by band; each band counts as much as what was found in it goes
    with what was wanted, so that nothing is gained by detail that has no place.
    """
    ours, theirs = bands(found), bands(wanted)
    apart = (amplitudes(ours) - amplitudes(theirs)).abs().mean(dim=(2, 3))
    return (likeness(ours, theirs) * apart).mean(dim=1)


def bands(images: torch.Tensor) -> torch.Tensor:
    """(B, 3, H, W): the bands of ``images`` (B, 3, H, W) RGB, in grey, the finest first."""
    grey = (images * images.new_tensor(GREY)[:, None, None]).sum(dim=1, keepdim=True)
    smooth = torch.cat([blurred(grey, sigma) for sigma in BLURS], dim=1)
    return smooth[:, :-1] - smooth[:, 1:]


def amplitudes(detail: torch.Tensor) -> torch.Tensor:
    """(B, C, H, W): the root mean square of the bands ``detail``, of the same shape, in each pixel's window."""
    return (blurred(detail.square(), WINDOW) + FLOOR**2).sqrt()


@torch.no_grad()
def likeness(ours: torch.Tensor, theirs: torch.Tensor) -> torch.Tensor:
    """(B, C): the correlation of each band (B, C, H, W) over the whole picture, 0 where it is negative."""
    together = (ours * theirs).sum(dim=(2, 3))
    energies = ours.square().sum(dim=(2, 3)) * theirs.square().sum(dim=(2, 3))
    return (together / energies.sqrt().clamp(min=TINY)).clamp(min=0)


def blurred(images: torch.Tensor, sigma: float) -> torch.Tensor:
    """``images`` (B, C, H, W) under a Gaussian, mirrored past the border without repeating the edge."""
    rows, columns = (blur_matrix(length, sigma).to(images) for length in images.shape[-2:])
    return rows @ images @ columns.T


@cache
def blur_matrix(length: int, sigma: float) -> torch.Tensor:
    """(length, length) float64: the Gaussian on lines of ``length`` values. A product is quicker than a convolution."""
    radius = math.ceil(SUPPORT * sigma)
    taps = torch.exp(-(torch.arange(-radius, radius + 1, dtype=torch.float64) / sigma).square() / 2)
    lines = functional.pad(torch.eye(length, dtype=torch.float64)[:, None], (radius, radius), mode="reflect")
    return functional.conv1d(lines, (taps / taps.sum())[None, None])[:, 0].T
