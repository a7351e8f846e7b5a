"""A background upscaler: any network for super-resolution that the package spandrel knows, run in tiles.

ImportError
└── MissingPackage      an optional package is not installed
ValueError
└── UpscalerUnusable    the file holds no network that enlarges RGB photos in tiles

A file that cannot be read at all is ``models.checkpoint_file.CheckpointUnreadable``.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray

from models.checkpoint import Device
from models.checkpoint_file import CheckpointUnreadable, first_line, torch_content
from models.load import read_tensors

Pixels = NDArray[np.uint8]
Span = tuple[int, int]


class MissingPackage(ImportError):  # noqa: N818 - says what is wrong, as the tree above does
    """An optional package is not installed. The message says what for, and how to install it."""

    def __init__(self, purpose: str, package: str, extra: str) -> None:
        super().__init__(f"{purpose} needs the package {package}: pip install 'daguerre[{extra}]'", name=package)


class UpscalerUnusable(ValueError):  # noqa: N818 - says what is wrong, as the tree above does
    """The message says which file and why."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} cannot be used as an upscaler: {reason}")


class Network(Protocol):
    """What spandrel makes of a file, as far as it is used here."""

    @property
    def scale(self) -> int: ...

    def __call__(self, image: torch.Tensor, /) -> torch.Tensor:
        """(1, 3, H, W) RGB in [0, 1] to (1, 3, H * scale, W * scale) in [0, 1]."""
        ...


class Upscaler:
    """An upscaler that is loaded and ready; ``scale`` is how many times longer its photos' sides become."""

    def __init__(self, network: Network, device: Device) -> None:
        self._network = network
        self._device = device
        self.scale = network.scale

    def enlarge(self, photo: Pixels, tile: int = 512, overlap: int = 32) -> Pixels:
        """``photo`` (H, W, 3) uint8 RGB, ``scale`` times as large.

        Tiles of at most ``tile`` pixels a side share twice ``overlap`` with their neighbours, and fade into each other
        over the middle half of that: the result is that of the whole photo at once for a network that sees no farther
        than half of ``overlap``. Memory beside photo and result grows with a row of tiles and with what the network
        takes for one: Real-ESRGAN about a gigabyte for each layer that it holds at 4 times 512 pixels.
        """
        down = spans(photo.shape[0], tile, overlap)
        across = spans(photo.shape[1], tile, overlap)
        shared = 2 * overlap * self.scale
        enlarged = self._empty(photo)
        for top, bottom in down:
            place = enlarged[top * self.scale : bottom * self.scale]
            lay(place, self._row(photo[top:bottom], across, shared), shared if top else 0)
        return enlarged

    def _row(self, photo: Pixels, across: Sequence[Span], shared: int) -> Pixels:
        """One row of tiles, (h, W, 3), enlarged."""
        row = self._empty(photo)
        for left, right in across:
            place = row[:, left * self.scale : right * self.scale].swapaxes(0, 1)
            lay(place, self._tile(photo[:, left:right]).swapaxes(0, 1), shared if left else 0)
        return row

    def _empty(self, photo: Pixels) -> Pixels:
        return np.empty((photo.shape[0] * self.scale, photo.shape[1] * self.scale, 3), np.uint8)

    def _tile(self, photo: Pixels) -> Pixels:
        tensor = torch.from_numpy(photo.astype(np.float32) / 255).permute(2, 0, 1)[None].contiguous()
        with torch.inference_mode():
            large = self._network(tensor.to(self._device))[0].permute(1, 2, 0).cpu().numpy()
        if not np.isfinite(large).all():
            raise FloatingPointError("the upscaler gave values that are not finite")
        return np.rint(large * 255).astype(np.uint8)


def spans(length: int, tile: int, overlap: int) -> list[Span]:
    """Where tiles start and stop along a side of ``length`` pixels; neighbours share twice ``overlap``.

    Starts are multiples of one step, 448 with the defaults, so that networks that see windows see the same ones.
    """
    step = tile - 2 * overlap
    if step < 2 * overlap or step < 1:
        raise ValueError(f"tiles of {tile} px are too small for an overlap of {overlap} px on each side")
    count = max(1, -(-(length - 2 * overlap) // step))
    return [(index * step, min(index * step + tile, length)) for index in range(count)]


def lay(under: Pixels, over: Pixels, shared: int) -> None:
    """Put ``over`` in the place of ``under``, (n, m, 3); its first ``shared`` rows fade in over what is there."""
    place = (np.arange(shared, dtype=np.float32) + np.float32(0.5)) / np.float32(max(shared, 1))
    weight = (2 * place - np.float32(0.5)).clip(0, 1)[:, None, None]
    before = under[:shared].astype(np.float32)
    under[:shared] = np.rint(before + weight * (over[:shared] - before))
    under[shared:] = over[shared:]


def load_upscaler(path: Path, device: Device) -> Upscaler:
    """Load any file for super-resolution that spandrel recognises by its tensors: .pth, .pt, .ckpt or .safetensors.

    Raises ``MissingPackage``, ``CheckpointUnreadable`` or ``UpscalerUnusable``. No code in the file is ever run.
    """
    try:
        import spandrel
    except ModuleNotFoundError as error:
        if error.name != "spandrel":
            raise
        raise MissingPackage("a background upscaler", "spandrel", "upscale") from error
    tensors = spandrel.canonicalize_state_dict(_content(path))
    try:
        network = spandrel.ModelLoader("cpu").load_from_state_dict(tensors)
    except spandrel.UnsupportedModelError as error:
        raise UpscalerUnusable(path, "spandrel knows no network with its tensors") from error
    except Exception as error:
        # A file that resembles a known network makes spandrel raise nearly anything, from KeyError to RuntimeError.
        raise UpscalerUnusable(path, first_line(error)) from error
    if not isinstance(network, spandrel.ImageModelDescriptor) or network.scale < 2:
        raise UpscalerUnusable(path, f"{network.architecture.name} does not enlarge")
    if (network.input_channels, network.output_channels) != (3, 3):
        raise UpscalerUnusable(
            path, f"it takes {network.input_channels} channels to {network.output_channels}, not RGB"
        )
    if network.purpose != "SR" or network.tiling is spandrel.ModelTiling.INTERNAL:
        raise UpscalerUnusable(path, f"{network.architecture.name} is no network for parts of photos")
    return Upscaler(network.to(torch.device(device)).eval(), device)


def _content(path: Path) -> dict[str, Any]:
    """What the file holds: tensors by name, or containers of them."""
    if path.suffix.lower() == ".safetensors":
        return dict(read_tensors(path))
    try:
        content = torch_content(path)
    except Exception as error:
        # Damaged files make torch raise nearly anything, from EOFError to KeyError.
        raise CheckpointUnreadable(path, first_line(error)) from error
    if not isinstance(content, Mapping):
        raise CheckpointUnreadable(path, "it holds no dictionary of tensors")
    return dict(cast("Mapping[str, object]", content))
