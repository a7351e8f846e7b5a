"""Triangles to pixels: which triangle of a mesh each pixel shows, in plain PyTorch, for a batch of meshes at once.

The conventions are PyTorch3D's (``facebookresearch/pytorch3d:pytorch3d/csrc/rasterize_meshes``), with blur radius 0 and
one face a pixel. Points are in its normalised coordinates: x points left and y up, the image reaches from -1 to 1, and
pixel (row r, column c) of S x S has its centre at x = 1 - (2 c + 1) / S, y = 1 - (2 r + 1) / S; z is the depth. A pixel
shows the nearest triangle that has its centre strictly inside, whichever way it faces; of equal ones that with the
lowest index.
"""

from collections.abc import Iterator

import torch

SMALLEST = 1e-8  # of twice a triangle's area, of depths, and of what is divided by
MARGIN = 1 / 256  # px around a bounding box: what rounding may take from it
MOST = 1 << 22  # pixels that are looked at together: about 0.5 GB in float32
NONE = -1  # in place of a triangle's index

Boxes = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


def visible(points: torch.Tensor, triangles: torch.Tensor, side: int) -> torch.Tensor:
    """The index of the triangle that each pixel shows, (B, side, side) int64, ``NONE`` where it shows none.

    ``points`` is (B, V, 3), x, y and depth; ``triangles`` (T, 3), the meshes' common indices into V. Triangles with no
    area, with a vertex at or behind the eye, or with a coordinate that is not finite, are not seen. Every step is exact
    or a minimum, so that a mesh comes out the same in any batch.
    """
    with torch.no_grad():
        corners = points[:, triangles].flatten(0, 1)
        indices, boxes = _on_screen(corners, side)
        best = corners.new_full((len(points) * side * side,), torch.inf)
        shown = torch.full_like(best, NONE, dtype=torch.int64)
        for chosen, (rows, columns) in _candidates(boxes):
            meshes, triangle = indices[chosen] // len(triangles), indices[chosen] % len(triangles)
            inside, depth = _hits(corners[indices[chosen]], rows, columns, side)
            pixels = (meshes * side + rows) * side + columns
            _nearer(best, shown, pixels[inside], triangle[inside], depth[inside])
        return shown.view(len(points), side, side)


def barycentrics(points: torch.Tensor, triangles: torch.Tensor, shown: torch.Tensor) -> torch.Tensor:
    """How much of each vertex of its triangle a pixel shows, in perspective, (B, S, S, 3); zero where it shows none.

    ``shown`` is what ``visible`` gave. The result is differentiable in ``points``, though not in what is covered.
    """
    side = shown.shape[-1]
    mesh, row, column = torch.where(shown != NONE)
    corners = points[mesh[:, None], triangles[shown[mesh, row, column]]]
    weights = _perspective(_screen_weights(corners, *_centres(row, column, side, points.dtype)), corners[..., 2])
    return points.new_zeros((*shown.shape, 3)).index_put((mesh, row, column), weights)


def interpolated(
    values: torch.Tensor, triangles: torch.Tensor, shown: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """The vertices' ``values`` (B, V, C) at each pixel, (B, C, S, S); zero where a pixel shows no triangle.

    ``shown`` and ``weights`` are what ``visible`` and ``barycentrics`` gave.
    """
    mesh, row, column = torch.where(shown != NONE)
    corners = values[mesh[:, None], triangles[shown[mesh, row, column]]]
    mixed = (corners * weights[mesh, row, column][..., None]).sum(1)
    image = values.new_zeros((*shown.shape, values.shape[-1])).index_put((mesh, row, column), mixed)
    return image.permute(0, 3, 1, 2).contiguous()


def _on_screen(corners: torch.Tensor, side: int) -> tuple[torch.Tensor, Boxes]:
    """Which of ``corners`` (N, 3, 3) may be seen, and the first and last row and column of pixels in their boxes."""
    low, high = corners.amin(1), corners.amax(1)
    top, left = ((side * (1 - high[:, axis]) - 1) / 2 - MARGIN for axis in (1, 0))
    bottom, right = ((side * (1 - low[:, axis]) - 1) / 2 + MARGIN for axis in (1, 0))
    edges = [top.ceil().clamp(min=0), bottom.floor().clamp(max=side - 1)]
    edges += [left.ceil().clamp(min=0), right.floor().clamp(max=side - 1)]
    there = (edges[0] <= edges[1]) & (edges[2] <= edges[3]) & (low[:, 2] >= SMALLEST)
    [indices] = torch.where(there & corners.isfinite().flatten(1).all(1))
    indices = indices[_twice_area(corners[indices]).abs() > SMALLEST]
    first_row, last_row, first_column, last_column = (edge[indices].long() for edge in edges)
    return indices, (first_row, last_row, first_column, last_column)


def _candidates(boxes: Boxes) -> Iterator[tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]]:
    """The pixels in the boxes, row by row: the number of each one's box, and its row and column.

    They come in the order of the boxes, at most about ``MOST`` at a time.
    """
    top, bottom, left, right = boxes
    heights, widths = bottom - top + 1, right - left + 1
    ends = (heights * widths).cumsum(0)
    start, done = 0, 0
    while start < len(top):
        stop = max(start + 1, int(torch.searchsorted(ends, done + MOST, right=True)))
        box = torch.arange(start, stop, device=top.device).repeat_interleave((heights * widths)[start:stop])
        place = torch.arange(done, done + len(box), device=top.device) - (ends - heights * widths)[box]
        yield box, (top[box] + place // widths[box], left[box] + place % widths[box])
        start, done = stop, done + len(box)


def _hits(
    corners: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor, side: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Whether pixels lie in their triangles ``corners`` (N, 3, 3), and the depth of these there."""
    weights = _screen_weights(corners, *_centres(rows, columns, side, corners.dtype))
    depth = (_perspective(weights, corners[..., 2]) * corners[..., 2]).sum(-1)
    return (weights > 0).all(-1) & depth.isfinite(), depth


def _nearer(
    best: torch.Tensor, shown: torch.Tensor, pixels: torch.Tensor, triangles: torch.Tensor, depth: torch.Tensor
) -> None:
    """Enter into ``best`` and ``shown`` (N,) the nearest of what newly hits ``pixels``; ties go to the lowest index."""
    before = best.clone()
    best.scatter_reduce_(0, pixels, depth, "amin")
    winning = (depth == best[pixels]) & (depth < before[pixels])
    shown[pixels[winning]] = torch.iinfo(torch.int64).max
    shown.scatter_reduce_(0, pixels[winning], triangles[winning], "amin")


def _centres(
    rows: torch.Tensor, columns: torch.Tensor, side: int, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    """x and y of pixels."""
    across, down = (1 - (2 * places + 1).to(dtype) / side for places in (columns, rows))
    return across, down


def _screen_weights(corners: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The barycentric coordinates (N, 3) of points (N,) in ``corners`` (N, 3, 3), on the screen."""
    area = _twice_area(corners) + SMALLEST
    across, down = corners[..., 0], corners[..., 1]
    sides = [_edge(x, y, across, down, a, b) for a, b in ((1, 2), (2, 0), (0, 1))]
    return torch.stack(sides, -1) / area[:, None]


def _twice_area(corners: torch.Tensor) -> torch.Tensor:
    across, down = corners[..., 0], corners[..., 1]
    return _edge(across[:, 2], down[:, 2], across, down, 0, 1)


def _edge(
    x: torch.Tensor, y: torch.Tensor, across: torch.Tensor, down: torch.Tensor, start: int, end: int
) -> torch.Tensor:
    """Twice the signed area between points and the edge from one corner to another."""
    width, height = across[:, end] - across[:, start], down[:, end] - down[:, start]
    return (x - across[:, start]) * height - (y - down[:, start]) * width


def _perspective(weights: torch.Tensor, depths: torch.Tensor) -> torch.Tensor:
    """Screen weights (N, 3) as weights in space; ``depths`` (N, 3) are the corners'."""
    first, second, third = depths.unbind(-1)
    top = weights * torch.stack([second * third, first * third, first * second], -1)
    return top / top.sum(-1, keepdim=True).clamp(min=SMALLEST)
