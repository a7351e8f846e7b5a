"""The convolution of a doubled picture is that of the picture after doubling, borders included."""

import pytest
import torch
from torch.nn import functional

from models.ops.doubled import doubled_conv

Shape = tuple[int, int, int, int]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1, 3, 1, 1), (1, 2, 1, 5), (2, 5, 4, 3), (1, 8, 16, 16)])
def test_it_is_doubling_then_convolving(shape: Shape, bias: bool) -> None:
    generator = torch.Generator().manual_seed(1839)
    features = torch.randn(shape, generator=generator, dtype=torch.float64)
    weight = torch.randn(7, shape[1], 3, 3, generator=generator, dtype=torch.float64)
    added = torch.randn(7, generator=generator, dtype=torch.float64) if bias else None
    expected = functional.conv2d(
        functional.interpolate(features, scale_factor=2.0, mode="nearest"), weight, added, padding=1
    )
    torch.testing.assert_close(doubled_conv(features, weight, added), expected)


def test_gradients_flow_through_it() -> None:
    features = torch.randn(1, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(doubled_conv, (features, weight, bias))
