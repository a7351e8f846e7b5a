"""A convolution of a picture that was doubled by copying pixels, computed on the small picture.

Of the nine taps that see the doubled picture, several see the same small pixel: their weights can be added up before.
Each small pixel gives four large ones by 2 x 2 taps each, 16 products instead of 36, and the doubled picture is never
made.
"""

import torch
from torch.nn import functional


def doubled_conv(features: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """``conv2d(interpolate(features, scale_factor=2, mode="nearest"), weight, bias, padding=1)``.

    ``features`` (B, C, H, W), ``weight`` (O, C, 3, 3), the result (B, O, 2 * H, 2 * W); equal but for rounding.
    """
    height, width = features.shape[-2:]
    large = features.new_empty(len(features), len(weight), height, 2, width, 2)
    for index, small in enumerate(summed(weight)):  # one after the other, which takes less memory
        down, right = divmod(index, 2)
        found = functional.conv2d(features, small, bias, padding=1)
        large[:, :, :, down, :, right] = found[..., down : down + height, right : right + width]
    return large.flatten(4, 5).flatten(2, 3)


def summed(weight: torch.Tensor) -> list[torch.Tensor]:
    """The weights (O, C, 2, 2) of the four large pixels: upper left, upper right, lower left, lower right.

    The upper taps see the small pixel above once and the own twice, the lower ones the own twice and that below once.
    """
    upper = torch.stack([weight[:, :, 0], weight[:, :, 1] + weight[:, :, 2]], 2)
    lower = torch.stack([weight[:, :, 0] + weight[:, :, 1], weight[:, :, 2]], 2)
    return [
        torch.stack(taps, 3)
        for rows in (upper, lower)
        for taps in (
            [rows[..., 0], rows[..., 1] + rows[..., 2]],
            [rows[..., 0] + rows[..., 1], rows[..., 2]],
        )
    ]
