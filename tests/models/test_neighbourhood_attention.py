"""One meaning in every way of computing it, on grids of any size from the window's on."""

import pytest
import torch

from models.nets.hdit import HDiT, HDiTShape
from models.ops.neighbourhood_attention import WAYS, Way, WindowTooLarge, neighbourhood_attention

GRIDS = [(7, 7), (8, 16), (11, 24), (16, 16), (13, 9), (32, 8)]


def heads(height: int, width: int, batch: int = 2) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Queries, keys and values (B, H, W, 3, 8)."""
    generator = torch.Generator().manual_seed(height * 100 + width)
    queries, keys, values = torch.randn(3, batch, height, width, 3, 8, generator=generator)
    return queries, keys, values


def by_hand(row: int, column: int, height: int, width: int) -> torch.Tensor:
    """One token's result (heads, D) for face 1, from the definition."""
    queries, keys, values = (part[1].double() for part in heads(height, width))
    top, left = min(max(row - 3, 0), height - 7), min(max(column - 3, 0), width - 7)
    near_keys, near_values = (part[top : top + 7, left : left + 7].flatten(0, 1) for part in (keys, values))
    scores = torch.einsum("hd,nhd->nh", queries[row, column], near_keys).softmax(0)
    return torch.einsum("nh,nhd->hd", scores, near_values)


def attended(way: Way, height: int, width: int) -> torch.Tensor:
    """The result (B, H, W, 3, 8) of one way; where torch or natten cannot say, the test is skipped."""
    if way == "natten":
        pytest.importorskip("natten")
    return neighbourhood_attention(*heads(height, width), way=way)


UNFUSED = pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile:UserWarning")


@UNFUSED
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("row", "column"), [(0, 0), (2, 17), (5, 9), (10, 23), (7, 20), (8, 3)])
def test_a_token_sees_the_seven_by_seven_window_that_is_moved_inwards_at_borders(
    way: Way, row: int, column: int
) -> None:
    found = attended(way, 11, 24)
    torch.testing.assert_close(found[1, row, column].double(), by_hand(row, column, 11, 24), rtol=1e-5, atol=1e-5)


@UNFUSED
@pytest.mark.parametrize("way", ["tiled", "flex", "natten"])
@pytest.mark.parametrize(("height", "width"), GRIDS)
def test_every_way_gives_what_the_plain_way_gives(way: Way, height: int, width: int) -> None:
    found, plain = attended(way, height, width), attended("plain", height, width)
    assert found.shape == plain.shape == heads(height, width)[0].shape
    torch.testing.assert_close(found, plain, rtol=1e-5, atol=1e-5)


@UNFUSED
def test_a_flow_comes_out_the_same_by_another_way() -> None:
    torch.manual_seed(1839)
    network = HDiT(HDiTShape((32, 64), (1, 1), head_width=16, mapping_width=48)).eval().requires_grad_(False)
    for parameter in network.parameters():
        if parameter.ndim > 1:  # several are zero at first, and would hide what attention gives
            parameter.normal_(0, 0.1)
    images, times = torch.rand(2, 3, 64, 64), torch.tensor([0.2, 0.7])
    expected = network(images, times)
    torch.testing.assert_close(network.attend_by("flex")(images, times), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kernel", [3, 5])
def test_smaller_windows_work_too(kernel: int) -> None:
    queries, keys, values = heads(9, 16)
    plain = neighbourhood_attention(queries, keys, values, kernel=kernel, way="plain")
    tiled = neighbourhood_attention(queries, keys, values, kernel=kernel, way="tiled")
    torch.testing.assert_close(tiled, plain, rtol=1e-5, atol=1e-5)


def test_values_outside_the_window_change_nothing() -> None:
    queries, keys, values = heads(16, 16)
    before = neighbourhood_attention(queries, keys, values)
    keys[:, 8:], values[:, 8:] = 1e3, 1e3
    after = neighbourhood_attention(queries, keys, values)
    assert torch.equal(after[:, :5], before[:, :5])
    assert not torch.equal(after[:, 5], before[:, 5])


def test_gradients_are_those_of_the_plain_way() -> None:
    gradients: list[torch.Tensor] = []
    for way in ("plain", "tiled"):
        queries, keys, values = (part.requires_grad_() for part in heads(8, 16))
        neighbourhood_attention(queries, keys, values, way=way).square().sum().backward()
        assert keys.grad is not None
        gradients.append(keys.grad)
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-4, atol=1e-5)


def test_a_grid_smaller_than_the_window_is_refused() -> None:
    queries, keys, values = heads(6, 16)
    with pytest.raises(WindowTooLarge, match=r"\(6, 16\) tokens has no window of 7 x 7"):
        neighbourhood_attention(queries, keys, values)
