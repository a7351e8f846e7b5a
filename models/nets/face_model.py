"""A morphable face: a mesh whose shape and colours are linear in coefficients, lit by spherical harmonics.

The model is the Basel Face Model of 2009 with the expressions of FaceWarehouse, cut to 35,709 vertices, as
``sicxu/Deep3DFaceRecon_pytorch`` and SGPN use it (``TencentYoutuResearch/FaceRestoration-sgpn:face_d3dfr``); a mesh of
any size works. Two faults of SGPN's code are not repeated: normals of exactly three faces, and of lone vertices.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

IDENTITY, EXPRESSION, TEXTURE, ANGLES, LIGHT, TRANSLATION = 80, 64, 80, 3, 27, 3
PARTS = (IDENTITY, EXPRESSION, TEXTURE, ANGLES, LIGHT, TRANSLATION)
COEFFICIENTS = sum(PARTS)  # 257
AMBIENT = 0.8  # added to the first coefficient of each colour's light
CONSTANT, LINEAR, QUADRATIC = 0.886226925, 1.772453851, 2.427032391  # a0, a1, a2: Lambert's weights times the harmonics


@dataclass(frozen=True, slots=True)
class FaceArrays:
    """What a model's file holds, in float32, with indices from 0.

    ``mean_shape`` (V, 3) and ``shape_basis`` (3 V, 144), identity first, are in decimetres; ``mean_colour`` (V, 3) and
    ``colour_basis`` (3 V, 80) in 0 to 255. ``triangles`` is (T, 3); ``around`` (V, 8) holds the triangles around each
    vertex, T where there are fewer; ``keypoints`` (68,) the vertices of the landmarks.
    """

    mean_shape: torch.Tensor
    shape_basis: torch.Tensor
    mean_colour: torch.Tensor
    colour_basis: torch.Tensor
    triangles: torch.Tensor
    around: torch.Tensor
    keypoints: torch.Tensor


class Coefficients(NamedTuple):
    """The parts of (B, 257): ``angles`` about x, y and z in radians, ``light`` nine numbers a colour."""

    identity: torch.Tensor
    expression: torch.Tensor
    texture: torch.Tensor
    angles: torch.Tensor
    light: torch.Tensor
    translation: torch.Tensor


class Head(NamedTuple):
    """Faces in space: ``vertices`` and ``normals`` (B, V, 3), ``colours`` (B, V, 3) in 0 to 255, not clamped.

    The camera looks from (0, 0, 10) to -z; x points right in the image, y up.
    """

    vertices: torch.Tensor
    normals: torch.Tensor
    colours: torch.Tensor


def parted(coefficients: torch.Tensor) -> Coefficients:
    """Take (B, 257) apart."""
    return Coefficients(*coefficients.split(PARTS, dim=1))


class FaceModel(nn.Module):
    """Coefficients to faces in space. All of it computes in float32."""

    def __init__(self, arrays: FaceArrays) -> None:
        super().__init__()
        self.mean_shape = nn.Buffer(arrays.mean_shape - arrays.mean_shape.mean(0))
        self.shape_basis = nn.Buffer(arrays.shape_basis)
        self.mean_colour = nn.Buffer(arrays.mean_colour)
        self.colour_basis = nn.Buffer(arrays.colour_basis)
        self.triangles = nn.Buffer(arrays.triangles)
        self.around = nn.Buffer(arrays.around)
        self.keypoints = nn.Buffer(arrays.keypoints)

    def forward(self, coefficients: torch.Tensor) -> Head:
        """(B, 257) to faces in space."""
        parts = parted(coefficients)
        shape, turn = self.shape(parts), rotation(parts.angles)
        normals = self.normals(shape) @ turn
        return Head(shape @ turn + parts.translation[:, None], normals, self.colours(parts, normals))

    def shape(self, parts: Coefficients) -> torch.Tensor:
        """The face before it is turned and moved, (B, V, 3)."""
        moved = functional.linear(torch.cat([parts.identity, parts.expression], 1), self.shape_basis)
        return self.mean_shape + moved.unflatten(1, (-1, 3))

    def normals(self, shape: torch.Tensor) -> torch.Tensor:
        """Unit normals of the vertices (B, V, 3), of the triangles around them by their areas; zero where none is."""
        first, second, third = shape[:, self.triangles].unbind(2)
        across = torch.linalg.cross(first - second, second - third, dim=-1)
        summed = functional.pad(across, (0, 0, 0, 1))[:, self.around].sum(2)
        return functional.normalize(summed, dim=-1)

    def colours(self, parts: Coefficients, normals: torch.Tensor) -> torch.Tensor:
        """The vertices' colours in the light, (B, V, 3), for turned ``normals``."""
        skin = self.mean_colour + functional.linear(parts.texture, self.colour_basis).unflatten(1, (-1, 3))
        light = parts.light.unflatten(1, (3, 9)) + functional.pad(normals.new_tensor([AMBIENT]), (0, 8))
        return skin * (harmonics(normals) @ light.mT)


def rotation(angles: torch.Tensor) -> torch.Tensor:
    """The matrices (B, 3, 3) that turn row vectors about x, then y, then z, by ``angles`` (B, 3) in radians."""
    (cx, cy, cz), (sx, sy, sz) = angles.cos().unbind(1), angles.sin().unbind(1)
    zero, one = torch.zeros_like(cx), torch.ones_like(cx)
    about_x = _matrix(one, zero, zero, zero, cx, -sx, zero, sx, cx)
    about_y = _matrix(cy, zero, sy, zero, one, zero, -sy, zero, cy)
    about_z = _matrix(cz, -sz, zero, sz, cz, zero, zero, zero, one)
    return (about_z @ about_y @ about_x).mT


def harmonics(normals: torch.Tensor) -> torch.Tensor:
    """The first nine spherical harmonics (B, V, 9) at ``normals`` (B, V, 3), weighted for diffuse light."""
    x, y, z = normals.unbind(-1)
    basis = [
        torch.full_like(x, CONSTANT),
        -LINEAR * y,
        LINEAR * z,
        -LINEAR * x,
        QUADRATIC * x * y,
        -QUADRATIC * y * z,
        QUADRATIC / (2 * 3**0.5) * (3 * z * z - 1),
        -QUADRATIC * x * z,
        QUADRATIC / 2 * (x * x - y * y),
    ]
    return torch.stack(basis, -1)


def _matrix(*entries: torch.Tensor) -> torch.Tensor:
    """(B, 3, 3) of nine (B,), row by row."""
    return torch.stack(entries, 1).unflatten(1, (3, 3))
