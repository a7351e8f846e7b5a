"""The rasteriser beside one that looks at every pixel and every triangle."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models.ops import rasterize
from models.ops.rasterize import NONE, barycentrics, interpolated, visible

Floats = NDArray[np.float64]
Mesh = tuple[torch.Tensor, torch.Tensor]  # points (V, 3) in float64 and triangles (T, 3)
Make = Callable[[np.random.Generator], Mesh]

SIDE = 32
BATCHES = (1, 3, 8)


def by_force(points: torch.Tensor, triangles: torch.Tensor, side: int = SIDE) -> NDArray[np.int64]:
    """The triangle that each pixel of one mesh shows, (side, side), in float64."""
    best = np.full((side, side), np.inf)
    shown = np.full((side, side), NONE)
    centres = 1 - (2 * np.arange(side) + 1) / side
    x, y = centres[None, :], centres[:, None]
    for index, triangle in enumerate(triangles.numpy()):
        corners = points.numpy().astype(np.float64)[triangle]
        inside, depth = hits(corners, x, y)
        nearer = inside & (depth < best)
        best[nearer], shown[nearer] = depth[nearer], index
    return shown


def hits(corners: Floats, x: Floats, y: Floats) -> tuple[NDArray[np.bool_], Floats]:
    """Which pixels have their centres in one triangle, and its depth there."""
    (x0, y0, z0), (x1, y1, z1), (x2, y2, z2) = corners
    area = (x2 - x0) * (y1 - y0) - (y2 - y0) * (x1 - x0)
    if not np.isfinite(corners).all() or abs(area) <= 1e-8 or min(z0, z1, z2) < 1e-8:
        return np.zeros((y.size, x.size), bool), np.zeros((y.size, x.size))
    first = ((x - x1) * (y2 - y1) - (y - y1) * (x2 - x1)) / (area + 1e-8)
    second = ((x - x2) * (y0 - y2) - (y - y2) * (x0 - x2)) / (area + 1e-8)
    third = ((x - x0) * (y1 - y0) - (y - y0) * (x1 - x0)) / (area + 1e-8)
    weights = np.stack([first * (z1 * z2), second * (z0 * z2), third * (z0 * z1)])
    weights = weights / np.maximum(weights.sum(0), 1e-8)
    return (first > 0) & (second > 0) & (third > 0), weights[0] * z0 + weights[1] * z1 + weights[2] * z2


def soup(random: np.random.Generator) -> Mesh:
    """Triangles of all sizes and both windings, many over one another and some over the border."""
    centres = random.uniform(-1.2, 1.2, (100, 1, 2))
    corners = centres + random.normal(size=(100, 3, 2)) * random.uniform(0.01, 0.6, (100, 1, 1))
    depths = random.uniform(2, 12, (100, 3, 1))
    return mesh_of(np.concatenate([corners, depths], 2))


def surface(random: np.random.Generator) -> Mesh:
    """A bumpy sheet of small triangles that share their corners, folded over itself."""
    side = 16
    rows, columns = np.mgrid[0:side, 0:side] / (side - 1) * 2 - 1
    x = 0.8 * np.sin(2.2 * columns) + 0.02 * random.normal(size=rows.shape)
    y = 0.9 * rows + 0.02 * random.normal(size=rows.shape)
    points = np.stack([x, y, 10 + np.cos(3 * columns) + 0.2 * rows], -1).reshape(-1, 3)
    index = np.arange(side * side).reshape(side, side)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]
    triangles = np.concatenate([np.stack([a, c, b], -1).reshape(-1, 3), np.stack([b, c, d], -1).reshape(-1, 3)])
    return torch.from_numpy(points), torch.from_numpy(triangles)


def degenerate(random: np.random.Generator) -> Mesh:
    """Among good triangles points, lines, slivers, and corners behind the eye or nowhere."""
    points, triangles = soup(random)
    corners = points[triangles].clone()
    corners[0:10, 1] = corners[0:10, 0]
    corners[10:20, 2] = (corners[10:20, 0] + corners[10:20, 1]) / 2
    corners[20:30, 2, :2] = corners[20:30, 0, :2] + 1e-9
    corners[30:40, 0, 2] *= -1
    corners[40:50, 1, 2] = 0
    corners[50:55, 1, 0] = torch.nan
    corners[55:60, 2, 1] = torch.inf
    corners[60:65, 0, 2] = torch.nan
    return mesh_of(corners.numpy())


def back_facing(random: np.random.Generator) -> Mesh:
    points, triangles = surface(random)
    return points, triangles.flip(1)


def off_screen(random: np.random.Generator) -> Mesh:
    """Some beside the image, some huge ones over all of it, some that cross one border."""
    points, triangles = soup(random)
    corners = points[triangles].clone()
    corners[:40, :, 0] += 3
    corners[40:80, :, 1] -= 2.5
    corners[80:90, :, :2] *= 1e3
    corners[90:, :, 0] += 1
    return mesh_of(corners.numpy())


def same_place(random: np.random.Generator) -> Mesh:
    """Every triangle several times: equal depth everywhere, so that the index decides."""
    points, triangles = soup(random)
    return points, triangles.repeat(3, 1)[torch.from_numpy(random.permutation(300))]


def flat(random: np.random.Generator) -> Mesh:
    """Overlapping triangles all at one depth, which is a power of two: every pixel is a tie."""
    points, triangles = soup(random)
    points[:, 2] = 8
    return points, triangles


def mesh_of(corners: Floats) -> Mesh:
    """Triangles (T, 3, 3) that share no corners."""
    return torch.from_numpy(corners.reshape(-1, 3)), torch.arange(3 * len(corners)).view(-1, 3)


MESHES: tuple[Make, ...] = (soup, surface, degenerate, back_facing, off_screen, same_place)


def batch_of(make: Make, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """``count`` meshes with the triangles of the first: its corners moved about, another way in each."""
    points, triangles = make(np.random.default_rng(1839))
    generator = torch.Generator().manual_seed(7)
    moves = torch.rand(count, 1, 3, generator=generator, dtype=torch.float64) * 0.3
    moves[0] = 0
    return points + moves, triangles


@pytest.mark.parametrize("count", BATCHES)
@pytest.mark.parametrize("make", MESHES)
def test_in_float64_every_pixel_is_that_of_brute_force(make: Make, count: int) -> None:
    points, triangles = batch_of(make, count)
    shown = visible(points, triangles, SIDE)
    for one, found in zip(points, shown, strict=True):
        expected = by_force(one, triangles)
        assert (expected != NONE).any()
        np.testing.assert_array_equal(found.numpy(), expected)


@pytest.mark.parametrize("count", BATCHES)
@pytest.mark.parametrize("make", MESHES)
def test_in_float32_two_pixels_of_a_mesh_differ_at_most(make: Make, count: int) -> None:
    points, triangles = batch_of(make, count)
    shown = visible(points.float(), triangles, SIDE)
    for one, found in zip(points.float(), shown, strict=True):
        assert (found.numpy() != by_force(one, triangles)).sum() <= 2


@pytest.mark.parametrize("make", [*MESHES, flat])
def test_a_mesh_comes_out_the_same_in_any_batch(make: Make) -> None:
    points, triangles = batch_of(make, 8)
    together = visible(points.float(), triangles, SIDE)
    for chosen in ([5], [7, 0, 3]):
        assert torch.equal(visible(points.float()[chosen], triangles, SIDE), together[chosen])


def test_ties_go_to_the_lowest_index() -> None:
    corners = np.array([[-0.9, -0.9, 8], [0.9, -0.9, 8], [0, 0.9, 8]])
    points, _ = mesh_of(corners[None])
    triangles = torch.tensor([[0, 1, 2]] * 4)
    shown = visible(points[None].float(), triangles, SIDE)
    assert shown.unique().tolist() == [NONE, 0]
    nearer = torch.cat([points, points - torch.tensor([0, 0, 1])])
    order = torch.tensor([[0, 1, 2], [3, 4, 5], [0, 1, 2], [3, 4, 5]])
    assert visible(nearer[None].float(), order, SIDE).unique().tolist() == [NONE, 1]


def test_a_pixel_whose_centre_lies_on_an_edge_shows_neither_triangle() -> None:
    """Two halves of a square whose diagonal, and whose border, go through centres: 16 pixels make exact numbers."""
    low, high = 1 - 25 / 16, 1 - 7 / 16
    corners = torch.tensor([[low, low, 4.0], [high, low, 4.0], [high, high, 4.0], [low, high, 4.0]])
    shown = visible(corners[None], torch.tensor([[0, 1, 2], [0, 2, 3]]), 16)[0]
    expected = torch.full((16, 16), NONE)
    for row in range(4, 12):
        for column in range(4, 12):
            if row != column:
                expected[row, column] = 0 if column < row else 1
    assert torch.equal(shown, expected)


def test_no_mesh_and_nothing_to_see_give_empty_images() -> None:
    triangles = torch.tensor([[0, 1, 2]])
    assert visible(torch.zeros(0, 3, 3), triangles, 8).shape == (0, 8, 8)
    assert (visible(torch.full((2, 3, 3), torch.nan), triangles, 8) == NONE).all()
    weights = barycentrics(torch.ones(2, 3, 3), triangles, torch.full((2, 8, 8), NONE))
    assert weights.shape == (2, 8, 8, 3)
    assert not weights.any()


def test_pieces_of_the_work_give_the_same_as_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    points, triangles = batch_of(same_place, 3)
    whole = visible(points, triangles, SIDE)
    monkeypatch.setattr(rasterize, "MOST", 500)
    assert torch.equal(visible(points, triangles, SIDE), whole)


def test_a_linear_function_of_space_is_interpolated_in_perspective() -> None:
    """1 / depth is linear on the screen; x, y and depth in space at a pixel are those of the ray through it."""
    points, triangles = batch_of(soup, 2)
    shown = visible(points, triangles, SIDE)
    weights = barycentrics(points, triangles, shown)
    space = torch.cat([points[..., :2] * points[..., 2:], points[..., 2:]], -1)
    image = interpolated(space, triangles, shown, weights)
    hit = shown != NONE
    centres = 1 - (2 * torch.arange(SIDE) + 1).double() / SIDE
    x, y, depth = (image[:, channel][hit] for channel in range(3))
    torch.testing.assert_close(x / depth, centres.expand(2, SIDE, SIDE)[hit], atol=1e-5, rtol=0)
    torch.testing.assert_close(y / depth, centres[:, None].expand(2, SIDE, SIDE)[hit], atol=1e-5, rtol=0)
    torch.testing.assert_close(weights.sum(-1)[hit], torch.ones(int(hit.sum())).double())
    assert not image.permute(0, 2, 3, 1)[~hit].any()


def test_weights_and_values_have_gradients() -> None:
    points, triangles = batch_of(surface, 1)
    shown = visible(points, triangles, 8)
    values = torch.rand(1, points.shape[1], 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    def image(places: torch.Tensor, colours: torch.Tensor) -> torch.Tensor:
        return interpolated(colours, triangles, shown, barycentrics(places, triangles, shown))

    assert torch.autograd.gradcheck(
        image, (points.requires_grad_(), values.requires_grad_()), eps=1e-7, atol=1e-4, fast_mode=True
    )
