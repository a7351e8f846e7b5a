"""Writes ``sgpn.npz``: what a small SGPN computes of a drawn face with synthetic weights, and a ball for a head. Run it
if its arithmetic is changed on purpose, after ``pytest tests/parity -k sgpn`` has passed against the original.

    python -m tests.golden.make_sgpn

``input`` is (64, 64, 3) uint8 RGB, each pixel of which stands for 8 x 8 of the crop; ``landmarks`` (5, 2) are in the
crop; ``coefficients`` is (257,); ``shape`` and ``result`` are every 16th pixel of the picture of the head and of the
restored face, (3, 32, 32) in [0, 1].
"""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from models.face_model_file import face_arrays
from models.method import Faces, Restored
from models.methods.sgpn import KEEP, TEMPLATE, Sgpn, SgpnParts
from models.nets.face_model import FaceModel
from models.nets.face_reconstruction import FaceReconstruction, fused
from models.nets.sgpn import SGPN, SgpnSizes

FILE = Path(__file__).with_name("sgpn.npz")
SEED, COARSE, STRIDE = 1839, 8, 16
SMALL = SgpnSizes(widest=8, latent=6, style=10)
WIDTH = 2  # of the reconstruction's first layer
RINGS = 12  # of the ball: 12 x 24 vertices
LANDMARKS = TEMPLATE + [[3.0, -2.0], [1.0, 2.5], [-4.0, 0.5], [2.0, 2.0], [0.0, -3.0]]


def face_like() -> NDArray[np.uint8]:
    """A drawing with shading, edges and colour, (64, 64, 3) RGB."""
    rows, columns = np.mgrid[0:64, 0:64]
    picture = np.stack([90 + rows, 60 + columns, 120 - rows], axis=-1).astype(np.uint8)
    cv2.ellipse(picture, (32, 38), (15, 21), 0, 0, 360, (205, 160, 135), -1)
    for eye in (25, 39):
        cv2.circle(picture, (eye, 30), 2, (40, 30, 30), -1)
    cv2.ellipse(picture, (32, 46), (6, 2), 0, 0, 360, (150, 60, 60), -1)
    return picture


def noise(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Standard normal, by the name alone."""
    key = int.from_bytes(hashlib.sha256(f"{SEED}/sgpn/{name}".encode()).digest()[:16], "little")
    return np.random.Generator(np.random.Philox(key=key)).standard_normal(shape, dtype=np.float32)


def synthetic(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Every tensor by its name; constants of the architecture as they are."""
    state = network.state_dict()
    drawn = {name for name in state if not name.endswith(("kernel", "num_batches_tracked"))}
    return {name: torch.from_numpy(drawn_value(name, tuple(state[name].shape))) for name in drawn} | {
        name: tensor for name, tensor in state.items() if name not in drawn
    }


def drawn_value(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Scaled so that the signal neither vanishes nor explodes: StyleGAN2's layers scale by themselves."""
    one, tenth = np.float32(1), np.float32(0.1)
    value = noise(name, shape)
    if name.startswith("net") and len(shape) > 1 and shape[0] != 1:
        return value
    if name.startswith("netG") and len(shape) > 3:
        return value
    if len(shape) > 1:
        return value * np.float32(np.prod(shape[1:]) ** -0.5)
    if name.endswith(("modulation.bias", "running_var", "noise.weight")) or (".bn" in name and "weight" in name):
        return one + tenth * np.abs(value)
    return tenth * value


def ball(rings: int = RINGS) -> dict[str, NDArray[Any]]:
    """A face model's arrays as a file has them: a ball with bases of smooth waves, float32, indices from 1."""
    count = 2 * rings
    latitude, longitude = np.mgrid[1 : rings + 1, 0:count] * np.pi / np.array([rings + 1, rings])[:, None, None]
    points = [np.sin(latitude) * np.sin(longitude), np.cos(latitude), np.sin(latitude) * np.cos(longitude)]
    places = np.stack(points, -1).reshape(-1, 3)
    index = np.arange(rings * count).reshape(rings, count)
    a, b, c, d = index[:-1], np.roll(index, -1, 1)[:-1], index[1:], np.roll(index, -1, 1)[1:]
    triangles = np.concatenate([np.stack([a, c, b], -1).reshape(-1, 3), np.stack([b, c, d], -1).reshape(-1, 3)])
    around = np.full((len(places), 8), len(triangles))
    for vertex in range(len(places)):
        found = np.flatnonzero((triangles == vertex).any(1))
        around[vertex, : len(found)] = found
    floats = {"meanshape": places.reshape(1, -1), "meantex": (128 + 80 * places[:, ::-1]).reshape(1, -1)}
    for key, columns, size in (("idBase", 80, 0.02), ("exBase", 64, 0.02), ("texBase", 80, 3.0)):
        waves = np.sin(places @ noise(key, (3, columns)) * 2 + noise(f"{key} phase", (columns,)))
        floats[key] = size * np.repeat(waves, 3, 0) * noise(f"{key} axis", (3 * len(places), 1))
    whole = {"tri": triangles + 1, "point_buf": around + 1, "keypoints": np.arange(1, 69)[None]}
    return {name: array.astype(np.float32) for name, array in (floats | whole).items()}


def parts(sizes: SgpnSizes = SMALL) -> SgpnParts:
    reconstruction, network = FaceReconstruction(WIDTH).eval(), SGPN(sizes).eval()
    reconstruction.load_state_dict(synthetic(reconstruction))
    network.load_state_dict(synthetic(network))
    return SgpnParts(fused(reconstruction), FaceModel(face_arrays(ball(), "the ball")), network)


def faces_of(picture: NDArray[np.uint8]) -> Faces:
    """One face with a crop of 512 x 512, of a picture (64, 64, 3) RGB."""
    crop = np.kron(picture, np.ones((COARSE, COARSE, 1), np.uint8)).astype(np.float32) / 255
    faces = Faces.plain(torch.from_numpy(crop).permute(2, 0, 1)[None].contiguous(), [1], frozenset({KEEP}))
    return replace(faces, landmarks=torch.from_numpy(LANDMARKS).float()[None])


def outputs(picture: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    sgpn = Sgpn(parts(), "cpu", "float32")
    faces = faces_of(picture)
    with torch.inference_mode():
        shapes = sgpn.shapes(2 * faces.crops - 1, faces.landmarks.double().numpy())
    restored: Restored = sgpn.restore(faces)
    strided = {"shape": restored.kept[KEEP], "result": restored.faces}
    thin = {name: value[0, :, ::STRIDE, ::STRIDE].numpy() for name, value in strided.items()}
    return thin | {"coefficients": shapes.coefficients[0].numpy()}


def main() -> None:
    np.savez_compressed(FILE, allow_pickle=False, input=face_like(), landmarks=LANDMARKS, **outputs(face_like()))


if __name__ == "__main__":
    main()
