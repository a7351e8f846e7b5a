"""SwinIR: names, sizes and the windows. ``tests/parity`` compares its arithmetic to the original's, ``test_pmrf`` to a
record.
"""

import pytest
import torch

from models.nets.swinir import L as LARGE
from models.nets.swinir import M as MEDIUM
from models.nets.swinir import SwinIR, SwinIRShape
from models.nets.swinir_blocks import joined, offsets, shift_mask, windows_of
from tests.golden.make_pmrf import REGRESSOR, small_networks


def faces(height: int, width: int, channels: int = 3, count: int = 2) -> torch.Tensor:
    return torch.rand(count, channels, height, width, generator=torch.Generator().manual_seed(height + width))


@pytest.mark.parametrize(("shape", "parameters", "tensors"), [(LARGE, 15_792_587, 732), (MEDIUM, 4_741_007, 465)])
def test_published_sizes(shape: SwinIRShape, parameters: int, tensors: int) -> None:
    network = SwinIR(shape)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    assert len(network.state_dict()) == tensors


def test_the_mean_is_no_part_of_the_file_and_constants_are() -> None:
    names = SwinIR(REGRESSOR).state_dict()
    block = "layers.0.residual_group.blocks"
    assert "mean" not in names
    assert tuple(names[f"{block}.1.attn_mask"].shape) == (64, 64, 64)
    assert f"{block}.0.attn_mask" not in names
    assert names[f"{block}.0.attn.relative_position_index"].dtype == torch.int64


def test_windows_are_joined_as_they_were() -> None:
    tokens = torch.arange(2 * 16 * 24 * 3.0).view(2, 16, 24, 3)
    windows = windows_of(tokens)
    assert windows.shape == (2, 6, 64, 3)
    assert torch.equal(windows[1, 4].view(8, 8, 3), tokens[1, 8:, 8:16])
    assert torch.equal(joined(windows, 16, 24), tokens)


def test_offsets_run_from_the_far_corner() -> None:
    found = offsets()
    assert found[0, 63] == 0
    assert found[63, 0] == 224
    assert found.diagonal().unique().tolist() == [7 * 15 + 7]
    assert found[8, 0] - found[0, 0] == 15


def test_only_windows_at_the_far_borders_are_masked() -> None:
    mask = shift_mask(24, 16)
    assert mask.shape == (6, 64, 64)
    assert mask.unique().tolist() == [-100, 0]
    assert not mask[0].any()
    corner = mask[5].view(8, 8, 8, 8)
    assert not corner[0, 0, :4, :4].any()
    assert (corner[0, 0, 4:] == -100).all()
    assert (corner[0, 0, :, 4:] == -100).all()


@pytest.mark.parametrize(("height", "width"), [(64, 128), (72, 64), (100, 37)])
def test_any_sides_work_and_faces_do_not_mix(height: int, width: int) -> None:
    network = small_networks().mmse_model
    assert network is not None
    images = faces(height, width)
    together = network(images)
    assert together.shape == images.shape
    torch.testing.assert_close(together[1:], network(images[1:]), rtol=1e-4, atol=1e-5)


def test_grey_is_the_same_as_grey_in_three_channels() -> None:
    network = small_networks().mmse_model
    assert network is not None
    grey = faces(64, 64, channels=1)
    torch.testing.assert_close(network(grey), network(grey.expand(-1, 3, -1, -1)))


def test_on_the_published_grid_the_stored_mask_is_what_would_be_made() -> None:
    block = SwinIR(REGRESSOR).get_submodule("layers.0.residual_group.blocks.1")
    assert torch.equal(block.get_buffer("attn_mask"), shift_mask(64, 64))


def test_bfloat16_comes_near() -> None:
    network = small_networks().mmse_model
    assert network is not None
    images = faces(64, 64)
    exact = network(images)
    found = network.compute_in(torch.bfloat16)(images)
    assert found.dtype == torch.float32
    assert 0 < (found - exact).norm() / exact.norm() < 0.03
