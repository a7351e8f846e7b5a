"""One picture on the CPU as rows (H, W, C), and 3 x 3 convolutions of it with what comes before and after them.

A norm, an activation, an enlargement and a border before a convolution are done on the few rows that it is at, while
they are in the cache: most of the time of a network that does them one by one goes into moving pictures to and fro.
Everything is float32 and gives no gradients.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeVar

import torch
from torch import nn
from torch.nn import functional

from models.ops.winograd import Fill, Finish, Kernel, convolve, fits, kernel_of

Known = TypeVar("Known", bound=nn.Module)
Border = Literal["zero", "mirror"]
Activation = Callable[[torch.Tensor], torch.Tensor]
"""Changes its argument in place."""

PIXELS = 4096  # looked at together, for a statistic or a plain convolution
FEWEST_CHANNELS = 32  # below it there is nothing to gain from fewer products


@dataclass(frozen=True, slots=True)
class Source:
    """A picture that is not written out: ``parts`` (H, W, C_i) side by side, with what is still to be done to them.

    ``factors`` and ``offsets`` (C,) come first, then the activation, then the doubling of both sides by repetition.
    ``mirror`` is a border without the edge itself: row -1 is row 1.
    """

    parts: Sequence[torch.Tensor]
    factors: torch.Tensor | None = None
    offsets: torch.Tensor | None = None
    activation: Activation | None = None
    doubled: bool = False
    border: Border = "zero"

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, as the convolution sees them."""
        height, width = self.parts[0].shape[:2]
        return (2 * height, 2 * width) if self.doubled else (height, width)

    @property
    def channels(self) -> int:
        return sum(part.shape[2] for part in self.parts)

    def fill(self, rows: torch.Tensor, first: int) -> None:
        """See ``models.ops.winograd.Fill``."""
        start, stop = max(first, 0), min(first + len(rows), self.size[0])
        inner = rows[start - first : stop - first, 1:-1]
        if self.doubled:
            self._repeat(inner, start, stop)
        else:
            self.write(inner, start, stop)
        self._close(rows, first)

    def write(self, out: torch.Tensor, start: int, stop: int) -> None:
        """Rows ``start`` to ``stop`` before any doubling to ``out`` (R, W, C)."""
        channel = 0
        for part in self.parts:
            mine = slice(channel, channel + part.shape[2])
            channel = mine.stop
            if self.factors is None or self.offsets is None:
                out[..., mine] = part[start:stop]
            else:
                torch.addcmul(self.offsets[mine], part[start:stop], self.factors[mine], out=out[..., mine])
        if self.activation is not None:
            self.activation(out)

    def whole(self) -> torch.Tensor:
        """The picture (H, W, C), written out."""
        rows = torch.empty(self.parts[0].shape[0], self.parts[0].shape[1], self.channels)
        step = max(1, PIXELS // rows.shape[1])
        for start in range(0, len(rows), step):
            self.write(rows[start : start + step], start, min(start + step, len(rows)))
        return rows

    def _repeat(self, inner: torch.Tensor, start: int, stop: int) -> None:
        above = start // 2
        small = torch.empty((stop + 1) // 2 - above, self.parts[0].shape[1], self.channels)
        self.write(small, above, above + len(small))
        for parity in (0, 1):
            skipped = (parity - start) % 2
            places = inner[skipped::2]
            there = small[(start + skipped) // 2 - above :][: len(places)]
            places[:, ::2] = there
            places[:, 1::2] = there

    def _close(self, rows: torch.Tensor, first: int) -> None:
        """The border of ``rows`` on the sides, and above and below where they reach over the picture."""
        mirror = self.border == "mirror"
        rows[:, 0] = rows[:, 2] if mirror else 0
        rows[:, -1] = rows[:, -3] if mirror else 0
        if first < 0:
            rows[0] = rows[2] if mirror else 0
        if first + len(rows) > self.size[0]:
            rows[-1] = rows[-3] if mirror else 0


@dataclass(slots=True)
class Convolver:
    """Convolves by whichever way is faster, and keeps the kernels that it has transformed.

    They take four times the memory of the weights that they stand for.
    """

    _kernels: dict[nn.Conv2d, Kernel] = field(default_factory=dict[nn.Conv2d, Kernel])

    def __call__(self, layer: nn.Conv2d, source: Source, finish: Finish | None = None) -> torch.Tensor:
        """``layer``, 3 x 3 with its own stride, on ``source``: (H', W', K). The source gives the border."""
        height, width = source.size
        out, channels = layer.weight.shape[:2]
        if layer.stride[0] > 1 or min(out, channels) < FEWEST_CHANNELS or not fits(height, width):
            return plain(layer, height, width, source.fill, finish)
        if layer not in self._kernels:
            self._kernels[layer] = kernel_of(layer.weight, layer.bias)
        return convolve(self._kernels[layer], height, width, source.fill, finish)


def known(block: nn.Module, kind: type[Known]) -> Known:
    """``block``, which must be of a ``kind``: containers of PyTorch do not say what they hold."""
    if not isinstance(block, kind):
        raise TypeError(f"a block of the network is a {type(block).__name__}, not a {kind.__name__}")
    return block


def plain(layer: nn.Conv2d, height: int, width: int, fill: Fill, finish: Finish | None = None) -> torch.Tensor:
    """As ``models.ops.winograd.convolve``, by PyTorch's own convolution and with the layer's stride."""
    stride, step = layer.stride[0], max(2, PIXELS // width // 2 * 2)
    result = torch.empty(height // stride, width // stride, layer.out_channels)
    bordered = torch.empty(step + 2, width + 2, layer.in_channels)
    for first in range(0, height, step):
        rows = bordered[: min(step, height - first) + 2]
        fill(rows, first - 1)
        found = functional.conv2d(rows.permute(2, 0, 1)[None], layer.weight, layer.bias, stride)[0].permute(1, 2, 0)
        done = result[first // stride : first // stride + len(found)]
        done.copy_(found)
        if finish is not None:
            finish(done, first // stride)
    return result


def moments(parts: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and variance of each channel of ``parts`` (H, W, C_i) side by side: (C,) and (C,), float64."""
    found = [_moments(part.flatten(0, 1)) for part in parts]
    return torch.cat([mean for mean, _ in found]), torch.cat([variance for _, variance in found])


def norm_of(norm: nn.GroupNorm, parts: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """``norm`` for ``parts`` as factors and offsets of each channel, (C,) and (C,) float64."""
    means, variances = (found.unflatten(0, (norm.num_groups, -1)) for found in moments(parts))
    mean = means.mean(1, keepdim=True)
    variance = (variances + (means - mean).square()).mean(1, keepdim=True)
    return _scaled(
        norm.weight, norm.bias, mean.expand_as(means).flatten(), variance.expand_as(means).flatten(), norm.eps
    )


def instance_norm_of(norm: nn.InstanceNorm2d, picture: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """``norm`` for a ``picture`` (H, W, C) as factors and offsets of each channel, (C,) and (C,) float64."""
    return _scaled(norm.weight, norm.bias, *moments([picture]), norm.eps)


def _scaled(
    weight: torch.Tensor, bias: torch.Tensor, mean: torch.Tensor, variance: torch.Tensor, eps: float
) -> tuple[torch.Tensor, torch.Tensor]:
    factors = weight.double() * (variance + eps).rsqrt()
    return factors, bias.double() - mean * factors


def _moments(pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Of ``pixels`` (n, C). They are taken from a mean of some first, so that no digits are lost."""
    count, channels = pixels.shape
    pivot = pixels[:PIXELS].mean(0)
    away, total, squares = torch.empty(min(PIXELS, count), channels), torch.zeros(channels).double(), 0
    for part in pixels.split(PIXELS):
        apart = torch.sub(part, pivot, out=away[: len(part)])
        total += apart.sum(0)
        squares = squares + apart.square_().sum(0).double()
    mean = total / count
    return pivot + mean, squares / count - mean.square()
