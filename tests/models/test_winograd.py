"""Convolutions of rows: the same numbers as PyTorch's, whatever comes before and after them."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional

from models.ops.rows import Border, Convolver, Source, instance_norm_of, moments, norm_of
from models.ops.winograd import convolve, fits, kernel_of

silu_ = partial(functional.silu, inplace=True)


def picture(height: int, width: int, channels: int, seed: int = 7) -> torch.Tensor:
    return torch.randn(height, width, channels, generator=torch.Generator().manual_seed(seed))


def planes(rows: torch.Tensor) -> torch.Tensor:
    """(H, W, C) as PyTorch's layers take it."""
    return rows.permute(2, 0, 1)[None].contiguous()


def layer(channels: int, out: int, stride: int = 1, bias: bool = True) -> nn.Conv2d:
    torch.manual_seed(11)
    return nn.Conv2d(channels, out, 3, stride, bias=bias).requires_grad_(False)


def offset_of(conv: nn.Conv2d) -> torch.Tensor | None:
    return None if conv.bias is None else conv.bias.double()


def error(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((planes(found).double() - expected).norm() / expected.norm())


@pytest.mark.parametrize("border", ["zero", "mirror"])
@pytest.mark.parametrize("size", [(64, 64), (68, 132), (64, 512), (32, 32), (66, 70), (16, 20)])
def test_every_size_and_border_gives_pytorchs_numbers(size: tuple[int, int], border: Border) -> None:
    rows, conv = picture(*size, 32), layer(32, 48)
    mode = "constant" if border == "zero" else "reflect"
    expected = functional.conv2d(
        functional.pad(planes(rows).double(), (1,) * 4, mode=mode), conv.weight.double(), offset_of(conv)
    )
    found = Convolver()(conv, Source([rows], border=border))
    assert found.shape == (*size, 48)
    assert error(found, expected) < 3e-6


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("size", [(64, 64), (16, 16)])
def test_norm_activation_parts_doubling_and_border_come_before(size: tuple[int, int], bias: bool) -> None:
    parts, conv = [picture(*size, 40), picture(*size, 24, 8)], layer(64, 32, bias=bias)
    norm = nn.GroupNorm(32, 64).requires_grad_(False)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    joined = functional.silu(norm(planes(torch.cat(parts, dim=2)))).double()
    large = functional.interpolate(joined, scale_factor=2, mode="nearest")
    weight, offset = conv.weight.double(), offset_of(conv)
    expected = functional.conv2d(functional.pad(large, (1,) * 4, mode="reflect"), weight, offset)
    factors, offsets = (value.float() for value in norm_of(norm, parts))
    source = Source(parts, factors, offsets, silu_, doubled=True, border="mirror")
    assert error(Convolver()(conv, source), expected) < 3e-6


def test_a_stride_halves_the_picture() -> None:
    rows, conv = picture(64, 96, 32), layer(32, 32, stride=2)
    padded = functional.pad(planes(rows).double(), (1,) * 4)
    expected = functional.conv2d(padded, conv.weight.double(), offset_of(conv), stride=2)
    assert error(Convolver()(conv, Source([rows])), expected) < 3e-6


@pytest.mark.parametrize("size", [(128, 64), (32, 256)])
def test_finished_rows_are_changed_where_they_lie(size: tuple[int, int]) -> None:
    rows, conv = picture(*size, 32), layer(32, 32)

    def add(done: torch.Tensor, first: int) -> None:
        done += rows[first : first + len(done)]

    source = Source([rows])
    found = Convolver()(conv, source, add)
    torch.testing.assert_close(found, Convolver()(conv, source) + rows)


def test_a_kernel_is_transformed_once_and_changes_no_weight() -> None:
    conv, rows, convolver = layer(32, 32), picture(64, 64, 32), Convolver()
    before = conv.weight.clone()
    first = convolver(conv, Source([rows]))
    assert torch.equal(convolver(conv, Source([rows])), first)
    assert torch.equal(conv.weight, before)


def test_a_kernel_of_one_at_its_centre_leaves_the_picture() -> None:
    weight, rows = torch.zeros(3, 3, 3, 3), picture(64, 68, 3)
    weight[range(3), range(3), 1, 1] = 1
    found = convolve(kernel_of(weight, None), 64, 68, Source([rows]).fill)
    torch.testing.assert_close(found, rows, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("height", "width", "yes"), [(64, 64, True), (60, 64, False), (64, 66, False), (256, 64, True)]
)
def test_small_and_odd_pictures_are_left_to_pytorch(height: int, width: int, yes: bool) -> None:
    assert fits(height, width) is yes


def test_statistics_are_exact_far_from_zero() -> None:
    rows = picture(100, 130, 5) * 0.01 + 1000
    mean, variance = moments([rows[..., :2].contiguous(), rows[..., 2:].contiguous()])
    flat = rows.double().flatten(0, 1)
    torch.testing.assert_close(mean, flat.mean(0), rtol=1e-9, atol=0)
    torch.testing.assert_close(variance, flat.var(0, unbiased=False), rtol=1e-5, atol=0)


def test_an_instance_norm_as_factors_and_offsets_gives_pytorchs_numbers() -> None:
    rows = picture(40, 50, 6) * 3 + 2
    norm = nn.InstanceNorm2d(6, affine=True).requires_grad_(False)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    factors, offsets = instance_norm_of(norm, rows)
    assert error((rows * factors + offsets).float(), norm(planes(rows).double().float()).double()) < 1e-6
