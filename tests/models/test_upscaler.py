"""The background upscaler: which files it takes, and tiles that nobody can see."""

import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from models.checkpoint_file import CheckpointUnreadable
from models.upscaler import MissingPackage, Upscaler, UpscalerUnusable, load_upscaler, spans

Pixels = NDArray[np.uint8]
Tensors = dict[str, torch.Tensor]
FILTERS, GROWTH = 4, 32


def esrgan(channels: int = 3) -> Tensors:
    """Real-ESRGAN with one block and few filters, by the names of its published files.

    12 ``channels`` make a network for twice the size, which first folds 2 x 2 pixels into channels.
    """
    layers = {"conv_first": (FILTERS, channels), "conv_last": (3, FILTERS)}
    layers |= dict.fromkeys(("conv_body", "conv_up1", "conv_up2", "conv_hr"), (FILTERS, FILTERS))
    for dense in (1, 2, 3):
        for index in range(1, 6):
            out = FILTERS if index == 5 else GROWTH
            layers[f"body.0.rdb{dense}.conv{index}"] = (out, FILTERS + (index - 1) * GROWTH)
    generator = torch.Generator().manual_seed(4)
    tensors: Tensors = {}
    for name, (out, taken) in layers.items():
        tensors[f"{name}.weight"] = torch.randn(out, taken, 3, 3, generator=generator) * (1 / (9 * taken)) ** 0.5
        tensors[f"{name}.bias"] = torch.full((out,), 0.5 if name == "conv_last" else 0.1)
    return tensors


def photo_of(height: int, width: int) -> Pixels:
    return np.random.default_rng(5).integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture
def published(tmp_path: Path) -> Path:
    torch.save({"params_ema": esrgan()}, tmp_path / "RealESRGAN_x4plus.pth")
    return tmp_path / "RealESRGAN_x4plus.pth"


def test_a_tiled_photo_is_the_untiled_one(published: Path) -> None:
    """The network sees 18 px far: fewer than half of the overlap."""
    upscaler = load_upscaler(published, "cpu")
    photo = photo_of(50, 190)
    whole, tiled = upscaler.enlarge(photo, tile=200), upscaler.enlarge(photo, tile=160, overlap=40)
    assert whole.shape == (200, 760, 3)
    assert whole.std() > 5
    difference = np.abs(tiled.astype(int) - whole)
    assert difference.max() <= 1  # convolutions of another size may round otherwise
    assert (difference > 0).mean() < 1e-3


def test_a_network_for_twice_the_size_keeps_its_grid_in_tiles(tmp_path: Path) -> None:
    torch.save({"params": esrgan(channels=12)}, tmp_path / "x2.pth")
    upscaler = load_upscaler(tmp_path / "x2.pth", "cpu")
    photo = photo_of(50, 421)
    whole, tiled = upscaler.enlarge(photo, tile=500), upscaler.enlarge(photo, tile=320, overlap=80)
    assert upscaler.scale == 2
    assert whole.shape == (100, 842, 3)
    assert np.abs(tiled.astype(int) - whole).max() <= 1


def test_safetensors_give_the_same_network(published: Path, tmp_path: Path) -> None:
    save_file(esrgan(), tmp_path / "a.safetensors")
    photo = photo_of(20, 30)
    expected = load_upscaler(published, "cpu").enlarge(photo)
    np.testing.assert_array_equal(load_upscaler(tmp_path / "a.safetensors", "cpu").enlarge(photo), expected)


def test_without_spandrel_the_message_says_what_to_install(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spandrel", None)
    with pytest.raises(
        MissingPackage, match=r"background upscaler needs .* spandrel: pip install 'daguerre\[upscale\]'"
    ):
        load_upscaler(published, "cpu")


def test_a_network_that_spandrel_does_not_know_is_refused(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(3)}, tmp_path / "a.pth")
    with pytest.raises(UpscalerUnusable, match=r"a\.pth .* spandrel knows no network"):
        load_upscaler(tmp_path / "a.pth", "cpu")


def test_a_tensor_that_is_missing_is_refused(tmp_path: Path) -> None:
    tensors = esrgan()
    del tensors["body.0.rdb2.conv3.weight"]
    torch.save(tensors, tmp_path / "a.pth")
    with pytest.raises(UpscalerUnusable, match=r"a\.pth"):
        load_upscaler(tmp_path / "a.pth", "cpu")


def test_a_network_for_grey_photos_is_refused(tmp_path: Path) -> None:
    tensors = esrgan(channels=1)
    tensors |= {"conv_last.weight": torch.zeros(1, FILTERS, 3, 3), "conv_last.bias": torch.zeros(1)}
    torch.save(tensors, tmp_path / "grey.pth")
    with pytest.raises(UpscalerUnusable, match=r"grey\.pth .* not RGB"):
        load_upscaler(tmp_path / "grey.pth", "cpu")


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
@pytest.mark.parametrize("content", [b"", b"no weights", b"PK\x03\x04 cut off"])
def test_damaged_files_are_refused_by_name(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointUnreadable, match=name):
        load_upscaler(tmp_path / name, "cpu")


class Repeat:
    """In place of a network: every pixel becomes 2 x 2, and ``change`` may alter a tile's result."""

    scale = 2

    def __init__(self, change: Callable[[torch.Tensor, int], torch.Tensor] = lambda tile, _: tile) -> None:
        self.change = change
        self.sides: list[tuple[int, int]] = []

    def __call__(self, tile: torch.Tensor) -> torch.Tensor:
        self.sides.append((tile.shape[2], tile.shape[3]))
        return self.change(tile.repeat_interleave(2, 2).repeat_interleave(2, 3), len(self.sides))


def repeating(network: Repeat) -> Upscaler:
    return Upscaler(network, "cpu")


@pytest.mark.parametrize("sides", [(1, 1), (64, 64), (65, 64), (48, 177), (200, 113)])
def test_every_pixel_comes_out_once_and_in_its_place(sides: tuple[int, int]) -> None:
    network, photo = Repeat(), photo_of(*sides)
    photo.flags.writeable = False
    enlarged = repeating(network).enlarge(photo, tile=64, overlap=8)
    np.testing.assert_array_equal(enlarged, photo.repeat(2, axis=0).repeat(2, axis=1))
    assert max(max(shape) for shape in network.sides) <= 64


def test_tiles_that_disagree_fade_into_each_other() -> None:
    """The first tile is black and all others are white."""
    network = Repeat(lambda tile, count: torch.full_like(tile, float(count > 1)))
    enlarged = repeating(network).enlarge(photo_of(40, 100), tile=64, overlap=8)[0, :, 0].astype(int)
    middle = (64 - 8) * 2
    assert (enlarged[: middle - 8] == 0).all()
    assert (enlarged[middle + 8 :] == 255).all()
    assert np.diff(enlarged).min() >= 0
    assert np.diff(enlarged).max() < 20


def test_a_result_that_is_not_finite_is_an_error() -> None:
    network = Repeat(lambda tile, _: tile * float("nan"))
    with pytest.raises(FloatingPointError, match="not finite"):
        repeating(network).enlarge(photo_of(8, 8))


@pytest.mark.parametrize("length", [1, 64, 65, 112, 113, 160, 1000])
def test_tiles_cover_a_side_and_only_neighbours_meet(length: int) -> None:
    tiles = spans(length, tile=64, overlap=8)
    assert tiles[0][0] == 0
    assert tiles[-1][1] == length
    assert all(stop - start <= 64 for start, stop in tiles)
    assert all(before - start == 16 for (_, before), (start, _) in pairwise(tiles))
    # tiles[2:] is two shorter on purpose: each tile is held against the one after the next
    assert all(first[1] <= third[0] for first, third in zip(tiles, tiles[2:], strict=False))


def test_tiles_that_are_too_small_for_their_overlap_are_refused() -> None:
    with pytest.raises(ValueError, match="too small"):
        spans(100, tile=64, overlap=17)
