"""HDiT: names, sizes and dtypes. ``tests/parity`` compares its arithmetic to the original's, ``test_pmrf`` to a
record.
"""

import pytest
import torch

from models.nets.hdit import IMAGENET_256_SP4, XL2, HDiT, HDiTShape
from models.nets.hdit_layers import AxialRope, rotated
from tests.golden.make_pmrf import FLOW, small_networks

NAMES = (
    "patch_in.proj.weight",
    "time_emb.weight",
    "time_in_proj.weight",
    "aug_emb.weight",
    "aug_in_proj.weight",
    "mapping.in_norm.scale",
    "mapping.blocks.0.norm.scale",
    "mapping.blocks.0.up_proj.weight",
    "mapping.blocks.0.down_proj.weight",
    "mapping.blocks.1.norm.scale",
    "mapping.blocks.1.up_proj.weight",
    "mapping.blocks.1.down_proj.weight",
    "mapping.out_norm.scale",
)
LAYER = (
    "self_attn.scale",
    "self_attn.norm.linear.weight",
    "self_attn.qkv_proj.weight",
    "self_attn.pos_emb.freqs",
    "self_attn.out_proj.weight",
    "ff.norm.linear.weight",
    "ff.up_proj.weight",
    "ff.down_proj.weight",
)
END = ("merges.0.proj.weight", "splits.0.fac", "splits.0.proj.weight", "out_norm.scale", "patch_out.proj.weight")
LEVELS = ("down_levels.0.0", "up_levels.0.0", "mid_level.0", "mid_level.1")


def test_names_and_order_of_the_tensors_are_the_published_ones() -> None:
    """The order counts: averaged weights are a list without names."""
    layers = [f"{level}.{name}" for level in LEVELS for name in LAYER]
    assert list(HDiT(FLOW).state_dict()) == [*NAMES, *layers, *END]


@pytest.mark.parametrize(
    ("shape", "channels", "parameters", "tensors"),
    [
        (IMAGENET_256_SP4, 3, 160_460_210, 149),
        (XL2, 3, 121_544_221, 138),
        (XL2, 4, 121_550_365, 138),
        (XL2, 6, 121_562_653, 138),
    ],
)
def test_published_sizes(shape: HDiTShape, channels: int, parameters: int, tensors: int) -> None:
    with torch.device("meta"):
        network = HDiT(shape, channels)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    assert len(network.state_dict()) == tensors


def test_sides_must_be_multiples_of_a_coarse_token() -> None:
    assert (IMAGENET_256_SP4.multiple, XL2.multiple) == (16, 8)


def test_a_new_network_has_no_velocity() -> None:
    found = HDiT(FLOW)(torch.rand(1, 3, 32, 32), torch.tensor([0.5]))
    assert torch.count_nonzero(found) == 0


def test_rectangles_and_batches_work_and_faces_do_not_mix() -> None:
    network = small_networks().model
    faces = torch.rand(2, 3, 32, 64, generator=torch.Generator().manual_seed(1))
    times = torch.tensor([0.2, 0.9])
    together, alone = network(faces, times), network(faces[1:], times[1:])
    assert together.shape == faces.shape
    torch.testing.assert_close(together[1:], alone, rtol=1e-4, atol=1e-5)


def test_the_time_counts_and_the_augmentation_does_not() -> None:
    network = small_networks().model
    face, time = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1)), torch.tensor([0.5])
    before = network(face, time)
    assert (network(face, time + 0.1) - before).abs().max() > 1e-3
    network.aug_emb.weight.fill_(7)
    assert torch.equal(network(face, time), before)


def test_a_rotation_keeps_lengths_and_leaves_half_of_the_channels_alone() -> None:
    heads = torch.randn(1, 5, 8, 2, 16, generator=torch.Generator().manual_seed(1))
    cosines, sines = AxialRope(2, 16)(5, 8)
    turned = rotated(heads, cosines, sines)
    assert torch.equal(turned[..., 8:], heads[..., 8:])
    assert not torch.allclose(turned[..., :8], heads[..., :8])
    torch.testing.assert_close(turned.norm(dim=-1), heads.norm(dim=-1))


def test_scores_depend_on_how_far_two_tokens_are_apart_only() -> None:
    head = torch.randn(16, generator=torch.Generator().manual_seed(1)).expand(1, 8, 8, 1, 16)
    turned = rotated(head, *AxialRope(1, 16)(8, 8))[0, :, :, 0]
    torch.testing.assert_close(turned[0, 0] @ turned[2, 3], turned[4, 1] @ turned[6, 4], rtol=1e-4, atol=1e-4)


def test_in_bfloat16_the_way_of_the_time_stays_in_float32() -> None:
    network = small_networks().model
    faces = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    exact = network(faces, torch.tensor([0.3]))
    lower = network.compute_in(torch.bfloat16)
    assert lower.condition(torch.tensor([0.3])).dtype == torch.float32
    assert lower.mid_level[0].get_parameter("ff.up_proj.weight").dtype == torch.bfloat16
    found = lower(faces, torch.tensor([0.3])).float()
    assert 0 < (found - exact).norm() / exact.norm() < 0.03
