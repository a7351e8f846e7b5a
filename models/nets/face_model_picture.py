"""Pictures of morphable faces: SGPN's camera, and the way of what it sees into the crop.

Facts from ``TencentYoutuResearch/FaceRestoration-sgpn:face_d3dfr/BaseModel.py``. One picture is made, where the
original makes two and uses one.
"""

from typing import NamedTuple

import torch

from models.nets.face_model import FaceModel, Head
from models.nets.face_reconstruction_warp import warped
from models.ops.rasterize import NONE, barycentrics, interpolated, visible

SIDE = 224
FOCAL = 1015.0  # px
DISTANCE = 10.0  # of the camera from the origin, along z


class Picture(NamedTuple):
    """``colour`` (B, 3, S, S) in 0 to 255, 0 behind the face; ``covered`` (B, 1, S, S), 1 where the face is."""

    colour: torch.Tensor
    covered: torch.Tensor


def projected(vertices: torch.Tensor) -> torch.Tensor:
    """``vertices`` (B, V, 3) in the coordinates of ``models.ops.rasterize``: x left, y up, depth."""
    depth = DISTANCE - vertices[..., 2]
    scale = FOCAL / (SIDE / 2) / depth
    return torch.stack([-vertices[..., 0] * scale, vertices[..., 1] * scale, depth], -1)


def landmarks(model: FaceModel, head: Head) -> torch.Tensor:
    """The 68 landmarks (B, 68, 2) in pixels of the picture, from its top left corner."""
    points = projected(head.vertices[:, model.keypoints])[..., :2]
    return SIDE / 2 * (1 - points)


def picture(model: FaceModel, head: Head) -> Picture:
    """What the camera sees of faces in space, at 224 x 224. Differentiable in them, though not in what is covered."""
    points = projected(head.vertices)
    shown = visible(points, model.triangles, SIDE)
    weights = barycentrics(points, model.triangles, shown)
    colour = interpolated(head.colours, model.triangles, shown, weights).clamp(0, 255)
    return Picture(colour, (shown != NONE)[:, None].to(colour.dtype))


def in_crop(seen: Picture, back: torch.Tensor, side: int) -> torch.Tensor:
    """Pictures in their crops, (B, 3, side, side) in [-1, 1], -1 behind the face.

    ``back`` (B, 2, 3) takes pixels of the picture to pixels of the crop. At the outline the coverage enters twice, as
    in the original, to which the published weights are used.
    """
    layers = warped(torch.cat([seen.colour / 255, seen.covered], 1), back, side)
    return 2 * (layers[:, :3] * layers[:, 3:]) - 1
