"""The morphable face's file: read, checked, and made from what its publishers give.

ValueError
├── CheckpointUnreadable   no MATLAB file, or damaged
└── FaceModelUnusable      the file holds no face model

Two files with the same content are about: ``BFM09_model_info.mat`` (made by ``ascust/3DMM-Fitting-Pytorch``, used by
SGPN) and ``BFM_model_front.mat`` (made by ``sicxu/Deep3DFaceRecon_pytorch``). Both are made by each user from the Basel
Face Model of 2009, which may not be handed on. Indices in them count from 1 and are stored as floats.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.io import loadmat

from models.checkpoint import Checkpoint
from models.checkpoint_file import CheckpointUnreadable, first_line
from models.nets.face_model import EXPRESSION, IDENTITY, TEXTURE, FaceArrays

Array = NDArray[Any]
Floats = NDArray[np.float32]

LICENCE = "Basel Face Model 2009 (University of Basel): non-commercial research, no redistribution"
STEPS = (
    "register at https://faces.dmi.unibas.ch/bfm for 01_MorphableModel.mat; put it into a folder with Exp_Pca.bin "
    "(https://github.com/Juyong/3DFace) and, from the folder BFM of https://github.com/sicxu/Deep3DFaceRecon_pytorch, "
    "facemodel_info.mat, BFM_front_idx.mat, BFM_exp_idx.mat and std_exp.txt; then: daguerre weights face-model FOLDER"
)
BASEL = {"meanshape": (1, 107127), "idBase": (107127, 80), "exBase": (107127, 64), "tri": (70789, 3)}
FACE_MODELS = tuple(
    Checkpoint(name, None, LICENCE, commercial=False, steps=STEPS, role="face-model", tensors=dict(BASEL))
    for name in ("BFM09_model_info.mat", "BFM_model_front.mat")
)
KEYS = ("meanshape", "meantex", "idBase", "exBase", "texBase", "tri", "point_buf", "keypoints")
AROUND, LANDMARKS = 8, 68


class FaceModelUnusable(ValueError):  # noqa: N818 - says what is wrong, as the tree above does
    """The message says which file and what does not fit."""

    def __init__(self, source: str, reason: str) -> None:
        super().__init__(f"{source} holds no face model that can be used: {reason}")


def read_face_model(path: Path) -> FaceArrays:
    """The face model in the MATLAB file ``path``, of any number of vertices, checked."""
    return face_arrays(read_matlab(path, KEYS), str(path))


def read_matlab(path: Path, keys: tuple[str, ...]) -> dict[str, Array]:
    """The numeric arrays ``keys`` of a MATLAB v5 file. No code in it is ever run."""
    try:
        found: dict[str, object] = loadmat(path, variable_names=keys)
    except Exception as error:
        # As in ``models.load``: damaged files make the reader raise nearly anything.
        raise CheckpointUnreadable(path, first_line(error)) from error
    if missing := [key for key in keys if key not in found]:
        raise FaceModelUnusable(str(path), f"it has no {', '.join(missing)}")
    arrays = {key: np.asarray(found[key]) for key in keys}
    if other := [key for key, array in arrays.items() if array.dtype.kind not in "fiu"]:
        raise FaceModelUnusable(str(path), f"{other[0]} holds no numbers")
    return arrays


def face_arrays(arrays: Mapping[str, Array], source: str) -> FaceArrays:
    """The model of arrays as they stand in the file; ``source`` says in an error where they come from.

    With V vertices and T triangles: ``meanshape`` and ``meantex`` (1, 3 V), ``idBase`` and ``texBase`` (3 V, 80),
    ``exBase`` (3 V, 64), ``tri`` (T, 3), ``point_buf`` (V, 8), ``keypoints`` (1, 68).
    """
    vertices, triangles = arrays["meanshape"].size // 3, len(arrays["tri"])
    check_shapes(arrays, vertices, triangles, source)
    both = np.hstack([arrays["idBase"], arrays["exBase"]])
    return FaceArrays(
        mean_shape=_numbers(arrays["meanshape"], "meanshape", source).view(vertices, 3),
        shape_basis=_numbers(both, "idBase or exBase", source),
        mean_colour=_numbers(arrays["meantex"], "meantex", source).view(vertices, 3),
        colour_basis=_numbers(arrays["texBase"], "texBase", source),
        triangles=_indices(arrays["tri"], vertices, "tri", source),
        around=_indices(arrays["point_buf"], triangles + 1, "point_buf", source),
        keypoints=_indices(arrays["keypoints"].ravel(), vertices, "keypoints", source),
    )


def check_shapes(arrays: Mapping[str, Array], vertices: int, triangles: int, source: str) -> None:
    """Raise ``FaceModelUnusable`` unless all arrays are of one mesh."""
    expected = {
        "meanshape": (1, 3 * vertices),
        "meantex": (1, 3 * vertices),
        "idBase": (3 * vertices, IDENTITY),
        "exBase": (3 * vertices, EXPRESSION),
        "texBase": (3 * vertices, TEXTURE),
        "tri": (triangles, 3),
        "point_buf": (vertices, AROUND),
        "keypoints": (1, LANDMARKS),
    }
    wrong = [
        f"{key} is {arrays[key].shape} for {shape}" for key, shape in expected.items() if arrays[key].shape != shape
    ]
    if wrong or not vertices or not triangles:
        raise FaceModelUnusable(source, "; ".join(wrong) or "it has no triangles")


def _numbers(array: Array, name: str, source: str) -> torch.Tensor:
    if not np.isfinite(array).all():
        raise FaceModelUnusable(source, f"{name} has values that are not finite")
    return torch.from_numpy(np.ascontiguousarray(array, np.float32))


def _indices(array: Array, count: int, name: str, source: str) -> torch.Tensor:
    """From 0, of indices from 1 to ``count``."""
    wanted = np.rint(array.astype(np.float64))
    if (wanted != array).any() or wanted.min() < 1 or wanted.max() > count:
        raise FaceModelUnusable(source, f"{name} must hold whole numbers from 1 to {count}")
    return torch.from_numpy(wanted.astype(np.int64) - 1)
